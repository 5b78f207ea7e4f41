package pvesim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// grant is a privilege on a path.
type grant struct{ path, priv string }

// checkTree is a permission check of the table, parsed independently of the simulator:
// nested lists such as ["and", ["perm", "/vms/{vmid}", ["VM.Clone"]], …].
type checkTree []any

func (c checkTree) kind() string { return fmt.Sprint(c[0]) }

// below returns the checks in an "and" or "or".
func (c checkTree) below() []checkTree {
	var out []checkTree
	for _, sub := range c[1:] {
		out = append(out, checkTree(sub.([]any)))
	}
	return out
}

func (c checkTree) privs(at int) []string {
	var out []string
	for _, p := range c[at].([]any) {
		out = append(out, fmt.Sprint(p))
	}
	return out
}

// option returns the value after a word at the end: "any", 1.
func (c checkTree) option(word string) string {
	if i := slices.IndexFunc(c, func(v any) bool { return v == word }); i >= 0 && i+1 < len(c) {
		return fmt.Sprint(c[i+1])
	}
	return ""
}

// groupsPath is the path of privileges on all users.
const groupsPath = "/access/groups"

// grants returns all privileges that the check requires.
func (c checkTree) grants(values map[string]string) []grant {
	var out []grant
	switch c.kind() {
	case "and", "or":
		for _, sub := range c.below() {
			out = append(out, sub.grants(values)...)
		}
	case "perm":
		for _, priv := range c.privs(2) {
			out = append(out, grant{fill(fmt.Sprint(c[1]), values), priv})
		}
	case "userid-group":
		for _, priv := range c.privs(1) {
			out = append(out, grant{groupsPath, priv})
		}
	case "userid-param":
		if c[1] != "self" {
			out = append(out, grant{realmPath(values), fmt.Sprint(c[1])})
		}
	case "perm-modify":
		for _, priv := range modifiers(values["path"]) {
			out = append(out, grant{values["path"], priv})
		}
	}
	return out
}

// realmPath is the path of privileges on the users of a realm.
func realmPath(values map[string]string) string {
	_, realm, _ := strings.Cut(values["userid"], "@")
	return "/access/realm/" + realm
}

// modifiers are the privileges that allow changing the access rules of a path, according
// to the documentation of the call; one of them is enough.
func modifiers(path string) []string {
	extra := map[string]string{"storage": "Datastore.Allocate", "vms": "VM.Allocate", "pool": "Pool.Allocate"}
	parts := strings.Split(path, "/")
	if priv := extra[parts[1]]; priv != "" && len(parts) > 2 {
		return []string{"Permissions.Modify", priv}
	}
	return []string{"Permissions.Modify"}
}

// passes reports whether the check passes with these grants.
func (c checkTree) passes(has []grant, values map[string]string) bool {
	holds := func(path string) func(string) bool {
		return func(priv string) bool { return slices.Contains(has, grant{path, priv}) }
	}
	switch c.kind() {
	case "and":
		return !slices.ContainsFunc(c.below(), func(sub checkTree) bool { return !sub.passes(has, values) })
	case "or":
		return slices.ContainsFunc(c.below(), func(sub checkTree) bool { return sub.passes(has, values) })
	case "userid-param":
		// The probing user asks by a token, and a token is not its user.
		return c[1] != "self" && holds(realmPath(values))(fmt.Sprint(c[1]))
	case "perm-modify":
		return slices.ContainsFunc(modifiers(values["path"]), holds(values["path"]))
	case "userid-group":
		return slices.ContainsFunc(c.privs(1), holds(groupsPath))
	case "perm":
		if needed := c.option("require_param"); needed != "" && values[needed] == "" {
			return false
		}
		path := fill(fmt.Sprint(c[1]), values)
		if c.option("any") == "1" {
			return slices.ContainsFunc(c.privs(2), holds(path))
		}
		return !slices.ContainsFunc(c.privs(2), func(priv string) bool { return !holds(path)(priv) })
	}
	panic("a check that this test cannot read: " + c.kind())
}

func fill(path string, values map[string]string) string {
	return pathParam.ReplaceAllStringFunc(path, func(m string) string { return values[m[1:len(m)-1]] })
}

const (
	probeUser  = "probe@pve"
	probeToken = "probe@pve!t0=55555555-5555-4555-8555-555555555555"
)

// give replaces the privileges of the probing user.
func (s *Sim) give(grants []grant) {
	s.lock()
	defer s.unlock()
	s.access.acl = nil
	byPath := map[string][]string{}
	for _, g := range grants {
		byPath[g.path] = append(byPath[g.path], g.priv)
	}
	for path, privs := range byPath {
		role := "Probe" + path
		s.access.roles[role] = privs
		s.access.acl = append(s.access.acl, ACL{Path: path, Subject: probeUser, Role: role, NoPropagate: path == "/"})
	}
}

