package proxmox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// The printed commands are run by a real shell. Its pveum is this test program under
// another name, which makes the API calls that pveum makes.

// Environment variables for the pveum of the tests.
const (
	pveumEndpoint = "PVEUM_ENDPOINT" // of the simulated cluster
	pveumPassword = "PVEUM_PASSWORD" // of root@pam
)

func TestMain(m *testing.M) {
	if os.Getenv(pveumEndpoint) == "" {
		os.Exit(m.Run())
	}
	if err := pveum(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(255) // as pveum does
	}
}

// pveumCalls are the API calls of pveum's commands (PVE::CLI::pveum): the call, the
// names of the arguments there, and additional parameters.
var pveumCalls = map[string]struct {
	method, path string
	words        []string
	form         url.Values
}{
	"user add":          {"POST", "/access/users", []string{"userid"}, nil},
	"user modify":       {"PUT", "/access/users/{userid}", []string{"userid"}, nil},
	"role add":          {"POST", "/access/roles", []string{"roleid"}, nil},
	"role modify":       {"PUT", "/access/roles/{roleid}", []string{"roleid"}, nil},
	"pool add":          {"POST", "/pools", []string{"poolid"}, nil},
	"pool modify":       {"PUT", "/pools", []string{"poolid"}, nil},
	"user token add":    {"POST", "/access/users/{userid}/token/{tokenid}", []string{"userid", "tokenid"}, nil},
	"user token modify": {"PUT", "/access/users/{userid}/token/{tokenid}", []string{"userid", "tokenid"}, nil},
	"acl modify":        {"PUT", "/access/acl", []string{"path"}, nil},
	"acl delete":        {"PUT", "/access/acl", []string{"path"}, url.Values{"delete": {"1"}}},
	"acl list":          {"GET", "/access/acl", nil, nil},
}

