package pvesim

import (
	"fmt"
	"slices"
	"strings"
)

func ruleSpecs() specs {
	return specs{"path": text().req(), "roles": formatted(listOf(roleFormat)).asList().req(), "users": formatted(listOf(userFormat)).asList(),
		"groups": formatted(listOf(groupFormat)).asList(), "tokens": formatted(listOf(tokenFormat)).asList(),
		"propagate": boolean(), "delete": boolean()}
}

func tokenFormat(_, v string) string {
	if !tokenForm.MatchString(v) {
		return fmt.Sprintf("value '%s' does not look like a valid token ID", v)
	}
	return ""
}

// changeRules adds or removes roles on a path for users, groups and tokens, all or
// none of them.
func (s *Sim) changeRules(r *request) (any, error) {
	if r.args.get("users")+r.args.get("groups")+r.args.get("tokens") == "" {
		const text = "either 'users', 'groups' or 'tokens' is required."
		return nil, badParams(map[string]string{"users": text, "groups": text, "tokens": text})
	}
	given, remove := r.args.get("path"), r.args.flag("delete")
	path, ok := normalPath(given)
	if !ok || !remove && !rulePath.MatchString(path) {
		return nil, badParam("path", "invalid ACL path '%s'", given)
	}
	own := s.privileges(r.caller, path)
	propagate := !r.args.has("propagate") || r.args.flag("propagate")
	return s.changeAccess("ACL update failed", func(a *access) error {
		for _, role := range splitList(r.args.get("roles")) {
			privs, there := a.roles[role]
			if !there {
				return die("role '%s' does not exist", role)
			}
			if why := handOut(role, privs, own, propagate, remove); why != "" {
				return badParam("role", "%s", why)
			}
			holders, err := a.holders(r.args)
			if err != nil {
				return err
			}
			for _, caller := range holders {
				a.change(ACL{Path: path, Subject: caller, Role: role, NoPropagate: !propagate}, remove)
			}
		}
		return nil
	})
}

// change sets or removes a rule. Those for root@pam are not kept: it may do
// everything.
func (a *access) change(rule ACL, remove bool) {
	switch {
	case remove:
		a.forget(func(old ACL) bool {
			return old.Path == rule.Path && old.Subject == rule.Subject && old.Role == rule.Role
		})
	case rule.Subject != "root@pam":
		a.give(rule)
	}
}

// handOut returns why a caller with these privileges on the path may not grant or
// remove a role; "" if it may. Without Permissions.Modify, callers may grant only their
// own privileges, and propagate only propagated ones.
func handOut(role string, privs []string, own map[string]bool, propagate, remove bool) string {
	if _, all := own["Permissions.Modify"]; all {
		return ""
	}
	verb := "add"
	if remove {
		verb = "remove"
	}
	lacks := func(priv string) bool { _, has := own[priv]; return !has }
	above := func(priv string) bool { return !own[priv] }
	switch {
	case slices.ContainsFunc(privs, lacks):
		return fmt.Sprintf("Cannot %s role '%s' - requires 'Permissions.Modify' or superset of privileges.", verb, role)
	case propagate && !remove && slices.ContainsFunc(privs, above):
		return fmt.Sprintf("Cannot %s role '%s' with propagation - requires 'Permissions.Modify' or propagated superset of privileges.", verb, role)
	case role == "NoAccess":
		return fmt.Sprintf("Cannot %s role '%s' - requires 'Permissions.Modify'", verb, role)
	}
	return ""
}

// holders returns the groups, users and tokens of a request in the form of the rules;
// the error names one that does not exist.
func (a *access) holders(given args) ([]string, error) {
	var out []string
	for _, id := range splitList(given.get("groups")) {
		if a.group(id) == nil {
			return nil, die("group '%s' does not exist", id)
		}
		out = append(out, "@"+id)
	}
	for _, id := range splitList(given.get("users")) {
		if !a.hasUser(id) {
			return nil, die("user '%s' does not exist", id)
		}
		out = append(out, id)
	}
	for _, id := range splitList(given.get("tokens")) {
		user, name, _ := strings.Cut(id, "!")
		switch {
		case !a.hasUser(user):
			return nil, die("no such user ('%s')", user)
		case a.token(id) == nil:
			return nil, die("no such token '%s' for user '%s'", name, user)
		}
		out = append(out, id)
	}
	slices.Sort(out)
	return out, nil
}
