package pve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pveLogin is a server with tickets that expire after two hours, as those of the real
// one. It counts the calls that it carried out.
type pveLogin struct {
	mu      sync.Mutex
	logins  int
	valid   string
	made    time.Time
	done    []string // the calls that were carried out
	refuses bool     // every login
	takes   time.Duration
}

func (p *pveLogin) RoundTrip(r *http.Request) (*http.Response, error) {
	if !sleep(r.Context(), p.takes) {
		return nil, r.Context().Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &server{}
	s.answer = func(_ int, one seen) reply {
		if one.path == "/api2/json/access/ticket" {
			return p.login(one)
		}
		return p.call(one)
	}
	return s.RoundTrip(r)
}

func (p *pveLogin) login(one seen) reply {
	p.logins++
	if p.refuses || one.body != "password=canary-password&username=root%40pam" {
		return dies(401, "authentication failure")
	}
	p.valid, p.made = fmt.Sprintf("PVE:root@pam:68E4F1A%d::c2ln+/bmF0dXJl==", p.logins), time.Now()
	return says(fmt.Sprintf(`{"ticket":%q,"CSRFPreventionToken":"68E4F1A%d:csrf+token","username":"root@pam"}`, p.valid, p.logins))
}

func (p *pveLogin) call(one seen) reply {
	r := &http.Request{Header: one.header}
	cookie, err := r.Cookie("PVEAuthCookie")
	switch {
	case err != nil:
		return dies(401, "No ticket")
	case cookie.Value != strings.NewReplacer(":", "%3A", "@", "%40", "+", "%2B", "/", "%2F", "=", "%3D").Replace(p.valid) || time.Since(p.made) > 2*time.Hour:
		return dies(401, "Authentication failed!")
	case one.method != "GET" && one.header.Get("CSRFPreventionToken") != fmt.Sprintf("68E4F1A%d:csrf+token", p.logins):
		return dies(401, "Permission denied - invalid csrf token")
	case one.method == "GET" && one.header.Get("CSRFPreventionToken") != "":
		return dies(500, "a read needs no such token")
	}
	p.done = append(p.done, one.method)
	return says(null)
}

func (p *pveLogin) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.valid = "another"
}

func loginClient(t *testing.T, p *pveLogin) *Client {
	c, _ := inProcess(t, nil, withPassword, func(o *Options) { o.Transport = p })
	return c
}

func TestATicketIsFetchedOnceAndRenewedBeforeItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pveLogin{}
		c := loginClient(t, p)
		for range 20 { // every half hour for ten hours
			if _, err := c.Nodes(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := c.DeleteMapping(t.Context(), "m"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(30 * time.Minute)
		}
		if len(p.done) != 40 || p.logins != 5 {
			t.Errorf("%d calls, %d logins", len(p.done), p.logins)
		}
	})
}

func TestManyCallsAtOnceLogInOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pveLogin{}
		c := loginClient(t, p)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				if _, err := c.Nodes(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if p.logins != 1 || len(p.done) != 20 {
			t.Errorf("%d logins, %d calls", p.logins, len(p.done))
		}
	})
}

func TestARefusedTicketIsRenewedAndTheCallSentOnceMore(t *testing.T) {
	ctx := context.Background()
	for name, call := range map[string]func(*Client) error{
		"a read":  func(c *Client) error { _, err := c.Nodes(ctx); return err },
		"a write": func(c *Client) error { return c.DeleteMapping(ctx, "m") },
	} {
		t.Run(name, func(t *testing.T) {
			p := &pveLogin{}
			c := loginClient(t, p)
			if err := call(c); err != nil {
				t.Fatal(err)
			}
			p.expire() // somebody restarted pvedaemon with new keys
			if err := call(c); err != nil {
				t.Fatal(err)
			}
			if p.logins != 2 || len(p.done) != 2 {
				t.Errorf("%d logins, %d calls carried out", p.logins, len(p.done))
			}
		})
	}
}

func TestASecond401EndsTheCall(t *testing.T) {
	sent := 0
	c, _ := inProcess(t, func(_ int, one seen) reply {
		if one.path == "/api2/json/access/ticket" {
			return says(`{"ticket":"PVE:root@pam:1::x","CSRFPreventionToken":"1:y"}`)
		}
		sent++
		return dies(401, "Authentication failed!")
	}, withPassword)
	err := c.DeleteMapping(context.Background(), "m")
	if KindOf(err) != Unauthenticated || sent != 2 {
		t.Errorf("sent %d times: %v", sent, err)
	}
}

func TestATokenIsNotTriedTwice(t *testing.T) {
	c, s := inProcess(t, inTurn(dies(401, "Authentication failed!")))
	err := c.DeleteMapping(context.Background(), "m")
	if KindOf(err) != Unauthenticated || len(s.requests()) != 1 {
		t.Errorf("sent %q: %v", s.requests(), err)
	}
}

func TestALoginThatFailsIsExplained(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		name  string
		reply reply
		kind  Kind
		text  string
	}{
		{"a wrong password", dies(401, "authentication failure"), Unauthenticated, "POST /access/ticket: authentication failure: the user root@pam, its realm or its password is wrong, or the user is disabled or expired (401)"},
		{"a second factor", says(`{"ticket":"PVE:!tfa!x","NeedTFA":1,"CSRFPreventionToken":"x"}`), Unauthenticated, "needs a second factor, which a program cannot enter: use an API token"},
		{"no ticket", says(`{"username":"root@pam"}`), Unknown, "the answer to the login has no ticket"},
		{"null", says(null), Unknown, "the answer to the login has no ticket"},
		{"a web page", reply{status: 200, reason: "OK", body: "<html><title>x</title>"}, Unavailable, "is this a Proxmox VE API?"},
		{"a lost connection", reply{}, Unavailable, "POST /access/ticket: unexpected EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, s := inProcess(t, inTurn(tt.reply), withPassword)
			e := mustError(t, c.DeleteMapping(ctx, "m"))
			mustContain(t, e.Error(), tt.text)
			if e.Kind != tt.kind || e.Ambiguous {
				t.Errorf("kind %s, ambiguous %v: the write was never sent", e.Kind, e.Ambiguous)
			}
			if n := len(s.requests()); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

func TestWaitingForTheLoginEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pveLogin{takes: 10 * time.Second}
		c := loginClient(t, p)
		go func() { _, _ = c.Nodes(t.Context()) }()
		synctest.Wait() // the first call is logging in
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.DeleteMapping(ctx, "m")
		e := mustError(t, err)
		mustContain(t, e.Error(), "canceled while waiting for the login")
		if e.Ambiguous || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ambiguous %v: %v", e.Ambiguous, err)
		}
	})
}
