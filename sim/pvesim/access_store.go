package pvesim

import (
	"crypto/subtle"
	"maps"
	"slices"
	"strings"
	"time"
)

// access is the content of user.cfg and the files with passwords.
type access struct {
	users  []User
	groups []Group
	tokens []Token
	roles  map[string][]string
	custom map[string]bool // roles that are not built in
	acl    []ACL
	// passwords of users of the realm pam stay after the user is deleted, because these
	// users are accounts of the host.
	passwords map[string]string
}

// newAccess copies the users of a world, so that the world is never changed.
func newAccess(w World) *access {
	a := &access{users: slices.Clone(w.Users), tokens: slices.Clone(w.Tokens), acl: slices.Clone(w.ACL),
		roles: builtinRoles(w.major()), custom: map[string]bool{}, passwords: map[string]string{}}
	for _, g := range w.Groups {
		g.Users = slices.Clone(g.Users)
		a.groups = append(a.groups, g)
	}
	for name, privs := range w.Roles {
		a.roles[name] = privs
		a.custom[name] = true
	}
	for _, u := range w.Users {
		if u.Password != "" {
			a.passwords[u.ID] = u.Password
		}
	}
	return a
}

// find returns a user; nil if it does not exist.
func (a *access) find(id string) *User {
	for i := range a.users {
		if a.users[i].ID == id {
			return &a.users[i]
		}
	}
	return nil
}

func (a *access) hasUser(id string) bool { return a.find(id) != nil }

// user returns a user if it may log in now.
func (a *access) user(id string, now time.Time) *User {
	u := a.find(id)
	if u == nil || u.Disabled || u.Expire != 0 && u.Expire <= now.Unix() {
		return nil
	}
	return u
}

func (a *access) token(id string) *Token {
	for i := range a.tokens {
		if a.tokens[i].ID == id {
			return &a.tokens[i]
		}
	}
	return nil
}

func (a *access) group(id string) *Group {
	for i := range a.groups {
		if a.groups[i].ID == id {
			return &a.groups[i]
		}
	}
	return nil
}

// goodPassword reports whether this is the password of the user. A user without a
// password cannot log in with one.
func (a *access) goodPassword(user, password string) bool {
	known := a.passwords[user]
	return known != "" && subtle.ConstantTimeCompare([]byte(known), []byte(password)) == 1
}

// setPassword fails for unknown realms, and for accounts that the host does not have.
func (a *access) setPassword(user, password string) error {
	name, from, _ := strings.Cut(user, "@")
	switch {
	case !slices.ContainsFunc(realms, func(known realm) bool { return known.name == from }):
		return die("auth domain '%s' does not exist", from)
	case from == "pam" && a.passwords[user] == "":
		return die("change password failed: user '%s' does not exist", name)
	}
	a.passwords[user] = password
	return nil
}

// join adds a user to a group.
func (a *access) join(user, group string) error {
	g := a.group(group)
	if g == nil {
		return die("no such group '%s'", group)
	}
	if !slices.Contains(g.Users, user) {
		g.Users = append(g.Users, user)
	}
	return nil
}

func (a *access) leaveGroups(user string) {
	for i := range a.groups {
		a.groups[i].Users = slices.DeleteFunc(slices.Clone(a.groups[i].Users), func(u string) bool { return u == user })
	}
}

// removeUser removes a user with tokens, memberships and access rules.
func (a *access) removeUser(id string) {
	a.users = slices.DeleteFunc(a.users, func(u User) bool { return u.ID == id })
	a.tokens = slices.DeleteFunc(a.tokens, func(t Token) bool { return strings.HasPrefix(t.ID, id+"!") })
	if realmOf(id) != "pam" {
		delete(a.passwords, id)
	}
	a.leaveGroups(id)
	a.forget(func(rule ACL) bool { return rule.Subject == id })
	a.prune()
	if id == "root@pam" {
		a.users = append(a.users, User{ID: id}) // there is always one
	}
}

// forget removes access rules.
func (a *access) forget(which func(ACL) bool) { a.acl = slices.DeleteFunc(a.acl, which) }

// prune removes the rules that the real server ignores when it reads its file: those
// with deleted roles or tokens.
func (a *access) prune() {
	a.forget(func(rule ACL) bool {
		_, known := a.roles[rule.Role]
		return !known || strings.Contains(rule.Subject, "!") && a.token(rule.Subject) == nil
	})
}

// give sets one rule and replaces an existing one with the same role, path and holder.
func (a *access) give(rule ACL) {
	for i, old := range a.acl {
		if old.Path == rule.Path && old.Subject == rule.Subject && old.Role == rule.Role {
			a.acl[i] = rule
			return
		}
	}
	a.acl = append(a.acl, rule)
}

// copy returns a copy with its own lists, which replaces the store after a successful
// change.
func (a *access) copy() *access {
	c := *a
	c.users, c.tokens, c.acl, c.groups = slices.Clone(a.users), slices.Clone(a.tokens), slices.Clone(a.acl), slices.Clone(a.groups)
	for i := range c.groups {
		c.groups[i].Users = slices.Clone(c.groups[i].Users)
	}
	c.roles, c.custom = maps.Clone(a.roles), maps.Clone(a.custom)
	return &c
}

// changeAccess makes a change completely or not at all. The error begins with failed
// and is an error of the server, even if the request is wrong.
func (s *Sim) changeAccess(failed string, change func(a *access) error) (any, error) {
	if err := s.lockFor(userLock, failed); err != nil {
		return nil, err
	}
	draft := s.access.copy()
	if err := change(draft); err != nil {
		return nil, die("%s: %v", failed, err)
	}
	draft.prune()
	s.access = draft
	return nil, nil
}
