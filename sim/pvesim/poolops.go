package pvesim

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// poolChanges are the calls that create, change and remove pools. The path with the
// pool's id is the old form of each.
func poolChanges() []call {
	id := specs{"poolid": formatted(poolFormat).req()}
	change := specs{"comment": text(), "vms": formatted(vmidListFormat).asList(), "storage": formatted(storageListFormat).asList(),
		"delete": boolean(), "allow-move": boolean()}
	may := perm("/pool/{poolid}", "Pool.Allocate")
	return []call{
		{method: "POST", path: "/pools", params: id.and(specs{"comment": text()}), may: may, serve: (*Sim).createPool, protected: true},
		{method: "PUT", path: "/pools", params: id.and(change), may: may, serve: (*Sim).updatePool, protected: true},
		{method: "DELETE", path: "/pools", params: id, may: may, serve: (*Sim).deletePool, protected: true},
		{method: "PUT", path: "/pools/{poolid...}", params: specs{"poolid": formatted(poolFormat)}.and(change), may: may, serve: (*Sim).updatePool, protected: true},
		{method: "DELETE", path: "/pools/{poolid...}", params: specs{"poolid": formatted(poolFormat)}, may: may, serve: (*Sim).deletePool, protected: true},
	}
}

func poolFormat(_, v string) string {
	switch {
	case strings.Count(v, "/") > 2:
		return fmt.Sprintf("pool name '%s' nests too deeply (max levels = 3)", v)
	case !poolForm.MatchString(v):
		return fmt.Sprintf("pool name '%s' contains invalid characters", v)
	}
	return ""
}

func vmidListFormat(_, v string) string {
	for _, id := range splitList(v) {
		if text := vmidFormat("", id); text != "" {
			return text
		}
	}
	return ""
}

func storageListFormat(_, v string) string {
	for _, id := range splitList(v) {
		if text := storageFormat("", id); text != "" {
			return text
		}
	}
	return ""
}

// letterFirst: names of new pools begin with a letter since version 9.
var letterFirst = regexp.MustCompile(`^[A-Za-z]`)

func (s *Sim) createPool(r *request) (any, error) {
	if err := s.lockFor(userLock, "create pool failed"); err != nil {
		return nil, err
	}
	id := r.args.get("poolid")
	if s.pool(id) != nil {
		return nil, die("create pool failed: pool '%s' already exists", id)
	}
	at := strings.LastIndex(id, "/")
	if at >= 0 && s.pool(id[:at]) == nil {
		return nil, die("create pool failed: parent '%s' of pool '%s' does not exist", id[:at], id)
	}
	if s.major >= 9 && !letterFirst.MatchString(id[at+1:]) {
		return nil, die("create pool failed: pool name must start with a letter")
	}
	s.pools = append(s.pools, &pool{id: id, comment: r.args.get("comment")})
	slices.SortFunc(s.pools, func(a, b *pool) int { return cmp.Compare(a.id, b.id) })
	return nil, nil
}

// updatePool changes the comment, and adds or removes VMs.
func (s *Sim) updatePool(r *request) (any, error) {
	if err := s.lockFor(userLock, "update pools failed"); err != nil {
		return nil, err
	}
	p := s.pool(r.args.get("poolid"))
	if p == nil {
		return nil, die("update pools failed: pool '%s' does not exist", r.args.get("poolid"))
	}
	if r.args.has("storage") {
		return nil, notSimulated("a storage in a pool")
	}
	ids, remove := splitList(r.args.get("vms")), r.args.flag("delete")
	for _, text := range ids {
		id, _ := strconv.Atoi(text) // valid, because its format was checked
		if err := s.poolMember(r, p, id, remove); err != nil {
			return nil, err
		}
	}
	for _, text := range ids {
		id, _ := strconv.Atoi(text) // valid, because its format was checked
		s.leavePool(id)
		if !remove {
			s.joinPool(p.id, id)
		}
	}
	if r.args.has("comment") {
		p.comment = r.args.get("comment")
	}
	return nil, nil
}

// poolMember returns an error if a VM cannot be added to or removed from a pool. The VM
// need not exist; its number is then in the pool already when it is created. A missing
// privilege is found late, and is an error of the server.
func (s *Sim) poolMember(r *request, p *pool, id int, remove bool) error {
	in := s.poolOf(id)
	if err := s.needAny(r.caller, vmPath(id), rightsToRules(vmPath(id))...); err != nil {
		return die("update pools failed: %v", err)
	}
	switch {
	case remove && in != p:
		return die("update pools failed: VM %d is not a pool member", id)
	case remove:
		return nil
	case in == p:
		return die("update pools failed: VM %d is already a pool member", id)
	case in != nil && !r.args.flag("allow-move"):
		return die("update pools failed: VM %d belongs already to pool '%s' and 'allow-move' is not set", id, in.id)
	case in != nil && !s.may(r.caller, "/pool/"+in.id, "Pool.Allocate"):
		return die("update pools failed: %v", s.need(r.caller, "/pool/"+in.id, "Pool.Allocate"))
	}
	return nil
}

func (s *Sim) deletePool(r *request) (any, error) {
	if err := s.lockFor(userLock, "delete pool failed"); err != nil {
		return nil, err
	}
	id := r.args.get("poolid")
	p := s.pool(id)
	if p == nil {
		return nil, die("delete pool failed: pool '%s' does not exist", id)
	}
	for _, other := range s.pools {
		if strings.HasPrefix(other.id, id+"/") {
			return nil, die("delete pool failed: pool '%s' is not empty (contains pool '%s')", id, other.id)
		}
	}
	for _, vmid := range p.vms {
		if s.vms[vmid] != nil {
			return nil, die("delete pool failed: pool '%s' is not empty (contains VM %d)", id, vmid)
		}
	}
	s.pools = slices.DeleteFunc(s.pools, func(other *pool) bool { return other == p })
	s.access.forget(func(rule ACL) bool { return rule.Path == "/pool/"+id })
	return nil, nil
}
