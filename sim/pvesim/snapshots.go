package pvesim

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// snapshot is a saved configuration. Disks have no content, so nothing else is saved.
type snapshot struct {
	name, description, parent string
	taken                     time.Time
	conf                      map[string]string
}

func snapshotCalls() []call {
	base := "/nodes/{node}/qemu/{vmid}/snapshot"
	audit := perm("/vms/{vmid}", "VM.Audit")
	see := permAny("/vms/{vmid}", "VM.Snapshot", "VM.Snapshot.Rollback", "VM.Audit")
	return []call{
		{method: "GET", path: base, may: audit, serve: (*Sim).listSnapshots, protected: true},
		{method: "POST", path: base, may: perm("/vms/{vmid}", "VM.Snapshot"), serve: (*Sim).takeSnapshot, protected: true,
			params: specs{"snapname": configIDSpec().upTo(40).req(), "description": text(), "vmstate": boolean()}},
		{method: "GET", path: base + "/{snapname}", proxy: anyHost, serve: index("cmd", "rollback", "config")},
		{method: "DELETE", path: base + "/{snapname}", may: perm("/vms/{vmid}", "VM.Snapshot"), serve: (*Sim).deleteSnapshot, protected: true,
			params: specs{"force": boolean()}},
		{method: "GET", path: base + "/{snapname}/config", may: see, serve: (*Sim).snapshotConfig},
		{method: "POST", path: base + "/{snapname}/rollback", may: permAny("/vms/{vmid}", "VM.Snapshot", "VM.Snapshot.Rollback"),
			serve: (*Sim).rollback, protected: true, params: specs{"start": boolean()}},
		{method: "GET", path: "/nodes/{node}/qemu/{vmid}/feature", may: audit, serve: (*Sim).feature, protected: true,
			params: specs{"feature": oneOf("snapshot", "clone", "copy").req(), "snapname": configIDSpec().upTo(40)}},
	}
}

func (v *vm) snapshot(name string) *snapshot {
	for _, snap := range v.snapshots {
		if snap.name == name {
			return snap
		}
	}
	return nil
}

func (s *Sim) listSnapshots(r *request) (any, error) {
	v, err := s.vmOn(r.node(), r.vmid())
	if err != nil {
		return nil, err
	}
	current := map[string]any{"name": "current", "description": "You are here!", "digest": v.digest(), "running": flagOf(v.run != nil)}
	if parent := v.conf["parent"]; parent != "" {
		current["parent"] = parent
	}
	out := []any{current}
	for _, snap := range v.snapshots {
		entry := map[string]any{"name": snap.name, "description": snap.description, "snaptime": snap.taken.Unix(), "vmstate": 0}
		if snap.parent != "" {
			entry["parent"] = snap.parent
		}
		out = append(out, entry)
	}
	return out, nil
}

// fields is a snapshot's configuration in the form of the API.
func (snap *snapshot) fields() map[string]any {
	out := map[string]any{"snaptime": snap.taken.Unix()}
	if snap.parent != "" {
		out["parent"] = snap.parent
	}
	for key, value := range snap.conf {
		out[key] = typed(key, value)
	}
	delete(out, "description")
	if snap.description != "" {
		out["description"] = snap.description
	}
	return out
}

func (s *Sim) snapshotConfig(r *request) (any, error) {
	v, err := s.vmOn(r.node(), r.vmid())
	if err != nil {
		return nil, err
	}
	snap := v.snapshot(r.args.get("snapname"))
	if snap == nil {
		return nil, die("snapshot '%s' does not exist", r.args.get("snapname"))
	}
	return snap.fields(), nil
}

// canSnapshot reports whether all disks support snapshots: LVM-thin volumes and qcow2
// files do.
func (s *Sim) canSnapshot(v *vm) bool {
	for _, key := range diskKeys {
		d := parseDrive(v.conf[key])
		st, vol := s.volumeOf(v.node, d)
		if vol != nil && !d.isCDROM() && st.files() && vol.format != "qcow2" {
			return false
		}
	}
	return true
}

