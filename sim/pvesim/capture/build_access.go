package capture

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

const rootUser = "root@pam"

// needs lists kinds of objects. To see them, the login needs one of the privileges on the
// path. Otherwise Proxmox VE usually leaves them out of its answers, without an error.
var needs = []struct {
	what, path string
	privileges []string
}{
	{"addresses of hosts, the cluster's name, HA, the range of new VM numbers and the tag settings", "/", []string{"Sys.Audit"}},
	{"processors and memory of hosts", "/nodes", []string{"Sys.Audit"}},
	{"PCI functions", "/", []string{"Sys.Audit", "Sys.Modify"}},
	{"all or some VMs", "/vms", []string{"VM.Audit"}},
	{"all or some storages and their files", "/storage", []string{"Datastore.Audit"}},
	{"all or some PCI mappings", "/mapping/pci", []string{"Mapping.Audit", "Mapping.Use", "Mapping.Modify"}},
	{"all or some bridges", "/sdn/zones/localnetwork", []string{"SDN.Audit", "SDN.Use"}},
	{"all or some pools", "/pool", []string{"Pool.Audit"}},
}

// noteLacking adds notes for objects that the login may not see.
func (b *builder) noteLacking() {
	for _, need := range needs {
		if !b.may(need.path, need.privileges...) {
			b.missing(need.what, fmt.Sprintf("the login lacks %s on %s", strings.Join(need.privileges, " or "), need.path), giveAuditor)
		}
	}
}

// may reports whether the login has one of the privileges on a path whose permissions were read.
func (b *builder) may(path string, privileges ...string) bool {
	for _, privilege := range privileges {
		if _, ok := b.in.Permissions[path][privilege]; ok {
			return true
		}
	}
	return false
}

// noteFailed adds notes for failed reads that noteLacking has not explained.
func (b *builder) noteFailed() {
	var failed []string
	for path, err := range b.in.Failed {
		noted := asError(err).kind == denied && (strings.HasPrefix(path, "/cluster/") && !b.may("/", "Sys.Audit") ||
			strings.Contains(path, "/hardware/pci") && !b.may("/", "Sys.Audit", "Sys.Modify") ||
			strings.HasSuffix(path, "/status") && !b.may("/nodes", "Sys.Audit") ||
			strings.Contains(path, "/storage/") && !b.may("/storage", "Datastore.Audit"))
		if !noted {
			failed = append(failed, path)
		}
	}
	slices.SortFunc(failed, natural)
	for _, path := range failed {
		because := "the server refused"
		switch asError(b.in.Failed[path]).kind {
		case denied:
			because = "the login may not see it"
		case unreachable:
			because = "the host did not answer in time"
		case fatal, refused:
		}
		b.missing(b.call(path), because, "fix the cause, and capture again")
	}
}

// call is a path of the API with pseudonyms instead of names.
func (b *builder) call(path string) string {
	path, _, _ = strings.Cut(path, "?")
	parts := strings.Split(path, "/")
	for i := 1; i < len(parts); i++ {
		switch parts[i-1] {
		case "nodes":
			parts[i] = b.names.of(hostKind, parts[i])
		case "storage":
			parts[i] = b.names.of(storageKind, parts[i])
		}
	}
	return strings.Join(parts, "/")
}

func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

func asText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// access builds users and permissions. If the login may not see all of them, or
// reading them failed, the world file has only root@pam, the login's user and its token,
// with the permissions of the login. So pvesim refuses the same calls of this token as the real cluster.
func (b *builder) access() (login, secret string) {
	all := b.may("/access", "Sys.Audit", "Permissions.Modify") && b.may("/access/groups", "Sys.Audit", "User.Modify") &&
		b.in.Failed["/access/users?full=1"] == nil && b.in.Failed["/access/acl"] == nil && b.in.Failed["/access/roles"] == nil
	if all {
		b.everybody()
	} else {
		b.missing("users, groups, tokens, roles and permissions of others", "the login may not see all of them, or reading them failed", giveAuditor)
	}
	owner, _, _ := strings.Cut(b.in.Login, "!")
	for _, user := range []string{rootUser, owner} {
		b.user(pvesim.User{ID: b.names.login(user)})
	}
	login = b.names.login(b.in.Login)
	if !all {
		b.loginAlone(owner, login)
	}
	slices.SortFunc(b.world.Users, func(x, y pvesim.User) int { return natural(x.ID, y.ID) })
	slices.SortFunc(b.world.Tokens, func(x, y pvesim.Token) int { return natural(x.ID, y.ID) })
	slices.SortFunc(b.world.ACL, func(x, y pvesim.ACL) int {
		return cmp.Or(natural(x.Path, y.Path), natural(x.Subject, y.Subject), natural(x.Role, y.Role), natural(fmt.Sprint(x.NoPropagate), fmt.Sprint(y.NoPropagate)))
	})
	b.world.ACL = slices.Compact(b.world.ACL)
	for i := range b.world.Tokens {
		b.world.Tokens[i].Secret = fmt.Sprintf("00000000-0000-4000-8000-%012d", i+1)
		if b.world.Tokens[i].ID == login {
			secret = b.world.Tokens[i].Secret
		}
	}
	return login, secret
}

