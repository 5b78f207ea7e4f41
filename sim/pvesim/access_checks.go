package pvesim

import (
	"regexp"
	"strings"
)

// The checks for users and access rules, as in PVE::RPCEnvironment. A token does not
// count as its user here: it may not change its user, nor that user's other tokens.

// knownUser returns an error for an invalid or unknown user.
func (s *Sim) knownUser(id string) error {
	if text := userFormat("", id); text != "" {
		return die("%s", text)
	}
	if !s.access.hasUser(id) {
		return die("no such user ('%s')", id)
	}
	return nil
}

// self passes for calls about the caller.
func self(s *Sim, r *request) error {
	if id := r.args.get("userid"); r.caller.String() == id && s.access.hasUser(id) {
		return nil
	}
	return forbidden("Permission check failed")
}

// selfOr passes for calls about the caller; otherwise it uses the other check.
func selfOr(other check) check {
	return func(s *Sim, r *request) error {
		if self(s, r) == nil {
			return nil
		}
		return other(s, r)
	}
}

// overUser requires one of several privileges on all groups, which covers all users, or
// on a group of the user. It returns an error for an unknown user.
func overUser(privs ...string) check {
	return func(s *Sim, r *request) error {
		if r.caller.isRoot() {
			return nil
		}
		id := r.args.get("userid")
		if err := s.knownUser(id); err != nil {
			return err
		}
		if s.may(r.caller, "/access/groups", privs...) || s.overGroupOf(r.caller, id, privs...) {
			return nil
		}
		return forbidden("Permission check failed")
	}
}

// overGroupOf reports whether the caller has a privilege on a group of the user.
func (s *Sim) overGroupOf(caller identity, user string, privs ...string) bool {
	for _, g := range s.access.groups {
		if s.inGroup(user, "@"+g.ID) && s.may(caller, "/access/groups/"+g.ID, privs...) {
			return true
		}
	}
	return false
}

// intoGroups requires a privilege on each group that a request adds a user to, or on
// all groups when it names none.
func intoGroups(priv string) check {
	return func(s *Sim, r *request) error {
		if s.may(r.caller, "/access/groups", priv) {
			return nil
		}
		groups := splitList(strings.Join(r.args["groups"].values, ","))
		if len(groups) == 0 {
			return s.need(r.caller, "/access/groups", priv)
		}
		for _, group := range groups {
			path := "/access/groups/" + group
			if s.access.group(group) == nil || !s.may(r.caller, path, priv) {
				return forbidden("Permission check failed (%s, %s)", path, priv)
			}
		}
		return nil
	}
}

// intoRealm requires the privilege to manage users in the realm of the user.
func intoRealm(s *Sim, r *request) error {
	if r.caller.isRoot() {
		return nil
	}
	id := r.args.get("userid")
	if text := userFormat("", id); text != "" {
		return die("%s", text)
	}
	return s.need(r.caller, "/access/realm/"+realmOf(id), "Realm.AllocateUser")
}

func realmOf(user string) string { return user[strings.LastIndex(user, "@")+1:] }

// mayChangeRules checks whether the caller may change the access rules of a path. An
// invalid path passes, because the call itself refuses it.
func mayChangeRules(s *Sim, r *request) error {
	path, ok := normalPath(r.args.get("path"))
	if !ok {
		return nil
	}
	return s.needAny(r.caller, path, rightsToRules(path)...)
}

// rightsToRules returns the privileges that allow changing the access rules of a path;
// one of them is enough. The last two allow granting only one's own privileges.
func rightsToRules(path string) []string {
	privs := []string{"Permissions.Modify"}
	for prefix, priv := range map[string]string{"/storage/": "Datastore.Allocate", "/vms/": "VM.Allocate", "/pool/": "Pool.Allocate"} {
		if strings.HasPrefix(path, prefix) {
			privs = append(privs, priv)
		}
	}
	return privs
}

// Paths of access rules: their form, and the existing ones.
var (
	pathForm = regexp.MustCompile(`^[[:alnum:].\-_/]+$`)
	slashes  = regexp.MustCompile(`/+`)
	rulePath = regexp.MustCompile(`^(?:/|/access|/access/(?:groups|realm)(?:/[\w.\-]+)?|/nodes(?:/[\w.\-]+)?|/storage(?:/[\w.\-]+)?` +
		`|/pool(?:/[\w.\-]+){0,3}|/vms(?:/[1-9][0-9]{2,})?|/mapping(?:/[\w.\-]+){0,2}` +
		`|/sdn|/sdn/controllers(?:/[\w\-]+)?|/sdn/(?:dns|fabrics|ipams|prefix-lists|route-maps)(?:/[[:alnum:]]+)?` +
		`|/sdn/zones(?:/[\w.\-]+){0,2}|/sdn/zones/[\w.\-]+/[\w.\-]+/[1-9][0-9]{0,3})$`)
)

// normalPath returns a path in the form of the access rules.
func normalPath(path string) (normal string, ok bool) {
	if path == "" {
		return "", false
	}
	normal = "/" + strings.Trim(slashes.ReplaceAllString(path, "/"), "/")
	return normal, pathForm.MatchString(normal)
}
