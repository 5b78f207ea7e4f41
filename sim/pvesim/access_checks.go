package pvesim

import (
	"regexp"
	"strings"
)

// The checks that are about users and access rules, as PVE::RPCEnvironment has
// them. A token is never its user here: who holds a token may not change its
// user, nor that user's other tokens.

// knownUser is what is wrong with a user's name, nil for a user that is there.
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

// selfOr passes for calls about the caller; for all others, another check says
// what is missing.
func selfOr(other check) check {
	return func(s *Sim, r *request) error {
		if self(s, r) == nil {
			return nil
		}
		return other(s, r)
	}
}

// overUser asks for one of several privileges on all groups, and with that on
// all users, or on a group that the user is in. It says when there is no such
// user.
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

// overGroupOf reports whether a user is in a group that who has a privilege on.
func (s *Sim) overGroupOf(caller identity, user string, privs ...string) bool {
	for _, g := range s.access.groups {
		if s.inGroup(user, "@"+g.ID) && s.may(caller, "/access/groups/"+g.ID, privs...) {
			return true
		}
	}
	return false
}

// intoGroups asks for a privilege on each group that a request puts a user
// into, or on all groups when it names none.
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

// intoRealm asks for the right to have users in the realm of the user.
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

// mayChangeRules is who may change the access rules of a path. A path that is
// none passes: the call itself refuses it.
func mayChangeRules(s *Sim, r *request) error {
	path, ok := normalPath(r.args.get("path"))
	if !ok {
		return nil
	}
	return s.needAny(r.caller, path, rightsToRules(path)...)
}

// rightsToRules are the privileges of which each lets its holder change the
// access rules of a path, with the last two only to hand out what it has.
func rightsToRules(path string) []string {
	privs := []string{"Permissions.Modify"}
	for prefix, priv := range map[string]string{"/storage/": "Datastore.Allocate", "/vms/": "VM.Allocate", "/pool/": "Pool.Allocate"} {
		if strings.HasPrefix(path, prefix) {
			privs = append(privs, priv)
		}
	}
	return privs
}

// Paths of access rules: how they are written, and which there are.
var (
	pathForm = regexp.MustCompile(`^[[:alnum:].\-_/]+$`)
	slashes  = regexp.MustCompile(`/+`)
	rulePath = regexp.MustCompile(`^(?:/|/access|/access/(?:groups|realm)(?:/[\w.\-]+)?|/nodes(?:/[\w.\-]+)?|/storage(?:/[\w.\-]+)?` +
		`|/pool(?:/[\w.\-]+){0,3}|/vms(?:/[1-9][0-9]{2,})?|/mapping(?:/[\w.\-]+){0,2}` +
		`|/sdn|/sdn/controllers(?:/[\w\-]+)?|/sdn/(?:dns|fabrics|ipams|prefix-lists|route-maps)(?:/[[:alnum:]]+)?` +
		`|/sdn/zones(?:/[\w.\-]+){0,2}|/sdn/zones/[\w.\-]+/[\w.\-]+/[1-9][0-9]{0,3})$`)
)

// normalPath writes a path as the access rules have it.
func normalPath(path string) (normal string, ok bool) {
	if path == "" {
		return "", false
	}
	normal = "/" + strings.Trim(slashes.ReplaceAllString(path, "/"), "/")
	return normal, pathForm.MatchString(normal)
}