func (b *builder) user(u pvesim.User) {
	if !b.users[u.ID] {
		u.Password = password
		b.users[u.ID] = true
		b.world.Users = append(b.world.Users, u)
	}
}

// everybody builds all users with their permissions.
func (b *builder) everybody() {
	slices.SortFunc(b.in.Users, func(x, y apiUser) int { return natural(x.ID, y.ID) })
	for _, in := range b.in.Users {
		id := b.names.login(in.ID)
		b.user(pvesim.User{ID: id, Disabled: !yes(in.Enable), Expire: int64(in.Expire.number())})
		slices.SortFunc(in.Tokens, func(x, y apiToken) int { return natural(x.ID, y.ID) })
		for _, token := range in.Tokens {
			b.world.Tokens = append(b.world.Tokens, pvesim.Token{ID: b.names.login(in.ID + "!" + token.ID), NoPrivSep: !yes(token.PrivSep),
				Expire: int64(token.Expire.number())})
		}
	}
	slices.SortFunc(b.in.Groups, func(x, y apiGroup) int { return natural(x.ID, y.ID) })
	for _, in := range b.in.Groups {
		g := pvesim.Group{ID: b.names.of(groupKind, in.ID)}
		for _, member := range split(in.Users) {
			if id := b.names.login(member); b.users[id] {
				g.Users = append(g.Users, id)
			}
		}
		slices.SortFunc(g.Users, natural)
		b.world.Groups = append(b.world.Groups, g)
	}
	b.roles()
	b.acl()
}

// roles builds the custom roles; all others are built in.
func (b *builder) roles() {
	known := pvesim.Privileges(b.world.Version)
	slices.SortFunc(b.in.Roles, func(x, y apiRole) int { return natural(x.ID, y.ID) })
	for _, in := range b.in.Roles {
		if in.Special.set() {
			continue
		}
		privileges := split(in.Privs)
		slices.Sort(privileges)
		b.role(b.names.of(roleKind, in.ID), privileges, known)
	}
}

func (b *builder) role(name string, privileges, known []string) {
	kept := []string{}
	for _, privilege := range privileges {
		if slices.Contains(known, privilege) {
			kept = append(kept, privilege)
			continue
		}
		b.missing(fmt.Sprintf("privilege %s of role %s", matched(privilege, `^[A-Za-z.]{1,40}$`), name), "pvesim does not support it", "")
	}
	if b.world.Roles == nil {
		b.world.Roles = map[string][]string{}
	}
	b.world.Roles[name] = kept
}

func (b *builder) acl() {
	builtin := pvesim.Roles(b.world.Version)
	subjects := maps.Clone(b.users)
	for _, token := range b.world.Tokens {
		subjects[token.ID] = true
	}
	for _, group := range b.world.Groups {
		subjects["@"+group.ID] = true
	}
	slices.SortFunc(b.in.ACL, func(x, y apiACL) int {
		return cmp.Or(natural(x.Path, y.Path), natural(x.Subject, y.Subject), natural(x.Role, y.Role))
	})
	lost := 0
	for _, in := range b.in.ACL {
		entry := pvesim.ACL{Path: b.path(in.Path), Role: in.Role, NoPropagate: !yes(in.Propagate)}
		if builtin[in.Role] == nil {
			entry.Role = b.names.known[roleKind][in.Role] // "" for a role that the cluster does not list
		}
		if in.Type == "group" {
			entry.Subject = "@" + b.names.of(groupKind, in.Subject)
		} else {
			entry.Subject = b.names.login(in.Subject)
		}
		if entry.Role == "" || !subjects[entry.Subject] {
			lost++
			continue
		}
		b.world.ACL = append(b.world.ACL, entry)
	}
	if lost > 0 {
		b.missing(fmt.Sprintf("%d entries of permissions", lost), "pvesim does not support the role or the user of the entry, or the cluster does not list them", "")
	}
}

// topPaths are the top-level paths of permissions.
var topPaths = []string{"", "access", "mapping", "nodes", "pool", "sdn", "storage", "vms"}

