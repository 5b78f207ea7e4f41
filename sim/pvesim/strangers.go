package pvesim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// strangerCalls are reads of other clients, which gpuworker does not need. The answers
// follow the API's documentation and source. go-proxmox makes most of them in
// e2e/strangers; bpg's data sources also read /etc/hosts.
func strangerCalls() []call {
	groups := func(s *Sim, r *request) error {
		return s.needAny(r.caller, "/access/groups", "Sys.Audit", "Group.Allocate")
	}
	user := specs{"userid": formatted(userFormat).upTo(64)}
	token := user.and(specs{"tokenid": tokenNameSpec()})
	see := perm("/nodes/{node}", "Sys.Audit")
	return []call{
		{method: "GET", path: "/access/users/{userid}", params: user, may: overUser("User.Modify", "Sys.Audit"), serve: (*Sim).getUser},
		{method: "GET", path: "/access/users/{userid}/token/{tokenid}", params: token, may: orPerm(self, overUser("User.Modify")), serve: (*Sim).getToken},
		{method: "GET", path: "/access/groups", serve: (*Sim).listGroups},
		{method: "GET", path: "/access/groups/{groupid}", may: groups, serve: (*Sim).getGroup},
		{method: "GET", path: "/access/domains", world: true, serve: (*Sim).listRealms},
		{method: "GET", path: "/nodes/{node}/time", may: see, serve: hostTime},
		{method: "GET", path: "/nodes/{node}/dns", may: see, serve: hostDNS},
		{method: "GET", path: "/nodes/{node}/hosts", may: perm("/", "Sys.Audit"), serve: (*Sim).hostsFile, protected: true},
		{method: "PUT", path: "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config", may: perm("/vms/{vmid}", "VM.Snapshot"),
			params: specs{"description": text()}, serve: (*Sim).describeSnapshot, protected: true},
	}
}

func (s *Sim) getUser(r *request) (any, error) {
	id := r.args.get("userid")
	if err := s.knownUser(id); err != nil {
		return nil, err
	}
	out := s.access.find(id).fields()
	out["groups"] = splitList(s.groupsOf(id))
	var tokens map[string]any // null when there are none
	for _, t := range s.access.tokens {
		if owner, name, _ := strings.Cut(t.ID, "!"); owner == id {
			tokens = merge(tokens, map[string]any{name: tokenFields(t)})
		}
	}
	out["tokens"] = tokens
	return out, nil
}

func (s *Sim) getToken(r *request) (any, error) {
	t, err := s.ownToken(r)
	if err != nil {
		return nil, err
	}
	return tokenFields(*t), nil
}

// listGroups lists the groups that the caller may see or change.
func (s *Sim) listGroups(r *request) (any, error) {
	out := []any{}
	for _, g := range s.access.groups {
		if !s.may(r.caller, "/access/groups/"+g.ID, "User.Modify", "Sys.Audit", "Group.Allocate") {
			continue
		}
		entry := map[string]any{"groupid": g.ID, "users": strings.Join(g.Users, ",")}
		if g.Comment != "" {
			entry["comment"] = g.Comment
		}
		out = append(out, entry)
	}
	return out, nil
}

func (s *Sim) getGroup(r *request) (any, error) {
	id := r.args.get("groupid")
	i := slices.IndexFunc(s.access.groups, func(g Group) bool { return g.ID == id })
	if i < 0 {
		return nil, die("group '%s' does not exist", id)
	}
	out := map[string]any{"members": append([]string{}, s.access.groups[i].Users...)}
	if comment := s.access.groups[i].Comment; comment != "" {
		out["comment"] = comment
	}
	return out, nil
}

// realm is an authentication realm. A world has the two of every cluster.
type realm struct{ name, comment string }

var realms = []realm{{"pam", "Linux PAM standard authentication"}, {"pve", "Proxmox VE authentication server"}}

func (s *Sim) listRealms(*request) (any, error) {
	out := []any{}
	for _, r := range realms {
		out = append(out, map[string]any{"realm": r.name, "type": r.name, "comment": r.comment})
	}
	return out, nil
}

// hostTime is the clock of a host; all hosts are in UTC.
func hostTime(*Sim, *request) (any, error) {
	now := time.Now().Unix()
	return map[string]any{"time": now, "localtime": now, "timezone": "UTC"}, nil
}

// hostDNS returns the gateway of the documentation network as name server.
func hostDNS(*Sim, *request) (any, error) {
	return map[string]any{"search": domain, "dns1": "192.0.2.1"}, nil
}

const domain = "example.org"

// hostsFile is the /etc/hosts of a fresh installation.
func (s *Sim) hostsFile(*request) (any, error) {
	data := "127.0.0.1 localhost.localdomain localhost\n"
	for _, name := range s.hostList {
		data += fmt.Sprintf("%s %s.%s %s\n", s.hosts[name].IP, name, domain, name)
	}
	return map[string]any{"data": data, "digest": sha1Hex(data)}, nil
}

// describeSnapshot changes the description of a snapshot, the only field that can be
// changed.
func (s *Sim) describeSnapshot(r *request) (any, error) {
	v, err := s.vmOn(r.node(), r.vmid())
	if err != nil {
		return nil, err
	}
	if err := v.checkLock(); err != nil {
		return nil, err
	}
	snap := v.snapshot(r.args.get("snapname"))
	if snap == nil {
		return nil, die("snapshot '%s' does not exist", r.args.get("snapname"))
	}
	if err := s.writable(v, workerPID); err != nil {
		return nil, err
	}
	if r.args.has("description") {
		snap.description = r.args.get("description")
	}
	s.changed(VMConfigured, v.node, v.id, "")
	return nil, nil
}