// subsets returns the sets of grants to try: all sets if there are few grants, otherwise
// none, all, each alone, and all except each.
func subsets(all []grant) [][]grant {
	slices.SortFunc(all, func(a, b grant) int { return strings.Compare(a.path+a.priv, b.path+b.priv) })
	all = slices.Compact(all)
	var out [][]grant
	if len(all) <= 4 {
		for mask := range 1 << len(all) {
			var some []grant
			for i, g := range all {
				if mask&(1<<i) != 0 {
					some = append(some, g)
				}
			}
			out = append(out, some)
		}
		return out
	}
	out = append(out, nil, all)
	for i, g := range all {
		out = append(out, []grant{g}, slices.Delete(slices.Clone(all), i, i+1))
	}
	return out
}

// elsewhere returns the same privileges on similar paths, and all other privileges:
// with these, the check must not pass.
func elsewhere(s *Sim, all []grant) []grant {
	var out []grant
	for _, g := range all {
		if g.path != "/" {
			out = append(out, grant{g.path + "9", g.priv})
		}
		for _, priv := range allPrivileges(s.major) {
			if !slices.ContainsFunc(all, func(g grant) bool { return g.priv == priv }) {
				out = append(out, grant{g.path, priv})
			}
		}
	}
	return out
}

// newProbed returns a simulator with the probing user.
func newProbed(t *testing.T) (*Sim, *client) {
	t.Helper()
	world := homelab(t)
	world.Users = append(world.Users, User{ID: probeUser})
	name, secret, _ := strings.Cut(probeToken, "=")
	world.Tokens = append(world.Tokens, Token{ID: name, Secret: secret, NoPrivSep: true})
	sim := newSim(t, world)
	return sim, sim.as(t, probeToken)
}

func TestPrivilegesAreThoseOfTheTable(t *testing.T) {
	sim, probe := newProbed(t)
	tried := 0
	eachDeclared(t, func(t *testing.T, c call, d declaredCall) {
		if d.Permissions == nil {
			t.Skip("not judged: the table says nothing of its privileges")
		}
		if d.Permissions.User == "world" {
			if !c.world {
				t.Error("it wants credentials")
			}
			return
		}
		for _, values := range valuesFor(d) {
			var all []grant
			if d.Permissions.User != "all" {
				all = checkTree(d.Permissions.Check).grants(values)
			}
			for _, has := range append(subsets(all), elsewhere(sim, all)) {
				want := d.Permissions.User == "all" || checkTree(d.Permissions.Check).passes(has, values)
				sim.give(has)
				got := probe.do(c.method, fill(declaredPath(c.path), values), probeFields(c, values)...)
				tried++
				if got.err != nil || got.code == 401 || (got.code != 403) != want {
					if !deviation(t, c.key()+" privileges") {
						t.Errorf("with %v of %v: %d %s, want allowed %v", has, all, got.code, got.reason, want)
					}
				}
			}
		}
	})
	t.Logf("%d sets of privileges were tried", tried)
}

// valuesFor returns the parameters of a call that determine the checked paths.
func valuesFor(d declaredCall) []map[string]string {
	base := map[string]string{"node": "pve1", "vmid": "100", "storage": "local", "id": "vdi-t4", "upid": "UPID:x", "volume": "iso", "newid": "130",
		"userid": "root@pam", "tokenid": "t0", "roleid": "PVEAdmin", "poolid": "gpu-workers", "sid": "vm:100", "snapname": "before", "pci-id-or-mapping": "vdi-t4"}
	all := []map[string]string{base}
	if text := fmt.Sprint(d.Permissions.Check); strings.Contains(text, "{pool}") {
		all = append(all, merge(base, map[string]string{"pool": "gpu-workers"}))
	} else if strings.Contains(text, "self") {
		all = append(all, merge(base, map[string]string{"userid": probeUser}))
	} else if strings.Contains(text, "perm-modify") {
		all = nil
		for _, path := range []string{"/access", "/vms", "/vms/100", "/storage", "/storage/local", "/pool/gpu-workers", "/nodes/pve1"} {
			all = append(all, merge(base, map[string]string{"path": path}))
		}
	}
	return all
}

// probeFields are invalid parameters, so that a call is refused after the check of the
// privileges.
func probeFields(c call, values map[string]string) []string {
	fields := []string{bogus, "1"}
	for _, name := range []string{"newid", "pool", "poolid", "userid", "path"} {
		inPath := strings.Contains(c.path, "{"+name+"}")
		if _, takes := c.params[name]; takes && values[name] != "" && !inPath {
			fields = append(fields, name, values[name])
		}
	}
	return fields
}