func (s *Sim) feature(r *request) (any, error) {
	v := s.vms[r.vmid()]
	if v == nil || v.node != r.node() {
		return nil, noConfigFile(r.vmid(), r.node())
	}
	name, of := r.args.get("snapname"), v
	if name != "" {
		snap := v.snapshot(name)
		if snap == nil {
			return nil, die("snapshot '%s' does not exist", name)
		}
		of = &vm{id: v.id, node: v.node, conf: snap.conf}
	}
	has := 1
	switch r.args.get("feature") {
	case "snapshot":
		has = flagOf(s.canSnapshot(of))
	case "clone":
		has = flagOf(name == "" && v.template())
	case "copy":
		has = flagOf(name == "" || s.canSnapshot(of))
	}
	return map[string]any{"hasFeature": has, "nodes": s.nodesFor(v)}, nil
}

// nodesFor returns the hosts that have all storages of a VM.
func (s *Sim) nodesFor(v *vm) []string {
	nodes := slices.Clone(s.hostList)
	for _, key := range diskKeys {
		name, _, ok := parseDrive(v.conf[key]).volume()
		st := s.storages[name]
		if !ok || st == nil {
			continue
		}
		nodes = slices.DeleteFunc(nodes, func(node string) bool {
			if len(st.Nodes) > 0 {
				return st.Disabled || !slices.Contains(st.Nodes, node)
			}
			return st.Disabled || !st.Shared && node != v.node
		})
	}
	return nodes
}

