package pvesim

func poolCalls() []call {
	kinds := oneOf("qemu", "lxc", "storage")
	return []call{
		{method: "GET", path: "/pools", params: specs{"poolid": formatted(poolFormat), "type": kinds.with("poolid")}, serve: (*Sim).listPools},
		{method: "GET", path: "/pools/{poolid...}", params: specs{"poolid": formatted(poolFormat), "type": kinds}, may: perm("/pool/{poolid}", "Pool.Audit"), serve: (*Sim).getPool},
	}
}

func (p *pool) fields() map[string]any {
	out := map[string]any{"poolid": p.id}
	if p.comment != "" {
		out["comment"] = p.comment
	}
	return out
}

func (s *Sim) listPools(r *request) (any, error) {
	out := []any{}
	if id := r.args.get("poolid"); r.args.has("poolid") && s.pool(id) == nil {
		return nil, die("pool '%s' does not exist", id)
	}
	for _, p := range s.pools {
		// A pool that is requested by name is shown to all callers.
		asked := r.args.has("poolid")
		if asked && r.args.get("poolid") != p.id || !asked && !s.may(r.caller, "/pool/"+p.id, "Pool.Audit") {
			continue
		}
		entry := p.fields()
		if r.args.has("poolid") {
			entry["members"] = s.members(p, r.args.get("type"))
		}
		out = append(out, entry)
	}
	return out, nil
}

func (s *Sim) members(p *pool, kind string) []any {
	out := []any{}
	if kind != "" && kind != "qemu" {
		return out
	}
	for _, id := range p.vms {
		if v := s.vms[id]; v != nil {
			entry := s.vmResource(v)
			delete(entry, "pool")
			delete(entry, "tags")
			out = append(out, entry)
		}
	}
	return out
}

func (s *Sim) getPool(r *request) (any, error) {
	p := s.pool(r.args.get("poolid"))
	if p == nil {
		return nil, die("pool '%s' does not exist", r.args.get("poolid"))
	}
	entry := p.fields()
	entry["members"] = s.members(p, r.args.get("type"))
	return entry, nil
}
