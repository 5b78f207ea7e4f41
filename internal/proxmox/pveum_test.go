package proxmox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// pveumCalls are the API calls that pveum's commands are: the call, and what
// the words after the command are called there.
var pveumCalls = map[string]struct {
	method, path string
	words        []string
}{
	"user add":       {"POST", "/access/users", []string{"userid"}},
	"role add":       {"POST", "/access/roles", []string{"roleid"}},
	"user token add": {"POST", "/access/users/{userid}/token/{tokenid}", []string{"userid", "tokenid"}},
	"acl modify":     {"PUT", "/access/acl", []string{"path"}},
}

// pveum translates one printed command into the API call that it makes.
func pveum(line string) (method, path string, form url.Values, err error) {
	words := shellWords(line)
	if len(words) < 2 || words[0] != "pveum" {
		return "", "", nil, fmt.Errorf("%q is no pveum command", line)
	}
	for name, call := range pveumCalls {
		command := strings.Fields(name)
		if len(words) <= len(command) || strings.Join(words[1:1+len(command)], " ") != name {
			continue
		}
		rest := words[1+len(command):]
		if len(rest) < len(call.words) || len(rest)%2 != len(call.words)%2 {
			return "", "", nil, fmt.Errorf("%q: want %v and options with values", line, call.words)
		}
		path, form = call.path, url.Values{}
		for i, word := range call.words {
			if placeholder := "{" + word + "}"; strings.Contains(path, placeholder) {
				path = strings.ReplaceAll(path, placeholder, url.PathEscape(rest[i]))
			} else {
				form.Set(word, rest[i])
			}
		}
		for options := rest[len(call.words):]; len(options) > 0; options = options[2:] {
			option, ok := strings.CutPrefix(options[0], "--")
			if !ok {
				return "", "", nil, fmt.Errorf("%q: %q is no option", line, options[0])
			}
			form.Add(option, options[1])
		}
		return call.method, path, form, nil
	}
	return "", "", nil, fmt.Errorf("%q: no such command is known here", line)
}

// shellWords splits a line as a shell does: blanks, and both kinds of quotes.
func shellWords(line string) []string {
	var words []string
	var word strings.Builder
	inside, quote := false, rune(0)
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, inside = c, true
		case c == ' ' && inside:
			words, inside = append(words, word.String()), false
			word.Reset()
		case c != ' ':
			word.WriteRune(c)
			inside = true
		}
	}
	if inside {
		words = append(words, word.String())
	}
	return words
}

// administrator makes calls as root@pam, whom pveum acts for.
type administrator struct {
	wire   http.RoundTripper
	header http.Header
}

func (a *administrator) call(method, path string, form url.Values) (data map[string]any, err error) {
	r, err := http.NewRequest(method, "https://pve1:8006/api2/json"+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header = a.header.Clone()
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := a.wire.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: %s: %s (%v)", method, path, answer.Status, body, err)
	}
	var envelope struct {
		Data map[string]any `json:"data"`
	}
	return envelope.Data, json.Unmarshal(body, &envelope)
}

// login gets a ticket for root@pam.
func (a *administrator) login(password string) error {
	a.header = http.Header{}
	ticket, err := a.call("POST", "/access/ticket", url.Values{"username": {"root@pam"}, "password": {password}})
	if err != nil {
		return err
	}
	a.header.Set("Cookie", "PVEAuthCookie="+url.QueryEscape(ticket["ticket"].(string)))
	a.header.Set("CSRFPreventionToken", ticket["CSRFPreventionToken"].(string))
	return nil
}

// obeyAll carries out every command that is printed, and returns the token
// that one of them made.
func (a *administrator) obeyAll(commands string) (token string, err error) {
	for line := range strings.Lines(commands) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		method, path, form, err := pveum(line)
		if err != nil {
			return "", err
		}
		answer, err := a.call(method, path, form)
		if err != nil {
			return "", fmt.Errorf("%s: %w", line, err)
		}
		if secret, made := answer["value"].(string); made {
			token = answer["full-tokenid"].(string) + "=" + secret
		}
	}
	return token, nil
}

// bare takes everybody but root@pam out of a world, and all rights.
func bare(w *pvesim.World) (rootPassword string) {
	for _, user := range w.Users {
		if user.ID == "root@pam" {
			w.Users = []pvesim.User{user}
			rootPassword = user.Password
		}
	}
	w.Tokens, w.Groups, w.Roles, w.ACL = nil, nil, nil, nil
	return rootPassword
}

// TestThePrintedCommandsMakeALoginThatIsEnough runs what is printed as an
// administrator of a fresh cluster would, word for word, and lives a worker's
// life with the token that comes out.
func TestThePrintedCommandsMakeALoginThatIsEnough(t *testing.T) {
	for _, version := range []string{"8.4.1", "9.1.4"} {
		t.Run(version, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := world(t)
				w.Version = version
				password := bare(&w)
				sim, err := pvesim.New(w, pvesim.WithLog(t.Logf))
				if err != nil {
					t.Fatal(err)
				}
				defer sim.Close()
				root := &administrator{wire: sim.Transport()}
				if err := root.login(password); err != nil {
					t.Fatal(err)
				}
				commands := (&Backend{}).Role(version, roleScope)
				token, err := root.obeyAll(commands)
				if err != nil || token == "" {
					t.Fatalf("token made: %v, %v, by:\n%s", token != "", err, commands)
				}
				missing, err := live(open(t, sim, token))
				if err != nil || len(missing) > 0 {
					t.Errorf("missing %v, life: %v", missing, err)
				}
				if _, err := root.obeyAll(commands); err == nil || !strings.Contains(err.Error(), "user 'gpuworker@pve' already exists") {
					t.Errorf("a second time: %v, want that the user is there", err)
				}
			})
		})
	}
}

func TestPrintedCommandsAreReadAsAShellReadsThem(t *testing.T) {
	for line, want := range map[string]string{
		`pveum user add a@pve --comment 'two words'`:          `POST /access/users comment=two+words&userid=a%40pve`,
		`pveum role add R --privs "VM.Audit VM.Clone"`:        `POST /access/roles privs=VM.Audit+VM.Clone&roleid=R`,
		`pveum user token add a@pve t1 --privsep 1`:           `POST /access/users/a@pve/token/t1 privsep=1`,
		`pveum acl modify /vms --tokens 'a@pve!t1' --roles R`: `PUT /access/acl path=%2Fvms&roles=R&tokens=a%40pve%21t1`,
		`rm -rf /`:                      `"rm -rf /" is no pveum command`,
		`pveum user delete a@pve`:       `"pveum user delete a@pve": no such command is known here`,
		`pveum user add a@pve --enable`: `"pveum user add a@pve --enable": want [userid] and options with values`,
	} {
		method, path, form, err := pveum(line)
		got := fmt.Sprint(method, " ", path, " ", form.Encode())
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", line, got, want)
		}
	}
}
