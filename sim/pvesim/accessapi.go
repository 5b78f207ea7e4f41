package pvesim

import (
	"maps"
	"slices"
	"strings"
)

func accessCalls(major int) []call {
	login := specs{
		"username": text().upTo(64).req(), "password": text().req(), "realm": text().upTo(32),
		"new-format": boolean(), "otp": text(), "tfa-challenge": text(), "path": text().upTo(64).with("privs"), "privs": formatted(listOf(privFormat(major))).upTo(64).with("path"),
	}
	return []call{
		{method: "GET", path: "/access", serve: index("subdir", "acl", "domains", "groups", "openid", "password", "permissions", "roles", "tfa", "ticket", "users")},
		{method: "GET", path: "/access/ticket", world: true, serve: func(*Sim, *request) (any, error) { return nil, nil }},
		{method: "POST", path: "/access/ticket", world: true, params: login, serve: (*Sim).login, waits: true, protected: true},
		{method: "GET", path: "/access/permissions", params: specs{"path": text(), "userid": matching(userOrToken)}, serve: (*Sim).listPermissions},
		{method: "GET", path: "/access/users", params: specs{"enabled": boolean(), "full": boolean()}, serve: (*Sim).listUsers, protected: true},
		{method: "GET", path: "/access/users/{userid}/token", params: specs{"userid": formatted(userFormat).upTo(64)}, may: orPerm(self, overUser("User.Modify")),
			serve: (*Sim).listTokens},
		{method: "GET", path: "/access/roles", serve: (*Sim).listRoles},
		{method: "GET", path: "/access/roles/{roleid}", params: specs{"roleid": formatted(roleFormat)}, serve: (*Sim).getRole},
		{method: "GET", path: "/access/acl", serve: (*Sim).listACL},
	}
}

// listPermissions returns the privileges of a user or token, by path. For others than
// the caller and its tokens, this needs Sys.Audit on /access.
func (s *Sim) listPermissions(r *request) (any, error) {
	caller := r.caller
	if id := r.args.get("userid"); id != "" {
		user, token, isToken := strings.Cut(id, "!")
		if own := r.caller.String(); own != id && !(isToken && own == user) {
			if err := s.need(r.caller, "/access", "Sys.Audit"); err != nil {
				return nil, err
			}
		}
		caller = identity{user, token}
	}
	paths := []string{r.args.get("path")}
	if paths[0] == "" {
		paths = s.knownPaths()
	}
	out := map[string]any{}
	for _, path := range paths {
		granted := map[string]int{}
		for priv, propagate := range s.privileges(caller, path) {
			granted[priv] = map[bool]int{true: 1, false: 0}[propagate]
		}
		if len(granted) > 0 || r.args.get("path") != "" {
			out[path] = granted
		}
	}
	return out, nil
}

// knownPaths are the paths that are listed when the request names none.
func (s *Sim) knownPaths() []string {
	paths := map[string]bool{}
	add := func(path string) {
		for _, level := range levels(path) {
			paths[level] = true
		}
	}
	for _, path := range []string{"/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"} {
		add(path)
	}
	for _, a := range s.access.acl {
		add(a.Path)
	}
	for _, p := range s.pools {
		for _, id := range p.vms {
			add(vmPath(id))
		}
	}
	return slices.Sorted(maps.Keys(paths))
}

// listUsers lists the caller and the users that it has privileges on. A token does not
// count as its user: it sees only users with privileges.
func (s *Sim) listUsers(r *request) (any, error) {
	out := []any{}
	privs := []string{"User.Modify", "Sys.Audit"}
	all := s.may(r.caller, "/access/groups", privs...)
	byID := func(a, b User) int { return strings.Compare(a.ID, b.ID) }
	for _, u := range slices.SortedFunc(slices.Values(s.access.users), byID) {
		if !all && r.caller.String() != u.ID && !s.overGroupOf(r.caller, u.ID, privs...) {
			continue
		}
		if r.args.has("enabled") && r.args.flag("enabled") == u.Disabled {
			continue
		}
		entry := u.fields()
		entry["userid"] = u.ID
		if realm := realmOf(u.ID); realm == "pam" || realm == "pve" {
			entry["realm-type"] = realm
		}
		if r.args.flag("full") {
			entry["groups"], entry["tokens"] = s.groupsOf(u.ID), s.tokensOf(u.ID)
		}
		out = append(out, entry)
	}
	return out, nil
}

// fields are the fields of a user in an answer. Empty texts are left out, except an
// email address that is followed by other fields in the user's line of user.cfg.
func (u User) fields() map[string]any {
	out := map[string]any{"enable": 1, "expire": u.Expire}
	if u.Disabled {
		out["enable"] = 0
	}
	for name, text := range u.texts() {
		if *text != "" {
			out[name] = *text
		}
	}
	if u.Comment+u.Keys != "" {
		out["email"] = u.Email
	}
	return out
}

func (s *Sim) groupsOf(user string) string {
	var names []string
	for _, g := range s.access.groups {
		if slices.Contains(g.Users, user) {
			names = append(names, g.ID)
		}
	}
	return strings.Join(names, ",")
}

func (s *Sim) listTokens(r *request) (any, error) {
	user := r.args.get("userid")
	if err := s.knownUser(user); err != nil {
		return nil, err
	}
	return s.tokensOf(user), nil
}

func (s *Sim) listRoles(*request) (any, error) {
	out := []any{}
	for _, name := range slices.Sorted(maps.Keys(s.access.roles)) {
		special := 1
		if s.access.custom[name] {
			special = 0
		}
		privs := slices.Sorted(slices.Values(s.access.roles[name]))
		out = append(out, map[string]any{"roleid": name, "special": special, "privs": strings.Join(privs, ",")})
	}
	return out, nil
}

func (s *Sim) getRole(r *request) (any, error) {
	privs, ok := s.access.roles[r.args.get("roleid")]
	if !ok {
		return nil, die("role '%s' does not exist", r.args.get("roleid"))
	}
	out := map[string]int{}
	for _, priv := range privs {
		out[priv] = 1
	}
	return out, nil
}

// listACL lists the entries of the paths that the caller may change or audit.
func (s *Sim) listACL(r *request) (any, error) {
	audit := s.may(r.caller, "/access", "Sys.Audit")
	out := []any{}
	for _, a := range s.access.acl {
		if !audit && !s.may(r.caller, a.Path, rightsToRules(a.Path)...) {
			continue
		}
		kind := "user"
		switch {
		case strings.HasPrefix(a.Subject, "@"):
			kind = "group"
		case strings.Contains(a.Subject, "!"):
			kind = "token"
		}
		propagate := 1
		if a.NoPropagate {
			propagate = 0
		}
		out = append(out, map[string]any{
			"path": a.Path, "type": kind, "ugid": strings.TrimPrefix(a.Subject, "@"), "roleid": a.Role, "propagate": propagate,
		})
	}
	return out, nil
}
