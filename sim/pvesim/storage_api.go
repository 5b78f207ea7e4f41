package pvesim

import (
	"slices"
	"strings"
)

func storageCalls() []call {
	see := permAny("/storage/{storage}", "Datastore.Audit", "Datastore.AllocateSpace")
	list := specs{"content": formatted(contentListFormat).asList(), "enabled": boolean(), "format": boolean(), "storage": storageSpec(), "target": nodeSpec()}
	types := oneOf("btrfs", "cephfs", "cifs", "dir", "esxi", "iscsi", "iscsidirect", "lvm", "lvmthin", "nfs", "pbs", "rbd", "zfs", "zfspool")
	base := "/nodes/{node}/storage/{storage}"
	return []call{
		{method: "GET", path: "/storage", params: specs{"type": types}, serve: (*Sim).listStorages},
		{method: "GET", path: "/storage/{storage}", may: perm("/storage/{storage}", "Datastore.Allocate"), serve: (*Sim).getStorage},
		{method: "GET", path: "/nodes/{node}/storage", params: list, serve: (*Sim).hostStorages, protected: true},
		{method: "GET", path: base, may: see, proxy: anyHost, serve: index("subdir", "content", "download-url", "file-restore",
			"identity", "import-metadata", "oci-registry-pull", "prunebackups", "rrd", "rrddata", "status", "upload")},
		{method: "GET", path: base + "/status", may: see, serve: (*Sim).storageStatus, protected: true},
		{method: "GET", path: base + "/content", may: see, serve: (*Sim).listContent, protected: true,
			params: specs{"content": formatted(contentFormat), "vmid": vmidSpec()}},
		{method: "POST", path: base + "/content", may: perm("/storage/{storage}", "Datastore.AllocateSpace"),
			serve: (*Sim).createVolume, protected: true,
			params: specs{"filename": text().req(), "vmid": vmidSpec().req(), "size": matching(`\d+[MG]?`).req(),
				"format": oneOf("raw", "qcow2", "subvol", "vmdk").with("size")}},
		{method: "GET", path: base + "/content/{volume...}", serve: (*Sim).getVolume, protected: true},
		{method: "DELETE", path: base + "/content/{volume...}", params: specs{"delay": integer().atLeast(1).atMost(30)},
			serve: (*Sim).deleteVolume, waits: true, protected: true},
		{method: "POST", path: base + "/upload", may: perm("/storage/{storage}", "Datastore.AllocateTemplate"), upload: true,
			serve: (*Sim).uploadFile, protected: true, params: specs{
				"content":  {kind: "string", format: contentFormat, enum: []string{"iso", "vztmpl", "import"}, required: true},
				"filename": text().upTo(255).req(), "checksum": text().with("checksum-algorithm"),
				"checksum-algorithm": oneOf("md5", "sha1", "sha224", "sha256", "sha384", "sha512").with("checksum")}},
	}
}

func (s *Sim) seesStorage(r *request, name string) bool {
	return s.may(r.caller, "/storage/"+name, "Datastore.Audit", "Datastore.AllocateSpace")
}

// configFields is the storage's section of storage.cfg.
func (s *Sim) configFields(st *storage) map[string]any {
	out := map[string]any{"storage": st.Name, "type": st.Type, "content": strings.Join(st.Content, ","),
		"digest": sha1Hex(strings.Join(s.storeIDs, "\n"))}
	if st.files() {
		out["path"] = st.Path
	} else {
		out["thinpool"], out["vgname"] = "data", "pve"
	}
	if st.Shared {
		out["shared"] = 1
	}
	if st.Disabled {
		out["disable"] = 1
	}
	if len(st.Nodes) > 0 {
		out["nodes"] = strings.Join(st.Nodes, ",")
	}
	return out
}

func (s *Sim) listStorages(r *request) (any, error) {
	out := []any{}
	for _, id := range s.storeIDs {
		st := s.storages[id]
		if s.seesStorage(r, id) && (!r.args.has("type") || r.args.get("type") == st.Type) {
			out = append(out, s.configFields(st))
		}
	}
	return out, nil
}

