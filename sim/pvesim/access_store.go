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
	// passwords outlive users of the realm pam, who are accounts of the host.
	passwords map[string]string
}

// newAccess copies what a world says: nothing in the world changes later.
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

// find is a user, nil when there is none of that name.
func (a *access) find(id string) *User {
	for i := range a.users {
		if a.users[i].ID == id {
			return &a.users[i]
		}
	}
	return nil
}

func (a *access) hasUser(id string) bool { return a.find(id) != nil }

// user finds a user that may log in now.
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

// goodPassword reports whether it is the user's; who has none cannot log in by one.
func (a *access) goodPassword(user, password string) bool {
	known := a.passwords[user]
	return known != "" && subtle.ConstantTimeCompare([]byte(known), []byte(password)) == 1
}

// setPassword fails for realms that are not there, and for accounts that the
// host does not have.
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

// join puts a user into a group.
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

// prune removes the rules that the real server passes over when it reads its
// file: those with roles or tokens that are no more.
func (a *access) prune() {
	a.forget(func(rule ACL) bool {
		_, known := a.roles[rule.Role]
		return !known || strings.Contains(rule.Subject, "!") && a.token(rule.Subject) == nil
	})
}

// give sets one rule: who has a role on a path has it there once.
func (a *access) give(rule ACL) {
	for i, old := range a.acl {
		if old.Path == rule.Path && old.Subject == rule.Subject && old.Role == rule.Role {
			a.acl[i] = rule
			return
		}
	}
	a.acl = append(a.acl, rule)
}

// copy is the store with lists of its own: a change is made on it, and counts
// when it is whole.
func (a *access) copy() *access {
	c := *a
	c.users, c.tokens, c.acl, c.groups = slices.Clone(a.users), slices.Clone(a.tokens), slices.Clone(a.acl), slices.Clone(a.groups)
	for i := range c.groups {
		c.groups[i].Users = slices.Clone(c.groups[i].Users)
	}
	c.roles, c.custom = maps.Clone(a.roles), maps.Clone(a.custom)
	return &c
}

// changeAccess makes a change wholly or not at all; what goes wrong is said
// after what failed, as an error of the server even where it is the caller's.
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
