package pvesim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// createControls are parameters of a creation that are not options.
var createControls = []string{"node", "vmid", "pool", "storage", "start", "unique", "force", "archive", "bwlimit",
	"live-restore", "ha-managed", "import-working-storage"}

// createVM creates a VM. For a VM in a pool, VM.Allocate on the pool is sufficient.
func (s *Sim) createVM(r *request) (any, error) {
	id, pool := r.vmid(), r.args.get("pool")
	if err := s.needQuorum(); err != nil {
		return nil, err
	}
	if err := s.createPerms(r, id, pool); err != nil {
		return nil, err
	}
	if !s.may(r.caller, vmPath(id), "VM.Allocate") && !(pool != "" && s.may(r.caller, "/pool/"+pool, "VM.Allocate")) {
		return nil, forbidden("Permission check failed")
	}
	sets, err := s.checkCreation(r, id, pool)
	if err != nil {
		return nil, err
	}
	if v := s.vms[id]; v != nil {
		return nil, die("unable to create VM %d - VM %d already exists on node '%s'", id, id, v.node)
	}
	v := newVM(id, r.node(), map[string]string{"lock": "create"})
	s.vms[id] = v
	s.changed(VMCreated, v.node, id, "")
	start, managed, caller := r.args.flag("start"), r.args.flag("ha-managed"), *r
	return s.startTask(r, v.node, "qmcreate", fmt.Sprint(id), func(t *task) error {
		if err := s.fillVM(t, caller.caller, v, sets, pool); err != nil {
			return err
		}
		if managed {
			s.lock()
			t.note("Add as HA resource")
			v.ha = &haResource{options: map[string]any{"state": map[bool]string{true: "started", false: "stopped"}[start]}}
			s.unlock()
		}
		if start {
			t.note("Execute autostart")
			s.lock()
			defer s.unlock()
			caller.fault = nil
			s.queueStart(&caller, v.id, 0)
		}
		return nil
	}), nil
}

// createPerms checks the additional privileges of a creation.
func (s *Sim) createPerms(r *request, id int, pool string) error {
	if err := s.poolExists(pool); err != nil {
		return err
	}
	if name := r.args.get("storage"); name != "" {
		if err := s.need(r.caller, "/storage/"+name, "Datastore.AllocateSpace"); err != nil {
			return err
		}
	}
	if r.args.flag("ha-managed") {
		if err := s.need(r.caller, "/", "Sys.Console"); err != nil {
			return err
		}
	}
	if !r.args.flag("start") || r.caller.isRoot() {
		return nil
	}
	return s.vmNeed(r.caller, id, pool, "VM.PowerMgmt")
}

func (s *Sim) poolExists(name string) error {
	if name != "" && s.pool(name) == nil {
		return forbidden("Permission check failed (pool '%s' does not exist)", name)
	}
	return nil
}

// checkCreation makes the checks before the task, and returns the options.
func (s *Sim) checkCreation(r *request, id int, pool string) (sets map[string]string, err error) {
	sets = map[string]string{}
	for key, a := range r.args {
		if !slices.Contains(createControls, key) {
			sets[key] = a.get0()
		}
	}
	if r.args.get("archive") != "" {
		return nil, s.checkArchive(r, sets)
	}
	if err := s.checkSpecialValues(r.node(), sets); err != nil {
		return nil, err
	}
	if err := s.checkVersion(sets); err != nil {
		return nil, err
	}
	if err := s.checkStorages(r.caller, id, sets); err != nil {
		return nil, err
	}
	if err := s.checkOptionPerms(&change{caller: r.caller, vmid: id, sets: sets}, pool); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(sets)) {
		if err := s.devicePerm(r.caller, id, pool, "set", key, sets[key]); err != nil {
			return nil, err
		}
	}
	return sets, s.checkBridges(r.caller, sets)
}

// checkArchive refuses a restore, because there are no backups.
func (s *Sim) checkArchive(r *request, sets map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(sets)) {
		if isDrive(key) {
			return badParam(key, "option conflicts with option 'archive'")
		}
	}
	d := drive{file: r.args.get("archive")}
	if d.file == "-" {
		return die("pipe requires cli environment")
	}
	_, _, isVolume := d.volume()
	if isVolume {
		if kind, err := s.volumeKindOf(d); err != nil || kind.content != "backup" {
			return cmp.Or(err, die("unable to use volume %s - content type needs to be 'backup'", d.file))
		}
	}
	if err := s.volumePerm(r.caller, r.vmid(), d); err != nil {
		return err
	}
	switch _, vol := s.volumeOf(r.node(), d); {
	case !isVolume:
		return die("can't find file '%s'", d.file)
	case vol == nil:
		return die("volume '%s' does not exist", d.file)
	}
	return notSimulated("restoring a backup")
}

// fillVM is the work of a creation: disks, then the configuration. After an error it
// leaves nothing behind, unless the host went down.
func (s *Sim) fillVM(t *task, caller identity, v *vm, sets map[string]string, pool string) error {
	s.lock()
	defer s.unlock()
	err := s.acquireVM(t.ctx, v.node, v.id)
	if err == nil {
		defer s.releaseVM(v.node, v.id)
		err = s.pause(t, s.timings.Create)
	}
	if died(err) {
		return err
	}
	if machine := pinned(sets["machine"], sets["ostype"]); err == nil && machine != "" {
		sets["machine"] = machine
		t.note("pinning machine type to '%s' for Windows guest OS", machine[:strings.IndexByte(machine+",", ',')])
	}
	conf := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(sets)) {
		value := sets[key]
		if err == nil && isDrive(key) {
			value, err = s.makeDrive(t.ctx, v, merge(sets, conf), key, value, t.note)
		}
		if key == "cipassword" {
			value = s.hashPassword(value)
		}
		conf[key] = asRead(key, value)
	}
	if tags, ok := conf["tags"]; ok && err == nil {
		err = s.tagPerm(caller, v.id, "", tags)
		conf["tags"] = normaliseTags(tags)
	}
	if err == nil {
		err = s.writable(v, t.pid)
	}
	if err != nil {
		s.discard(v, conf)
		return fmt.Errorf("unable to create VM %d - %w", v.id, err)
	}
	if text := strings.TrimRight(conf["description"], " \t\r\n"); text != "" {
		conf["description"] = text
	} else {
		delete(conf, "description")
	}
	completeConfig(conf, t.rng, time.Now())
	v.conf = conf
	s.joinPool(pool, v.id)
	s.changed(VMConfigured, v.node, v.id, "")
	return nil
}

// discard removes a VM whose creation failed, with its disks. Without quorum its locked
// configuration stays.
func (s *Sim) discard(v *vm, conf map[string]string) {
	for _, value := range conf {
		if st, vol := s.volumeOf(v.node, parseDrive(value)); vol != nil && vol.vmid == v.id {
			s.remove(st, vol)
		}
	}
	if !s.quorate() {
		return
	}
	delete(s.vms, v.id)
	s.changed(VMDestroyed, v.node, v.id, "")
}
