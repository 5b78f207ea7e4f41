package proxmox

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// shells are the shells of this machine that a host may have as sh.
func shells(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, name := range []string{"dash", "bash"} {
		if _, err := exec.LookPath(name); err == nil {
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		return []string{"sh"}
	}
	return found
}

func role(version string, scope hypervisor.Scope) string { return (&Backend{}).Role(version, scope) }

var secretForm = regexp.MustCompile(`"value":"([0-9a-f-]+)"`)

// expected are the rules and roles that a script prints, and nothing else.
func expected(script string) (rules []pvesim.ACL, roles map[string][]string) {
	var w pvesim.World
	applyRole(&w, script)
	for _, privileges := range w.Roles {
		slices.Sort(privileges)
	}
	return w.ACL, w.Roles
}

func sortedRules(rules []pvesim.ACL) []string {
	var lines []string
	for _, r := range rules {
		lines = append(lines, r.Path+" "+r.Subject+" "+r.Role)
	}
	slices.Sort(lines)
	return lines
}

// asPrinted fails the test unless user and token have exactly the printed rights,
// and all other users have the same rights as before.
func (h *clusterHost) asPrinted(script string, others ...pvesim.ACL) {
	h.t.Helper()
	rules, roles := h.rights()
	want, wantRoles := expected(script)
	if got, want := sortedRules(rules), sortedRules(append(want, others...)); !slices.Equal(got, want) {
		h.t.Errorf("rules\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for name, privileges := range wantRoles {
		if !slices.Equal(roles[name], privileges) {
			h.t.Errorf("role %s has %v, want %v", name, roles[name], privileges)
		}
	}
}

// TestThePrintedCommandsMakeALoginThatIsEnough runs the printed commands twice on a
// new cluster, and goes through a worker's life with the new token.
func TestThePrintedCommandsMakeALoginThatIsEnough(t *testing.T) {
	for _, version := range []string{"8.4.1", "9.1.4"} {
		for _, shell := range shells(t) {
			t.Run(version+" "+shell, func(t *testing.T) {
				w := world(t)
				w.Version = version
				password := bare(&w)
				h := newClusterHost(t, w, password)
				script := role(version, roleScope)
				out, complaints, err := h.run(shell, script)
				secret := secretForm.FindStringSubmatch(out)
				if err != nil || complaints != "" || len(secret) != 2 {
					t.Fatalf("%v\n%s\n%s\n%s", err, out, complaints, script)
				}
				h.asPrinted(script)
				again, complaints, err := h.run(shell, script)
				if err != nil || again+complaints != "" {
					t.Errorf("a second time: %v\n%s\n%s", err, again, complaints)
				}
				h.asPrinted(script)
				applyRole(&w, script)
				w.Users = append(w.Users, pvesim.User{ID: roleUser})
				w.Tokens = []pvesim.Token{{ID: roleUser + "!" + roleToken, Secret: secret[1]}}
				synctest.Test(t, func(t *testing.T) {
					if missing, err := life(t, w); err != nil || len(missing) > 0 {
						t.Errorf("missing %v, life: %v", missing, err)
					}
				})
			})
		}
	}
}

// TestAfterAChangeOfDocumentsTheRightsAreThosePrinted runs the commands of one set of
// documents and then those of another, on a cluster with rules of other users.
func TestAfterAChangeOfDocumentsTheRightsAreThosePrinted(t *testing.T) {
	w := world(t)
	password := bare(&w)
	w.Users = append(w.Users, pvesim.User{ID: "ops@pve"}, pvesim.User{ID: "xgpuworker@pve"})
	w.Tokens = []pvesim.Token{{ID: "ops@pve!ci", Secret: "11111111-1111-4111-8111-111111111111"}}
	others := []pvesim.ACL{
		{Path: "/storage/local-lvm", Subject: "ops@pve", Role: "Administrator"}, {Path: "/", Subject: "ops@pve!ci", Role: "PVEAuditor"},
		{Path: "/mapping/pci", Subject: "xgpuworker@pve", Role: "Administrator"},
	}
	w.ACL = others
	h := newClusterHost(t, w, password)
	first := role("9", hypervisor.Scope{Storages: []string{"local-lvm", "local"}, Cards: true, ResourcePools: []string{"gpu-workers/deep", "plain"}})
	second := role("9", hypervisor.Scope{Storages: []string{"local"}})
	out, complaints, err := h.run("sh", first)
	if err != nil || complaints != "" {
		t.Fatalf("%v\n%s%s", err, out, complaints)
	}
	h.asPrinted(first, others...)
	secret := secretForm.FindStringSubmatch(out)
	for _, pool := range []string{"gpu-workers", "gpu-workers/deep", "plain"} {
		if _, err := h.root.call("GET", "/pools/"+pool, nil); err != nil {
			t.Errorf("pool %s: %v", pool, err)
		}
	}
	for i, script := range []string{second, first, second} {
		out, complaints, err := h.run("sh", script)
		if err != nil || complaints != "" || strings.Contains(out, secret[1]) || secretForm.MatchString(out) {
			t.Fatalf("%v\n%s%s", err, out, complaints)
		}
		if taken := strings.Contains(out, "revoked from gpuworker@pve!engine: GpuWorkerMapping on /mapping/pci\n"); taken != (i != 1) {
			t.Errorf("run %d says %q", i, out)
		}
		h.asPrinted(script, others...)
	}
	if data, err := h.root.call("GET", "/access/users/"+roleUser+"/token/"+roleToken, nil); err != nil {
		t.Errorf("the token: %s, %v", data, err)
	}
}

// TestNoNameInTheDocumentsIsRunAsACommand puts text that a shell would run or split
// into every name that comes from documents.
func TestNoNameInTheDocumentsIsRunAsACommand(t *testing.T) {
	names := []string{
		"x'; touch pwned; '", "$(touch pwned)", "`touch pwned`", "x; touch pwned", "x\ntouch pwned\n", "x\rtouch pwned", "a b",
		`x"$HOME"`, "x\\", "x&touch pwned", "}\ntouch pwned\n{", "*", "#", "~root",
	}
	script := role("9", hypervisor.Scope{Storages: names, ResourcePools: names})
	for _, shell := range shells(t) {
		h := newListener(t)
		if out, complaints, err := h.run(shell, script); err != nil || out+complaints != "" {
			t.Errorf("%s: %v\n%s%s", shell, err, out, complaints)
		}
		typed := fmt.Sprintf("%q", h.heard())
		for _, name := range names {
			for _, words := range [][]string{
				{"pool", "modify", name},
				{"acl", "modify", "/pool/" + name, "--users", roleUser, "--roles", "GpuWorkerPool"},
				{"acl", "modify", "/storage/" + name, "--tokens", roleUser + "!" + roleToken, "--roles", "GpuWorkerStorage"},
			} {
				if !strings.Contains(typed, fmt.Sprintf("%q", words)) {
					t.Errorf("%s: %q was not run", shell, words)
				}
			}
		}
		if left, err := os.ReadDir(h.dir); err != nil || len(left) > 0 {
			t.Errorf("%s ran a name: %v", shell, left)
		}
	}
}

// TestAnIncompleteScriptDoesNothing cuts the script at each line.
func TestAnIncompleteScriptDoesNothing(t *testing.T) {
	h := newListener(t)
	script := strings.TrimSuffix(role("9", roleScope), "\n")
	for at, c := range script {
		if c != '\n' || at < strings.Index(script, "{\n") {
			continue
		}
		if _, _, err := h.run("sh", script[:at]); err == nil || len(h.heard()) > 0 {
			t.Fatalf("%d bytes: %v, ran %q", at, err, h.heard())
		}
	}
}

// TestACommandThatFailsEndsTheScriptAndSaysWhy, also when it is in the middle, or when
// it lists the rules.
func TestACommandThatFailsEndsTheScriptAndSaysWhy(t *testing.T) {
	w := world(t)
	password := bare(&w)
	for path, want := range map[string]string{
		`^/access/users$`: "user add failed", `^/access/roles`: "role add failed", `^/access/acl$`: "rules failed",
	} {
		w.Faults = nil
		for _, method := range []string{"POST", "PUT", "GET"} {
			w.Faults = append(w.Faults, pvesim.Fault{Method: method, Path: path, Times: -1, Effect: pvesim.Status, Code: 500, Text: want})
		}
		h := newClusterHost(t, w, password)
		if _, complaints, err := h.run("sh", role("9", roleScope)); err == nil || !strings.Contains(complaints, want) {
			t.Errorf("%s: %v\n%s", path, err, complaints)
		}
	}
}