// path returns a path of permissions with pseudonyms instead of names.
func (b *builder) path(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) < 2 && slices.Contains(topPaths, parts[0]) {
		return path
	}
	rest := parts[1:]
	switch parts[0] {
	case "vms":
	case "nodes":
		rest[0] = b.names.of(hostKind, rest[0])
	case "storage":
		rest[0] = b.names.of(storageKind, rest[0])
	case "pool":
		rest = []string{b.names.pool(strings.Join(rest, "/"))}
	case "mapping", "access", "sdn":
		b.deeper(parts[0], rest)
	default:
		for i := range parts {
			parts[i] = b.names.of(otherKind, parts[i])
		}
	}
	return "/" + strings.Join(append(parts[:1], rest...), "/")
}

// deeper renames paths whose second part is a keyword and whose further parts are names:
// /mapping/pci/NAME, /access/realm/NAME, /access/groups/NAME, /sdn/zones/ZONE/BRIDGE/VLAN.
func (b *builder) deeper(first string, rest []string) {
	for i := 1; i < len(rest); i++ {
		switch kind := first + "/" + rest[0]; {
		case kind == "mapping/pci":
			rest[i] = b.names.mapping(rest[i])
		case first == "mapping":
			rest[i] = b.names.of(sharedKind, rest[i])
		case kind == "access/realm":
			rest[i] = b.names.of(realmKind, rest[i])
		case kind == "access/groups":
			rest[i] = b.names.of(groupKind, rest[i])
		case kind == "sdn/zones" && i == 1:
			rest[i] = b.names.of(zoneKind, rest[i])
		case kind == "sdn/zones" && i == 2:
			rest[i] = b.names.of(bridgeKind, rest[i])
		case kind == "sdn/zones":
			// a VLAN number stays; anything else becomes 1
			rest[i] = either(matched(rest[i], `^\d{1,4}$`) != "", rest[i], "1")
		default:
			rest[i] = b.names.of(otherKind, rest[i])
		}
	}
}

// loginAlone builds the permissions of the login, path by path. An entry is needed where
// they differ from the inherited ones.
func (b *builder) loginAlone(owner, login string) {
	// Normally the token in the world file has no privilege separation: it has the rights of
	// its user, and the entries are for the user. A token of root@pam would then have all
	// rights, so it gets privilege separation, and the entries are for the token.
	token := pvesim.Token{ID: login, NoPrivSep: owner != rootUser}
	subject := either(token.NoPrivSep, b.names.login(owner), login)
	b.world.Tokens = append(b.world.Tokens, token)
	roles := map[string]string{}
	for _, path := range slices.SortedFunc(maps.Keys(b.in.Permissions), natural) {
		here := b.in.Permissions[path]
		above := b.fromAbove(path)
		// skip a path that has exactly the inherited privileges, all propagated
		if maps.Equal(keys(here), above) && path != "/" && !slices.ContainsFunc(slices.Collect(maps.Values(here)), func(s scalar) bool { return !s.set() }) {
			continue
		}
		if len(here) == 0 && path == "/" {
			continue
		}
		b.grant(b.path(path), subject, here, roles)
	}
}

// fromAbove returns the privileges that are inherited from the nearest known path above.
func (b *builder) fromAbove(path string) map[string]bool {
	for path != "/" {
		path = path[:strings.LastIndex(path, "/")]
		if path == "" {
			path = "/"
		}
		if granted, known := b.in.Permissions[path]; known {
			propagated := maps.Clone(granted)
			maps.DeleteFunc(propagated, func(_ string, propagate scalar) bool { return !propagate.set() })
			return keys(propagated)
		}
	}
	return map[string]bool{}
}

func keys(granted map[string]scalar) map[string]bool {
	out := map[string]bool{}
	for privilege := range granted {
		out[privilege] = true
	}
	return out
}

// grant writes entries for propagated privileges and for those that are not. A path
// without privileges gets the role NoAccess, so that it inherits none.
func (b *builder) grant(path, subject string, granted map[string]scalar, roles map[string]string) {
	if len(granted) == 0 {
		b.world.ACL = append(b.world.ACL, pvesim.ACL{Path: path, Subject: subject, Role: "NoAccess"})
		return
	}
	for _, down := range []bool{true, false} {
		var privileges []string
		for _, privilege := range slices.Sorted(maps.Keys(granted)) {
			if granted[privilege].set() == down {
				privileges = append(privileges, privilege)
			}
		}
		if len(privileges) == 0 {
			continue
		}
		key := strings.Join(privileges, ",")
		if roles[key] == "" {
			roles[key] = fmt.Sprintf("Login%d", len(roles)+1)
			b.role(roles[key], privileges, pvesim.Privileges(b.world.Version))
		}
		b.world.ACL = append(b.world.ACL, pvesim.ACL{Path: path, Subject: subject, Role: roles[key], NoPropagate: !down})
	}
}
