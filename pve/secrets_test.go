package pve

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
)

// canaries are in the credentials of the clients below. All output of the package is
// searched for them.
var canaries = []string{
	"8d2f1c3a-canary-token-secret", "canary-password", "canary-ticket", "canary-csrf",
	"canary-cipassword", "canary-input", "canary-file",
}

func mustNotLeak(t *testing.T, where, text string) {
	t.Helper()
	for _, secret := range canaries {
		for _, form := range []string{secret, url.QueryEscape(secret)} {
			if strings.Contains(text, form) {
				t.Errorf("%s leaks %q: %s", where, secret, text)
			}
		}
	}
}

// allForms prints an error in all usual ways.
func allForms(err error) string {
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%s", "%q"} {
		fmt.Fprintf(&b, verb+"\n", err)
	}
	e, _ := asError(err)
	fmt.Fprintln(&b, e.Reason, e.Message, e.Params, e.Log, e.Path, e.LogValue())
	return b.String()
}

// An unfriendly server sends back all that it received: headers, cookies and bodies,
// in all parts of the answer.
func TestSecretsAreInNoErrorAndNoLog(t *testing.T) {
	ctx := context.Background()
	calls := map[string]func(*Client) error{
		"read": func(c *Client) error { _, err := c.Nodes(ctx); return err },
		"config": func(c *Client) error {
			return c.UpdateConfig(ctx, "pve1", 1, ConfigUpdate{Set: map[string]string{"cipassword": "canary-cipassword"}})
		},
		"exec": func(c *Client) error {
			_, err := c.AgentExec(ctx, "pve1", 1, []string{"sh"}, "canary-input-ü")
			return err
		},
		"file": func(c *Client) error { return c.AgentFileWrite(ctx, "pve1", 1, "/x", []byte("canary-file")) },
		"upload": func(c *Client) error {
			_, err := c.Upload(ctx, "pve1", "local", UploadFile{Content: "iso", Name: "a.iso", Size: 3}, strings.NewReader("abc"))
			return err
		},
	}
	echo := func(s seen) string {
		said := []string{s.body, s.header.Get("Authorization"), s.header.Get("Cookie"), s.header.Get("CSRFPreventionToken")}
		if s.header.Get("Cookie") != "" {
			said = append(said, "canary-password canary-ticket canary-csrf")
		}
		return strings.Join(said, " ")
	}
	servers := map[string]func(seen) reply{
		"in the reason": func(s seen) reply {
			return reply{status: 500, reason: strings.ReplaceAll(echo(s), "\n", " "), body: "{}"}
		},
		"in the message": func(s seen) reply { return dies(500, echo(s)) },
		"in a refused argument": func(s seen) reply {
			return reply{status: 400, reason: "x", body: fmt.Sprintf(`{"errors":{"a":%q}}`, echo(s))}
		},
		"in a text":          func(s seen) reply { return reply{status: 501, reason: "x", body: echo(s)} },
		"in a web page":      func(s seen) reply { return reply{status: 502, reason: "x", body: "<title>" + echo(s) + "</title>"} },
		"in a text for JSON": func(s seen) reply { return reply{status: 200, reason: "OK", body: echo(s)} },
		"with 403":           func(s seen) reply { return dies(403, echo(s)) },
		"with 401":           func(s seen) reply { return dies(401, echo(s)) },
		"by breaking off":    func(seen) reply { return reply{} },
	}
	logins := map[string]func(*Options){"token": func(*Options) {}, "password": withPassword}
	for where, answer := range servers {
		for name, call := range calls {
			for login, set := range logins {
				t.Run(where+"/"+name+"/"+login, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						var log lockedBuffer
						c, _ := inProcess(t, func(_ int, s seen) reply {
							if s.path == "/api2/json/access/ticket" {
								return says(`{"ticket":"canary-ticket","CSRFPreventionToken":"canary-csrf"}`)
							}
							return answer(s)
						}, set, logInto(&log))
						err := call(c)
						if err == nil {
							t.Fatal("the call should fail")
						}
						mustNotLeak(t, "the error", allForms(err))
						mustNotLeak(t, "the log", log.String())
						mustContain(t, log.String(), "msg=call")
					})
				})
			}
		}
	}
}

