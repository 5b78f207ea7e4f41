package pvesim

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// nameForm is the form of the ids of groups and roles.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9.\-_]+$`)

func groupFormat(_, v string) string {
	if !nameForm.MatchString(v) {
		return fmt.Sprintf("group name '%s' contains invalid characters", v)
	}
	return ""
}

func roleFormat(_, v string) string {
	if !nameForm.MatchString(v) {
		return fmt.Sprintf("role name '%s' contains invalid characters", v)
	}
	return ""
}

// privFormat checks for privileges of a major version.
func privFormat(major int) func(name, value string) string {
	known := allPrivileges(major)
	return func(_, v string) string {
		if !slices.Contains(known, v) {
			return fmt.Sprintf("invalid privilege '%s'", v)
		}
		return ""
	}
}

func (s *Sim) createRole(r *request) (any, error) {
	id := r.args.get("roleid")
	if strings.HasPrefix(strings.ToUpper(id), "PVE") {
		return nil, badParam("roleid", "cannot use role ID starting with the (case-insensitive) 'PVE' namespace")
	}
	return s.changeAccess("create role failed", func(a *access) error {
		if _, there := a.roles[id]; there {
			return die("role '%s' already exists", id)
		}
		a.roles[id], a.custom[id] = privList(r.args.get("privs")), true
		return nil
	})
}

// privList splits a list of privileges and removes duplicates.
func privList(text string) []string {
	privs := splitList(text)
	slices.Sort(privs)
	return slices.Compact(privs)
}

// updateRole replaces a role's privileges, with append it adds to them.
func (s *Sim) updateRole(r *request) (any, error) {
	id := r.args.get("roleid")
	if s.access.builtin(id) {
		return nil, die("auto-generated role '%s' cannot be modified", id)
	}
	return s.changeAccess("update role failed", func(a *access) error {
		old, there := a.roles[id]
		if !there {
			return die("role '%s' does not exist", id)
		}
		privs := r.args.get("privs")
		if r.args.flag("append") {
			privs += " " + strings.Join(old, " ")
		}
		a.roles[id] = privList(privs)
		return nil
	})
}

// deleteRole removes a role and its access rules, also when it is in use.
func (s *Sim) deleteRole(r *request) (any, error) {
	id := r.args.get("roleid")
	if s.access.builtin(id) {
		return nil, die("auto-generated role '%s' cannot be deleted", id)
	}
	return s.changeAccess("delete role failed", func(a *access) error {
		if _, there := a.roles[id]; !there {
			return die("role '%s' does not exist", id)
		}
		delete(a.roles, id)
		delete(a.custom, id)
		return nil
	})
}

// builtin reports whether a role is one that every installation has.
func (a *access) builtin(role string) bool {
	_, there := a.roles[role]
	return there && !a.custom[role]
}

func (s *Sim) createGroup(r *request) (any, error) {
	return s.changeAccess("create group failed", func(a *access) error {
		id := r.args.get("groupid")
		if a.group(id) != nil {
			return die("group '%s' already exists", id)
		}
		a.groups = append(a.groups, Group{ID: id, Comment: r.args.get("comment")})
		return nil
	})
}

// deleteGroup removes a group and its access rules.
func (s *Sim) deleteGroup(r *request) (any, error) {
	return s.changeAccess("delete group failed", func(a *access) error {
		id := r.args.get("groupid")
		if a.group(id) == nil {
			return die("group '%s' does not exist", id)
		}
		a.groups = slices.DeleteFunc(a.groups, func(g Group) bool { return g.ID == id })
		a.forget(func(rule ACL) bool { return rule.Subject == "@"+id })
		return nil
	})
}