// pveum runs one command line.
func pveum(args []string, out io.Writer) error {
	method, path, form, err := pveumCall(args)
	if err != nil {
		return err
	}
	root := &administrator{base: os.Getenv(pveumEndpoint), wire: http.DefaultTransport}
	if err := root.login(os.Getenv(pveumPassword)); err != nil {
		return err
	}
	data, err := root.call(method, path, form)
	if err != nil || string(data) == "null" {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", data)
	return err
}

// pveumCall converts a command line to an API call.
func pveumCall(args []string) (method, path string, form url.Values, err error) {
	for name, call := range pveumCalls {
		command := strings.Fields(name)
		if len(args) < len(command)+len(call.words) || !slices.Equal(args[:len(command)], command) {
			continue
		}
		path, form = call.path, url.Values{}
		for key, values := range call.form {
			form[key] = values
		}
		rest := args[len(command):]
		for i, word := range call.words {
			if placeholder := "{" + word + "}"; strings.Contains(path, placeholder) {
				path = strings.ReplaceAll(path, placeholder, url.PathEscape(rest[i]))
			} else {
				form.Set(word, rest[i])
			}
		}
		for options := rest[len(call.words):]; len(options) > 0; options = options[2:] {
			option, ok := strings.CutPrefix(options[0], "--")
			if !ok || len(options) < 2 {
				return "", "", nil, fmt.Errorf("pveum %q: want options with values", args)
			}
			if option != "output-format" {
				form.Add(option, options[1])
			}
		}
		return call.method, path, form, nil
	}
	return "", "", nil, fmt.Errorf("pveum %q: no such command is known here", args)
}

// administrator makes calls as root@pam, as pveum does.
type administrator struct {
	base   string
	wire   http.RoundTripper
	header http.Header
}

func (a *administrator) call(method, path string, form url.Values) (data json.RawMessage, err error) {
	r, err := http.NewRequest(method, a.base+"/api2/json"+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	if method == http.MethodGet {
		r.Body, r.ContentLength, r.URL.RawQuery = nil, 0, form.Encode()
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
		Data json.RawMessage `json:"data"`
	}
	return envelope.Data, json.Unmarshal(body, &envelope)
}

// login gets a ticket for root@pam.
func (a *administrator) login(password string) error {
	a.header = http.Header{}
	data, err := a.call("POST", "/access/ticket", url.Values{"username": {"root@pam"}, "password": {password}})
	if err != nil {
		return err
	}
	var ticket struct{ Ticket, CSRFPreventionToken string }
	if err := json.Unmarshal(data, &ticket); err != nil {
		return err
	}
	a.header.Set("Cookie", "PVEAuthCookie="+url.QueryEscape(ticket.Ticket))
	a.header.Set("CSRFPreventionToken", ticket.CSRFPreventionToken)
	return nil
}

// bare removes all users except root@pam from a simulated cluster, and all rights.
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

// clusterHost is a host of a simulated cluster with a shell that runs printed commands.
type clusterHost struct {
	t    *testing.T
	dir  string // where the shell runs
	env  []string
	root *administrator
}

func newClusterHost(t *testing.T, w pvesim.World, rootPassword string) *clusterHost {
	t.Helper()
	sim, err := pvesim.New(w, pvesim.WithLog(func(string, ...any) {}))
	must(t, err)
	t.Cleanup(sim.Close)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	self, err := os.Executable()
	must(t, err)
	bin := t.TempDir()
	must(t, os.Symlink(self, filepath.Join(bin, "pveum")))
	h := newHost(t, bin, pveumEndpoint+"="+server.URL, pveumPassword+"="+rootPassword)
	h.root = &administrator{base: server.URL, wire: http.DefaultTransport}
	must(t, h.root.login(rootPassword))
	return h
}

func newHost(t *testing.T, bin string, env ...string) *clusterHost {
	return &clusterHost{t: t, dir: t.TempDir(), env: append(env, "PATH="+bin+":"+os.Getenv("PATH"), "HOME=/nowhere", "LC_ALL=C",
		"GORACE=atexit_sleep_ms=0")} // a pveum that was built with the race detector would take a second more each time
}

// run passes a script to a shell on its standard input, as ssh does.
func (h *clusterHost) run(shell, script string) (out, complaints string, err error) {
	h.t.Helper()
	c := exec.Command(shell)
	c.Dir, c.Env, c.Stdin = h.dir, h.env, strings.NewReader(script)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err = c.Run()
	return stdout.String(), stderr.String(), err
}

// listener is a host whose pveum records its command lines and always succeeds.
type listener struct {
	*clusterHost
	journal string
}

func newListener(t *testing.T) *listener {
	t.Helper()
	bin := t.TempDir()
	journal := filepath.Join(bin, "journal")
	must(t, os.WriteFile(journal, nil, 0o600))
	script := "#!/bin/sh\nprintf '%s\\0' \"$#\" \"$@\" >> '" + journal + "'\n[ \"$2\" != list ] || echo '[]'\n"
	must(t, os.WriteFile(filepath.Join(bin, "pveum"), []byte(script), 0o700))
	return &listener{newHost(t, bin), journal}
}

// heard returns the command lines that pveum was run with.
func (l *listener) heard() (lines [][]string) {
	l.t.Helper()
	data, err := os.ReadFile(l.journal)
	must(l.t, err)
	for words := strings.Split(string(data), "\x00"); len(words) > 1; {
		n, err := strconv.Atoi(words[0])
		must(l.t, err)
		lines = append(lines, words[1:1+n])
		words = words[1+n:]
	}
	return lines
}

// rights returns the access rules and the roles of the cluster, as root sees them.
func (h *clusterHost) rights() (rules []pvesim.ACL, roles map[string][]string) {
	h.t.Helper()
	data, err := h.root.call("GET", "/access/acl", nil)
	must(h.t, err)
	var list []struct{ Path, UGID, RoleID string }
	must(h.t, json.Unmarshal(data, &list))
	for _, rule := range list {
		rules = append(rules, pvesim.ACL{Path: rule.Path, Subject: rule.UGID, Role: rule.RoleID})
	}
	data, err = h.root.call("GET", "/access/roles", nil)
	must(h.t, err)
	var made []struct{ RoleID, Privs string }
	must(h.t, json.Unmarshal(data, &made))
	roles = map[string][]string{}
	for _, role := range made {
		if strings.HasPrefix(role.RoleID, "GpuWorker") {
			roles[role.RoleID] = strings.Split(role.Privs, ",")
			slices.Sort(roles[role.RoleID])
		}
	}
	return rules, roles
}