func flagOf(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func (s *Sim) takeSnapshot(r *request) (any, error) {
	name, description := r.args.get("snapname"), r.args.get("description")
	if name == "current" || name == "pending" {
		return nil, die("unable to use snapshot name '%s' (reserved name)", name)
	}
	withMemory := r.args.flag("vmstate")
	if v := s.vms[r.vmid()]; withMemory && v != nil && v.run != nil && len(v.run.devices) == 0 {
		return nil, notSimulated("a snapshot with memory")
	}
	return s.powerTask(r, "qmsnapshot", func(t *task, v *vm) error {
		if v.template() {
			return die("you can't take a snapshot if it's a template")
		}
		if err := v.checkLock(); err != nil {
			return err
		}
		if v.snapshot(name) != nil {
			return die("snapshot name '%s' already used", name)
		}
		if !s.canSnapshot(v) {
			return die("snapshot feature is not available")
		}
		if withMemory && v.run != nil {
			return s.saveMemory(t, v)
		}
		s.noteSnapshot(t, v)
		if err := s.pause(t, s.timings.Config); err != nil {
			return err
		}
		if err := s.writable(v, t.pid); err != nil {
			return err
		}
		snap := &snapshot{name: name, description: description, parent: v.conf["parent"], taken: time.Now(), conf: maps.Clone(v.conf)}
		delete(snap.conf, "parent")
		v.snapshots = append(v.snapshots, snap)
		v.conf["parent"] = name
		s.changed(VMConfigured, v.node, v.id, "")
		return nil
	}), nil
}

// noteSnapshot logs the snapshots of the drives. For a running VM they are made by QEMU,
// with frozen file systems if there is an agent.
func (s *Sim) noteSnapshot(t *task, v *vm) {
	if v.run != nil {
		t.noteFreeze(v)
	}
	for _, key := range diskKeys {
		d := parseDrive(v.conf[key])
		if v.conf[key] == "" || d.isCDROM() {
			continue
		}
		t.note("snapshotting 'drive-%s' (%s)", key, d.file)
		if st, vol := s.volumeOf(v.node, d); v.run != nil && vol != nil && st.files() && key != "tpmstate0" {
			t.note("internal qemu snapshot")
		}
	}
}

// noteFreeze logs the reason if the file systems of a guest are not frozen.
func (t *task) noteFreeze(v *vm) {
	agent := agentFormat.parse(v.conf["agent"])
	freezes := cmp.Or(agent["guest-fsfreeze"], agent["freeze-fs"], agent["freeze-fs-on-backup"], "1")
	switch {
	case !v.hasAgent() || lenientBool(freezes) != "1":
		t.note("skipping guest filesystem freeze - disabled in VM options")
	case !v.agentAnswers():
		t.note("skipping guest filesystem freeze - agent configured but not running?")
	case v.run.frozen:
		t.note("skipping guest filesystem freeze - already frozen")
	}
}

// saveMemory is a snapshot with memory of a VM with passthrough: Proxmox starts it, but
// QEMU refuses, because the device's state cannot be saved.
func (s *Sim) saveMemory(t *task, v *vm) error {
	if len(v.run.devices) == 0 {
		return notSimulated("a snapshot with memory")
	}
	if err := s.pause(t, s.timings.Config); err != nil {
		return err
	}
	return die("VM %d qmp command 'savevm-start' failed - %s: VFIO migration is not supported in kernel", v.id, v.run.devices[0])
}

// rollback restores the configuration and stops the VM.
func (s *Sim) rollback(r *request) (any, error) {
	name, start, caller := r.args.get("snapname"), r.args.flag("start"), *r
	return s.powerTask(r, "qmrollback", func(t *task, v *vm) error {
		if v.template() {
			return die("you can't rollback if vm is a template")
		}
		snap := v.snapshot(name)
		if snap == nil {
			return die("snapshot '%s' does not exist", name)
		}
		if err := v.checkLock(); err != nil {
			return err
		}
		if err := s.pause(t, s.timings.Config); err != nil {
			return err
		}
		if err := s.writable(v, t.pid); err != nil {
			return err
		}
		if v.run != nil {
			s.halt(v)
		}
		v.conf = v.rolledBack(snap)
		s.sizesOf(v)
		v.conf["parent"] = name
		if v.conf["vmgenid"] != "" {
			v.conf["vmgenid"] = newUUID(t.rng)
		}
		clear(v.pending)
		clear(v.deletes)
		s.changed(VMConfigured, v.node, v.id, "")
		if start {
			caller.fault = nil
			s.queueStart(&caller, v.id, 0)
		}
		return nil
	}), nil
}

// sizesOf sets the sizes of the disks to those in the configuration, after a rollback.
func (s *Sim) sizesOf(v *vm) {
	for _, key := range diskKeys {
		d := parseDrive(v.conf[key])
		if _, vol := s.volumeOf(v.node, d); vol != nil && d.props["size"] != "" {
			vol.size = parseSize(d.props["size"])
		}
	}
}

// rolledBack is the configuration of a snapshot with the parts of the current one that a
// rollback keeps: the description, and disks that the snapshot does not have.
func (v *vm) rolledBack(snap *snapshot) map[string]string {
	now, then := v.conf, &vm{conf: map[string]string{}}
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if hasIndex(key, "unused") || key == "description" {
			then.conf[key] = now[key]
		}
	}
	for _, key := range diskKeys {
		d, was := parseDrive(now[key]), &vm{conf: snap.conf}
		if _, _, volume := d.volume(); volume && (!d.isCDROM() || d.isCloudInit()) && !was.hasDrive(d.file) {
			then.keepUnused(d.file)
		}
	}
	for key, value := range snap.conf {
		if !hasIndex(key, "unused") && key != "description" {
			then.conf[key] = value
		}
	}
	then.dropReused()
	return then.conf
}

func (s *Sim) deleteSnapshot(r *request) (any, error) {
	name := r.args.get("snapname")
	return s.powerTask(r, "qmdelsnapshot", func(t *task, v *vm) error {
		if err := v.checkLock(); err != nil {
			return err
		}
		snap := v.snapshot(name)
		if snap == nil {
			return die("snapshot '%s' does not exist", name)
		}
		if err := s.pause(t, s.timings.Config); err != nil {
			return err
		}
		if err := s.writable(v, t.pid); err != nil {
			return err
		}
		v.snapshots = slices.DeleteFunc(v.snapshots, func(other *snapshot) bool { return other == snap })
		for _, other := range v.snapshots {
			if other.parent == name {
				other.parent = snap.parent
			}
		}
		if v.conf["parent"] == name {
			v.conf["parent"] = snap.parent
			if snap.parent == "" {
				delete(v.conf, "parent")
			}
		}
		s.changed(VMConfigured, v.node, v.id, "")
		return nil
	}), nil
}

// snapshotNames returns the names of the snapshots, oldest first.
func (v *vm) snapshotNames() []string {
	var names []string
	for _, snap := range v.snapshots {
		names = append(names, snap.name)
	}
	return names
}
