package pvesim

import "regexp"

// accessChanges are the calls that change users, tokens, groups, roles and access
// rules, as in PVE::API2::User, ::Group, ::Role and ::ACL.
func accessChanges(major int) []call {
	const user, token, group, role = "/access/users/{userid}", "/access/users/{userid}/token/{tokenid}", "/access/groups/{groupid}", "/access/roles/{roleid}"
	id := specs{"userid": formatted(userFormat).upTo(64)}
	newID := specs{"userid": formatted(userFormat).upTo(64).req()}
	owner := orPerm(self, overUser("User.Modify"))
	groups, roles := perm("/access/groups", "Group.Allocate"), perm("/access", "Sys.Modify")
	privs := specs{"privs": formatted(listOf(privFormat(major))).asList()}
	comment := specs{"comment": text()}
	groupID, roleID := specs{"groupid": formatted(groupFormat)}, specs{"roleid": formatted(roleFormat)}
	calls := []call{
		{method: "POST", path: "/access/users", may: andPerm(intoRealm, intoGroups("User.Modify")), serve: (*Sim).createUser,
			params: userSpecs().and(newID).and(specs{"password": text().from(8).upTo(64)})},
		{method: "PUT", path: user, may: andPerm(intoGroupsOf, overUser("User.Modify")), serve: (*Sim).updateUser,
			params: userSpecs().and(id).and(specs{"append": boolean().with("groups")})},
		{method: "DELETE", path: user, params: id, may: andPerm(intoRealm, overUser("User.Modify")), serve: (*Sim).deleteUser},
		{method: "PUT", path: "/access/password", may: andPerm(byTicket, selfOr(andPerm(intoRealm, overUser("User.Modify")))), serve: (*Sim).changePassword,
			params: newID.and(specs{"password": text().from(8).upTo(64).req(), "confirmation-password": text().from(5).upTo(64)})},
		{method: "POST", path: token, params: tokenSpecs(), may: owner, serve: (*Sim).createToken},
		{method: "PUT", path: token, may: owner, serve: (*Sim).updateToken,
			params: tokenSpecs().and(specs{"delete": formatted(configListFormat).asList(), "regenerate": boolean()})},
		{method: "DELETE", path: token, params: id.and(specs{"tokenid": tokenNameSpec()}), may: owner, serve: (*Sim).deleteToken},
		{method: "POST", path: "/access/groups", params: comment.and(specs{"groupid": formatted(groupFormat).req()}), may: groups, serve: (*Sim).createGroup},
		{method: "DELETE", path: group, params: groupID, may: groups, serve: (*Sim).deleteGroup},
		{method: "POST", path: "/access/roles", params: privs.and(specs{"roleid": formatted(roleFormat).req()}), may: roles, serve: (*Sim).createRole},
		{method: "PUT", path: role, params: privs.and(roleID).and(specs{"append": boolean().with("privs")}), may: roles, serve: (*Sim).updateRole},
		{method: "DELETE", path: role, params: roleID, may: roles, serve: (*Sim).deleteRole},
		{method: "PUT", path: "/access/acl", params: ruleSpecs(), may: mayChangeRules, serve: (*Sim).changeRules},
	}
	for i := range calls {
		calls[i].protected = true
	}
	return calls
}

// userSpecs are the parameters of a user.
func userSpecs() specs {
	return specs{"comment": text().upTo(2048), "email": formatted(emailFormat).upTo(254), "enable": boolean(), "expire": integer().atLeast(0),
		"firstname": text().upTo(1024), "lastname": text().upTo(1024), "keys": matching(`[0-9a-zA-Z!=]*`).upTo(4096),
		"groups": formatted(listOf(groupFormat)).asList()}
}

// listOf is the format of a list of values with this format.
func listOf(format func(name, value string) string) func(name, value string) string {
	return func(name, value string) string {
		for _, item := range splitList(value) {
			if text := format(name, item); text != "" {
				return text
			}
		}
		return ""
	}
}