func TestDataOfAnotherShapeLeaksNothing(t *testing.T) {
	c, _ := inProcess(t, func(_ int, s seen) reply { return says(fmt.Sprintf("%q", s.header.Get("Authorization"))) })
	_, err := c.Nodes(context.Background())
	mustNotLeak(t, "the error", allForms(err))
	mustContain(t, err.Error(), "data should be a list", "[redacted]")
}

func TestATransportThatPrintsItsRequestLeaksNothing(t *testing.T) {
	var log lockedBuffer
	c, _ := inProcess(t, nil, through(func(r *http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("cannot send %v", r.Header)
	}), logInto(&log))
	err := c.DeleteMapping(context.Background(), "m")
	mustNotLeak(t, "the error", allForms(err))
	mustNotLeak(t, "the log", log.String())
	mustContain(t, log.String(), "cannot send", "[redacted]")
}

func TestARefusedLoginLeaksNothing(t *testing.T) {
	var log lockedBuffer
	c, _ := inProcess(t, func(_ int, s seen) reply { return dies(401, "no: "+s.body) }, withPassword, logInto(&log))
	_, err := c.Nodes(context.Background())
	mustNotLeak(t, "the error", allForms(err))
	mustNotLeak(t, "the log", log.String())
}

func TestATaskThatRepeatsASecretLeaksNothing(t *testing.T) {
	secret := canaries[0]
	c, _ := inProcess(t, func(n int, s seen) reply {
		if strings.HasSuffix(s.path, "/log") {
			return reply{status: 200, reason: "OK", body: `{"data":[{"n":1,"t":"token ` + secret + `"}],"total":1}`}
		}
		return says(`{"status":"stopped","exitstatus":"bad ` + secret + `"}`)
	})
	err := c.Task(mustUPID(testUPID)).Wait(context.Background())
	mustNotLeak(t, "the error", allForms(err))
	mustContain(t, err.Error(), "bad [redacted]", "token [redacted]")
}

func TestOptionsAndClientsPrintWithoutSecrets(t *testing.T) {
	token := Options{Endpoint: "https://pve.test:8006", Token: testToken}
	password := Options{Endpoint: "https://u:canary-password@pve.test:8006/?x=canary-password", Username: "root@pam", Password: "canary-password"}
	odd := Options{Endpoint: "::", Token: "canary-password"}
	client, err := New(token)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{token, &token, password, &password, odd, Options{}, client, *client, client.Task(mustUPID(testUPID))} {
		var log lockedBuffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			slog.New(h).Info("x", "v", v)
		}
		if _, isOptions := v.(Options); isOptions {
			b, err := json.Marshal(v)
			if err != nil {
				t.Error(err)
			}
			// The endpoint is not hidden in JSON, as it has no secret when it is valid.
			fmt.Fprint(&log, strings.ReplaceAll(string(b), password.Endpoint, ""))
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			fmt.Fprintf(&log, verb+"\n", v)
			fmt.Fprintf(&log, verb+"\n", struct{ In any }{v})
			fmt.Fprintf(&log, verb+"\n", struct{ in *Client }{client})
			fmt.Fprintf(&log, verb+"\n", struct{ in Client }{*client})
		}
		mustNotLeak(t, fmt.Sprintf("%T", v), log.String())
	}
	mustContain(t, token.String(), "https://pve.test:8006", "ops@pve!ci")
	mustContain(t, password.String(), "https://pve.test:8006", "root@pam")
	mustContain(t, client.String(), "https://pve.test:8006/api2/json", "ops@pve!ci")
	mustContain(t, client.GoString(), "ops@pve!ci")
	mustContain(t, Options{}.GoString(), "nobody")
}

func TestShortTextsAreNotRedacted(t *testing.T) {
	s := newSecrets([]string{"", "abc"})
	if got := s.redact("abc is in every abc", []string{"a"}); got != "abc is in every abc" {
		t.Errorf("got %q", got)
	}
}

func TestOnlyTheLastTicketsAreKept(t *testing.T) {
	s := newSecrets(nil)
	for i := range 20 {
		s.addTicket(fmt.Sprintf("ticket-%02d", i))
	}
	if got := s.redact("ticket-00 ticket-19", nil); got != "ticket-00 [redacted]" {
		t.Errorf("got %q", got)
	}
}
