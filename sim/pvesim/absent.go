package pvesim

// absentCalls are calls of the real server that clients such as ours may make but that
// are not simulated. They answer 501 if the caller has the privilege; other callers are
// refused as by the real server.
func absentCalls() []call {
	const agent, content = "/nodes/{node}/qemu/{vmid}/agent/", "/nodes/{node}/storage/{storage}/content/{volume...}"
	modify, allocate := perm("/nodes/{node}", "Sys.Modify"), perm("/storage", "Datastore.Allocate")
	look := agentPriv("VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted")
	suspend := agentPriv("VM.PowerMgmt", "VM.GuestAgent.Unrestricted")
	fetch := andPerm(perm("/storage/{storage}", "Datastore.AllocateTemplate"),
		orPerm(andPerm(perm("/", "Sys.Audit"), perm("/", "Sys.Modify")), perm("/nodes/{node}", "Sys.AccessNetwork")))
	calls := []call{
		{method: "PUT", path: "/cluster/options", may: perm("/", "Sys.Modify")},
		{method: "PUT", path: "/nodes/{node}/dns", may: modify},
		{method: "POST", path: "/nodes/{node}/hosts", may: modify},
		{method: "POST", path: "/nodes/{node}/network", may: modify},
		{method: "PUT", path: "/nodes/{node}/network", may: modify},
		{method: "DELETE", path: "/nodes/{node}/network", may: modify},
		{method: "POST", path: "/nodes/{node}/status", may: perm("/nodes/{node}", "Sys.PowerMgmt")},
		{method: "PUT", path: "/nodes/{node}/time", may: modify},
		{method: "GET", path: agent + "get-memory-block-info", may: look},
		{method: "GET", path: agent + "get-memory-blocks", may: look},
		{method: "POST", path: agent + "suspend-disk", may: suspend},
		{method: "POST", path: agent + "suspend-hybrid", may: suspend},
		{method: "POST", path: agent + "suspend-ram", may: suspend},
		{method: "POST", path: content, may: onlyRoot},
		{method: "PUT", path: content},
		{method: "POST", path: "/nodes/{node}/storage/{storage}/download-url", may: fetch},
		{method: "POST", path: "/storage", may: allocate},
		{method: "PUT", path: "/storage/{storage}", may: allocate},
		{method: "DELETE", path: "/storage/{storage}", may: allocate},
	}
	for i := range calls {
		calls[i].absent = true
	}
	return calls
}

// onlyRoot is the check of calls without declared permissions.
func onlyRoot(_ *Sim, r *request) error {
	if !r.caller.isRoot() {
		return forbidden("Permission check failed")
	}
	return nil
}