var emailForm = regexp.MustCompile(`^[\w+\-~]+(\.[\w+\-~]+)*@[a-zA-Z0-9\-]+(\.[a-zA-Z0-9\-]+)*$`)

func emailFormat(_, v string) string {
	if v != "" && !emailForm.MatchString(v) {
		return "value does not look like a valid email address"
	}
	return ""
}

// byTicket refuses tokens.
func byTicket(_ *Sim, r *request) error {
	if r.caller.token != "" {
		return forbidden("Permission check failed (URI '%s' not available with API token, need proper ticket.\n)", r.path)
	}
	return nil
}

// intoGroupsOf is the first part of the check for changing a user: the user must exist,
// and the caller needs the privilege on the groups that the user is added to.
func intoGroupsOf(s *Sim, r *request) error {
	if r.caller.isRoot() {
		return nil
	}
	if err := s.knownUser(r.args.get("userid")); err != nil {
		return err
	}
	return intoGroups("User.Modify")(s, r)
}

func (s *Sim) createUser(r *request) (any, error) {
	return s.changeAccess("create user failed", func(a *access) error {
		id := r.args.get("userid")
		if a.hasUser(id) {
			return die("user '%s' already exists", id)
		}
		if r.args.has("password") {
			if err := a.setPassword(id, r.args.get("password")); err != nil {
				return err
			}
		}
		a.users = append(a.users, User{ID: id})
		return a.describeUser(id, r.args)
	})
}

func (s *Sim) updateUser(r *request) (any, error) {
	return s.changeAccess("update user failed", func(a *access) error {
		id := r.args.get("userid")
		if !a.hasUser(id) {
			return die("no such user ('%s')", id)
		}
		if r.args.has("groups") && !r.args.flag("append") {
			a.leaveGroups(id)
		}
		return a.describeUser(id, r.args)
	})
}

// describeUser sets the fields of a user from a request.
func (a *access) describeUser(id string, given args) error {
	u := a.find(id)
	if given.has("enable") {
		u.Disabled = !given.flag("enable")
	}
	if given.has("expire") {
		u.Expire = int64(given.number("expire", 0))
	}
	for name, field := range u.texts() {
		if given.has(name) {
			*field = given.get(name)
		}
	}
	for _, group := range splitList(given.get("groups")) {
		if err := a.join(id, group); err != nil {
			return err
		}
	}
	return nil
}

// texts are the fields that are stored and shown but have no effect.
func (u *User) texts() map[string]*string {
	return map[string]*string{"comment": &u.Comment, "email": &u.Email, "firstname": &u.FirstName, "lastname": &u.LastName, "keys": &u.Keys}
}

// deleteUser removes a user with its tokens and rules. For root, a missing user is not
// an error.
func (s *Sim) deleteUser(r *request) (any, error) {
	return s.changeAccess("delete user failed", func(a *access) error {
		a.removeUser(r.args.get("userid"))
		return nil
	})
}

// changePassword requires the caller's own password, except from root.
func (s *Sim) changePassword(r *request) (any, error) {
	id := r.args.get("userid")
	if err := s.knownUser(id); err != nil {
		return nil, err
	}
	if !r.caller.isRoot() {
		own := r.caller.user
		switch {
		case id == "root@pam":
			return nil, forbidden("Permission check failed")
		case !r.args.has("confirmation-password"):
			return nil, badParam("confirmation-password", "password is required to modify user")
		case !s.access.goodPassword(own, r.args.get("confirmation-password")):
			return nil, die("invalid credentials")
		case id != own && realmOf(id) == "pam":
			return nil, forbidden("Permission check failed")
		}
	}
	if realmOf(id) == "pve" {
		if err := s.lockFor(shadowLock, ""); err != nil {
			return nil, err
		}
	}
	return nil, s.access.setPassword(id, r.args.get("password"))
}
