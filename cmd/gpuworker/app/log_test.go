package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// gossip is a server that records every secret that it receives or sends, and repeats all
// of them in chosen answers.
type gossip struct {
	next http.RoundTripper

	mu      sync.Mutex
	secrets []string
	spoils  func(n int, r *http.Request) bool
	n       int
}

func (g *gossip) RoundTrip(r *http.Request) (*http.Response, error) {
	if answer := g.spoiled(r); answer != nil {
		return answer, nil
	}
	answer, err := g.next.RoundTrip(r)
	if err != nil || !strings.HasSuffix(r.URL.Path, "/access/ticket") {
		return answer, err
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	_ = answer.Body.Close()
	answer.Body = io.NopCloser(strings.NewReader(string(body)))
	var login struct {
		Data struct{ Ticket, CSRFPreventionToken string }
	}
	if json.Unmarshal(body, &login) == nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.learn(login.Data.Ticket)
		g.learn(login.Data.CSRFPreventionToken)
	}
	return answer, nil
}

// spoiled records the secrets of a request, and returns an answer with all secrets; nil
// when the request is answered normally.
func (g *gossip) spoiled(r *http.Request) *http.Response {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, header := range []string{"Cookie", "Csrfpreventiontoken"} {
		g.learn(strings.TrimPrefix(r.Header.Get(header), "PVEAuthCookie="))
	}
	if _, secret, found := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "PVEAPIToken="), "="); found {
		g.learn(secret)
	}
	if g.n++; g.spoils != nil && g.spoils(g.n, r) {
		said := strings.Join(g.secrets, " ")
		return &http.Response{
			StatusCode: 500, Status: "500 " + said, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: r,
			Body: io.NopCloser(strings.NewReader(fmt.Sprintf(`{"data":null,"message":%q}`, said))),
		}
	}
	return nil
}

func (g *gossip) learn(secret string) {
	if secret != "" && !slices.Contains(g.secrets, secret) {
		g.secrets = append(g.secrets, secret)
	}
}

// keeps checks that the output contains no secret that was sent or received.
func (g *gossip) keeps(t *testing.T, p printed) {
	t.Helper()
	for _, secret := range g.secrets {
		plain, _ := url.QueryUnescape(secret)
		for _, form := range []string{secret, plain, url.QueryEscape(secret), url.PathEscape(plain)} {
			if form != "" && strings.Contains(p.out+p.err, form) {
				t.Errorf("%v prints the secret %q", p.args, form)
			}
		}
	}
	if !strings.Contains(p.err, "/version") && !strings.Contains(p.err, "/access/ticket") {
		t.Errorf("%v has no calls in its log: %.500s", p.args, p.err)
	}
}

func TestTheLogHasNoSecretWhateverTheServerRepeats(t *testing.T) {
	const password = "homelab-root" // of the simulated cluster
	logins := map[string]struct {
		credentials string
		secrets     int // how many are on the wire at least
	}{
		"a token":    {"      token: {env: PVE_TOKEN}\n", 1},
		"a password": {"      username: root@pam\n      password: {env: ROOT_TOKEN}\n", 3}, // with ticket and CSRF token
	}
	spoilers := map[string]func(int, *http.Request) bool{
		"none":       nil,
		"each third": func(n int, _ *http.Request) bool { return n%3 == 0 },
		"writes": func(_ int, r *http.Request) bool {
			return r.Method != http.MethodGet && !strings.HasSuffix(r.URL.Path, "/access/ticket")
		},
		"hosts": func(_ int, r *http.Request) bool { return strings.Contains(r.URL.Path, "/hardware/pci") },
		"all":   func(int, *http.Request) bool { return true },
	}
	for login, with := range logins {
		for spoiler, spoils := range spoilers {
			t.Run(login+"/"+spoiler, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLab(t)
					l.changeDocument("      token: {env: PVE_TOKEN}\n", with.credentials)
					_, secret, _ := strings.Cut(labToken, "=")
					if login == "a password" {
						l.token, secret = password, password
					}
					for _, format := range []string{"table", "json"} {
						for _, command := range [][]string{{"apply", "--yes"}, {"status"}, {"delete", "gpu-workers-1", "--yes"}} {
							g := &gossip{next: l.sim.Transport(), spoils: spoils, secrets: []string{secret}}
							l.others = map[string]http.RoundTripper{"lab": g}
							g.keeps(t, l.run(false, slices.Concat(command, []string{"-v=2", "-o", format})...))
							if len(g.secrets) < with.secrets && spoiler != "all" {
								t.Errorf("only %d secrets were on the wire", len(g.secrets))
							}
						}
					}
				})
			})
		}
	}
}

// changeDocument replaces a text in the lab's document.
func (l *lab) changeDocument(old, with string) {
	l.t.Helper()
	text, err := os.ReadFile(l.document)
	if err != nil {
		l.t.Fatal(err)
	}
	if strings.Count(string(text), old) != 1 {
		l.t.Fatalf("the document does not have %q once", old)
	}
	if err := os.WriteFile(l.document, []byte(strings.Replace(string(text), old, with, 1)), 0o600); err != nil {
		l.t.Fatal(err)
	}
}