func (s *Sim) getStorage(r *request) (any, error) {
	st := s.storages[r.args.get("storage")]
	if st == nil {
		return nil, die("storage '%s' does not exist", r.args.get("storage"))
	}
	return s.configFields(st), nil
}

// usage is the state of a storage on a host.
func (s *Sim) usage(st *storage, node string) map[string]any {
	if st.Disabled {
		return s.usageOf(st, 0)
	}
	usage := s.usageOf(st, st.used(node))
	if st.down[node] {
		usage["active"], usage["total"], usage["used"], usage["avail"] = 0, 0, 0, 0
	}
	return usage
}

func (s *Sim) usageOf(st *storage, used int64) map[string]any {
	shared := 0
	if st.Shared {
		shared = 1
	}
	out := map[string]any{"type": st.Type, "content": strings.Join(st.Content, ","), "shared": shared,
		"active": 0, "enabled": 0, "total": 0, "used": 0, "avail": 0}
	if st.Disabled {
		return out
	}
	total := int64(st.CapacityGiB * float64(gib))
	if total == 0 {
		total = 100 * gib
	}
	out["active"], out["enabled"], out["total"], out["used"], out["avail"] = 1, 1, total, used, max(0, total-used)
	return out
}

// used is the space that the volumes of a host use: disks are thin, and a tenth counts
// as written.
func (st *storage) used(node string) int64 {
	by := st.usedByHost()
	return by[""] + by[node]
}

// usedByHost is the used space by host, with "" for shared volumes.
func (st *storage) usedByHost() map[string]int64 {
	used := map[string]int64{}
	for _, v := range st.volumes {
		if v.content == "images" {
			used[v.node] += thin(v.size)
		} else {
			used[v.node] += v.size
		}
	}
	return used
}

func (s *Sim) hostStorages(r *request) (any, error) {
	if r.args.flag("format") {
		return nil, notSimulated("the formats of storages")
	}
	if name := r.args.get("storage"); name != "" && s.storages[name] == nil {
		return nil, badParam("storage", "No such storage.")
	}
	out := []any{}
	for _, id := range s.storeIDs {
		st := s.storages[id]
		if !slices.Contains(st.hosts, r.node()) || !s.seesStorage(r, id) || !storageMatches(st, r.args) {
			continue
		}
		entry := s.usage(st, r.node())
		entry["storage"] = id
		if total, ok := entry["total"].(int64); ok && total > 0 {
			entry["used_fraction"] = float64(entry["used"].(int64)) / float64(total)
		}
		out = append(out, entry)
	}
	return out, nil
}

func storageMatches(st *storage, a args) bool {
	for _, content := range splitList(a.get("content")) {
		if !st.holds(content) {
			return false
		}
	}
	if a.has("target") && !slices.Contains(st.hosts, a.get("target")) {
		return false
	}
	return (!a.flag("enabled") || !st.Disabled) && (!a.has("storage") || a.get("storage") == st.Name)
}

func (s *Sim) storageStatus(r *request) (any, error) {
	st := s.storages[r.args.get("storage")]
	if st == nil || !slices.Contains(st.hosts, r.node()) {
		return nil, badParam("storage", "No such storage.")
	}
	return s.usage(st, r.node()), nil
}

// storageResources are the entries of cluster/resources.
func (s *Sim) storageResources(r *request) []any {
	var out []any
	for _, id := range s.storeIDs {
		st := s.storages[id]
		used := st.usedByHost()
		for _, node := range st.hosts {
			if st.Disabled || !s.may(r.caller, "/storage/"+id, "Datastore.Audit", "Datastore.AllocateSpace") {
				continue
			}
			usage := s.usageOf(st, used[""]+used[node])
			entry := map[string]any{"id": "storage/" + node + "/" + id, "node": node, "storage": id, "type": "storage",
				"plugintype": st.Type, "content": usage["content"], "shared": usage["shared"], "status": "unknown"}
			if s.known(node) && !st.down[node] {
				entry["status"], entry["disk"], entry["maxdisk"] = "available", usage["used"], usage["total"]
			}
			out = append(out, entry)
		}
	}
	return out
}
