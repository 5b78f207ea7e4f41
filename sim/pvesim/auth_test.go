package pvesim

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

func TestCredentialsAreTakenAndRefusedAsRecorded(t *testing.T) {
	const good = "gpuworker@pve!engine=11111111-1111-4111-8111-111111111111"
	for name, tc := range map[string]struct {
		header, value string
		reason        string // "" when taken
	}{
		"a token":                            {"Authorization", "PVEAPIToken=" + good, ""},
		"a token after a blank":              {"Authorization", "PVEAPIToken " + good, ""},
		"nothing at all":                     {"X-Nothing", "", "No ticket"},
		"a scheme in lower case":             {"Authorization", "pveapitoken=" + good, "No ticket"},
		"another scheme":                     {"Authorization", "Bearer abc", "No ticket"},
		"an empty token":                     {"Authorization", "PVEAPIToken=", "No ticket"},
		"a token without secret":             {"Authorization", "PVEAPIToken=gpuworker@pve!engine", "Authentication failed!"},
		"a wrong secret":                     {"Authorization", "PVEAPIToken=" + good + "1", "Authentication failed!"},
		"a token that is not there":          {"Authorization", "PVEAPIToken=gpuworker@pve!nope=x", "Authentication failed!"},
		"a user in place of a token":         {"Authorization", "PVEAPIToken=root@pam=homelab-root", "Authentication failed!"},
		"a garbage ticket":                   {"Cookie", "PVEAuthCookie=garbage", "Authentication failed!"},
		"a ticket that nobody signed":        {"Cookie", "PVEAuthCookie=PVE:root@pam:66666666::Z2FyYmFnZQ==", "Authentication failed!"},
		"a cookie of somebody else's making": {"Cookie", "session=1", "No ticket"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T) {
				c := newSim(t, homelab(t)).as(t, "")
				c.header.Set(tc.header, tc.value)
				began := time.Now()
				got := c.do("GET", "/version")
				took := time.Since(began)
				if tc.reason == "" {
					got.ok()
					return
				}
				got.refused(401, tc.reason)
				if got.body != "" || got.header.Get("Content-Type") != "" {
					t.Errorf("a 401 has a body %q of type %q, want none", got.body, got.header.Get("Content-Type"))
				}
				if took != 3*time.Second {
					t.Errorf("the refusal took %v, want 3 s", took)
				}
			})
		})
	}
}

func TestACookieCountsBeforeAToken(t *testing.T) {
	play(t, func(t *testing.T) {
		c := newSim(t, homelab(t)).as(t, engineToken)
		c.header.Set("Cookie", "PVEAuthCookie=garbage")
		c.do("GET", "/version").refused(401, "Authentication failed!")
	})
}

func TestTicketsNeedACSRFTokenToWriteAndLastTwoHours(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		root := sim.asRoot(t, "homelab-root")
		root.do("PUT", qemu("pve1", 100, "/config"), "description", "x").ok()

		csrf := root.header.Get("CSRFPreventionToken")
		root.header.Del("CSRFPreventionToken")
		root.do("GET", "/version").ok()
		root.do("PUT", qemu("pve1", 100, "/config"), "description", "y").refused(401, "Permission denied - invalid csrf token")
		root.do("DELETE", qemu("pve1", 100)).refused(401, "Permission denied - invalid csrf token")

		root.header.Set("CSRFPreventionToken", csrf)
		pause(t, time.Hour+59*time.Minute)
		root.do("GET", "/version").ok()
		pause(t, time.Minute)
		root.do("GET", "/version").refused(401, "Authentication failed!")
	})
}

func TestATicketRenewsItself(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		ticket := sim.as(t, "").do("POST", "/access/ticket", "username", "root@pam", "password", "homelab-root").object()["ticket"].(string)
		pause(t, 90*time.Minute)
		again := sim.asRoot(t, ticket)
		pause(t, 90*time.Minute)
		again.do("GET", "/version").ok()
	})
}

func TestLoginsAreRefusedWithAJSONBody(t *testing.T) {
	for name, fields := range map[string][]string{
		"a wrong password":         {"username", "root@pam", "password", "wrong"},
		"an unknown user":          {"username", "nobody@pam", "password", "homelab-root"},
		"an unknown realm":         {"username", "root@nowhere", "password", "homelab-root"},
		"no realm":                 {"username", "root", "password", "homelab-root"},
		"a user without password":  {"username", "gpuworker@pve", "password", ""},
		"a token with its secret":  {"username", "gpuworker@pve!engine", "password", "11111111-1111-4111-8111-111111111111"},
		"another realm beside one": {"username", "root", "realm", "pve", "password", "homelab-root"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T) {
				began := time.Now()
				got := newSim(t, homelab(t)).as(t, "").do("POST", "/access/ticket", fields...)
				got.refused(401, "authentication failure")
				if want := `{"data":null,"message":"authentication failure\n"}`; got.body != want {
					t.Errorf("body %s, want %s", got.body, want)
				}
				if took := time.Since(began); took != 3*time.Second {
					t.Errorf("the refusal took %v, want 3 s", took)
				}
			})
		})
	}
}

func TestDisabledAndExpiredIdentitiesAreRefused(t *testing.T) {
	for name, token := range map[string]string{
		"a token of a disabled user": "disabled@pve!tk=00000000-0000-4000-8000-000000000039",
		"a token of an expired user": "gone@pve!tk=00000000-0000-4000-8000-000000000040",
		"an expired token":           "ops@pve!old=00000000-0000-4000-8000-000000000006",
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T) {
				sim := newSim(t, loadWorld(t, "../../testdata/worlds/recorded.yaml"))
				sim.as(t, token).do("GET", "/version").refused(401, "Authentication failed!")
			})
		})
	}
}

func TestATicketOfAUserWhoIsGoneIsWorthless(t *testing.T) {
	play(t, func(t *testing.T) {
		world := homelab(t)
		ticket, _ := newSim(t, world).newTicket("gpuworker@pve")
		world.Users = []User{{ID: "root@pam", Password: "x"}}
		world.Tokens, world.ACL = nil, nil
		c := newSim(t, world).as(t, "")
		c.header = http.Header{"Cookie": {"PVEAuthCookie=" + url.QueryEscape(ticket)}}
		c.do("GET", "/version").refused(401, "Authentication failed!")
	})
}
