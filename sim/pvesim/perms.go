package pvesim

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// check is a test of privileges; the error is what a client gets.
type check func(s *Sim, r *request) error

var pathParam = regexp.MustCompile(`\{([^}]+)\}`)

// expandPath inserts the parameters of a request into a path such as /vms/{vmid}.
func expandPath(path string, r *request) string {
	return pathParam.ReplaceAllStringFunc(path, func(m string) string { return r.args.get(m[1 : len(m)-1]) })
}

// perm requires one privilege on a path.
func perm(path, priv string) check {
	return func(s *Sim, r *request) error { return s.need(r.caller, expandPath(path, r), priv) }
}

// permAny requires one of several privileges.
func permAny(path string, privs ...string) check {
	return func(s *Sim, r *request) error { return s.needAny(r.caller, expandPath(path, r), privs...) }
}

// orPerm passes when one of several checks passes. Like the real one, it does not name
// the missing privilege.
func orPerm(checks ...check) check {
	return func(s *Sim, r *request) error {
		for _, c := range checks {
			if c(s, r) == nil {
				return nil
			}
		}
		return forbidden("Permission check failed")
	}
}

func andPerm(checks ...check) check {
	return func(s *Sim, r *request) error {
		for _, c := range checks {
			if err := c(s, r); err != nil {
				return err
			}
		}
		return nil
	}
}

// need returns an error if the caller lacks a privilege on a path.
func (s *Sim) need(caller identity, path, priv string) error {
	return s.needAny(caller, path, priv)
}

func (s *Sim) needAny(caller identity, path string, privs ...string) error {
	if s.may(caller, path, privs...) {
		return nil
	}
	return forbidden("Permission check failed (%s, %s)", path, strings.Join(privs, "|"))
}

// may reports whether the caller has one of the privileges.
func (s *Sim) may(caller identity, path string, privs ...string) bool {
	held := s.held(caller, path)
	for _, priv := range privs {
		if _, ok := held(priv); ok {
			return true
		}
	}
	return false
}

// privileges returns all privileges of an identity on a path; the value says whether a
// privilege is propagated to the paths below.
func (s *Sim) privileges(caller identity, path string) map[string]bool {
	out := map[string]bool{}
	held := s.held(caller, path)
	for _, priv := range s.privs {
		if below, ok := held(priv); ok {
			out[priv] = below
		}
	}
	return out
}

// holding returns whether a privilege is present (ok), and whether it is propagated
// (below).
type holding func(priv string) (below, ok bool)

func nothing(string) (below, ok bool) { return false, false }

// everything is the holding of root.
func (s *Sim) everything(priv string) (below, ok bool) {
	ok = slices.Contains(s.privs, priv)
	return ok, ok
}

// held returns the privileges of an identity on a path. A token with privilege
// separation has the privileges that both it and its user have.
func (s *Sim) held(caller identity, path string) holding {
	if !strings.HasPrefix(path, "/") {
		return nothing
	}
	user := holding(s.everything)
	if caller.user != "root@pam" {
		user = s.granted(caller.user, path)
	}
	if caller.token == "" {
		return user
	}
	t := s.access.token(caller.String())
	switch {
	case t == nil:
		return nothing
	case t.NoPrivSep:
		return user
	}
	own := s.granted(caller.String(), path)
	return func(priv string) (bool, bool) {
		userBelow, userHas := user(priv)
		below, has := own(priv)
		return below && userBelow, has && userHas
	}
}

// granted returns the privileges by access rules, including those of the VM's pool.
func (s *Sim) granted(caller, path string) holding {
	roles := s.roles(caller, path)
	if id, ok := strings.CutPrefix(path, "/vms/"); ok {
		vmid, _ := strconv.Atoi(id)
		if p := s.poolOf(vmid); p != nil {
			roles = withPool(roles, s.roles(caller, "/pool/"+p.id))
		}
	}
	if _, none := roles["NoAccess"]; none {
		return nothing
	}
	return func(priv string) (below, ok bool) {
		for role, propagate := range roles {
			if slices.Contains(s.access.roles[role], priv) {
				below, ok = below || propagate, true
			}
		}
		return below, ok
	}
}

// withPool adds the roles on a VM's pool. They apply to the VM and are not propagated.
// NoAccess on the pool applies to the VM too.
func withPool(roles, pool map[string]bool) map[string]bool {
	if _, none := pool["NoAccess"]; none {
		return map[string]bool{"NoAccess": false}
	}
	out := map[string]bool{}
	for role := range pool {
		out[role] = false
	}
	return merge(out, roles)
}

// roles walks from / to the path. An entry for the user, or else for one of its groups,
// replaces the inherited roles.
func (s *Sim) roles(caller, path string) map[string]bool {
	var roles map[string]bool
	for _, level := range levels(path) {
		var own, byGroup map[string]bool
		for _, a := range s.access.acl {
			if a.Path != level || a.NoPropagate && level != path {
				continue
			}
			if a.Subject == caller {
				own = with(own, a.Role, !a.NoPropagate)
			} else if s.inGroup(caller, a.Subject) {
				byGroup = with(byGroup, a.Role, !a.NoPropagate)
			}
		}
		switch {
		case len(own) > 0:
			roles = own
		case len(byGroup) > 0:
			roles = byGroup
		}
	}
	return roles
}

// with returns a copy of a map with one more entry.
func with(m map[string]bool, key string, value bool) map[string]bool {
	if m == nil {
		m = map[string]bool{}
	}
	m[key] = value
	return m
}

func (s *Sim) inGroup(user, group string) bool {
	return slices.ContainsFunc(s.access.groups, func(g Group) bool {
		return "@"+g.ID == group && slices.Contains(g.Users, user)
	})
}

// levels returns a path and all paths above it: /, /vms, /vms/100.
func levels(path string) []string {
	out := []string{"/"}
	current := ""
	for _, part := range segments(path) {
		current += "/" + part
		out = append(out, current)
	}
	return out
}

// agentPriv is the check of an agent call. Proxmox VE 8 has another privilege for it,
// VM.Monitor.
func agentPriv(privs ...string) check {
	return func(s *Sim, r *request) error {
		asked := privs
		if s.major < 9 {
			asked = []string{"VM.Monitor"}
		}
		return s.needAny(r.caller, expandPath("/vms/{vmid}", r), asked...)
	}
}
