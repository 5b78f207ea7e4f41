package pvesim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

func migrationCalls() []call {
	path := "/nodes/{node}/qemu/{vmid}/migrate"
	may := perm("/vms/{vmid}", "VM.Migrate")
	params := specs{"target": nodeSpec().req(), "online": boolean(), "force": boolean(), "migration_type": oneOf("secure", "insecure"),
		"migration_network": text(), "with-local-disks": boolean(), "targetstorage": text(), "bwlimit": integer().atLeast(0),
		"with-conntrack-state": boolean()}
	return []call{
		{method: "GET", path: path, may: may, params: specs{"target": nodeSpec()}, serve: (*Sim).migrationPreconditions, protected: true},
		{method: "POST", path: path, may: may, params: params, serve: (*Sim).migrateVM, protected: true},
	}
}

// localResources are a VM's passed-through devices: those that prevent a migration,
// those with a mapping, and the options without a mapping on a host.
type localResources struct {
	blocking []string
	mapped   map[string]string   // option → mapping
	missing  map[string][]string // host → options
}

func (s *Sim) localResources(v *vm) localResources {
	r := localResources{mapped: map[string]string{}, missing: map[string][]string{}}
	for _, key := range slices.Sorted(maps.Keys(v.conf)) {
		name := ""
		if isHostpci(key) {
			name = hostpciFormat.parse(v.conf[key])["mapping"]
		}
		switch {
		case name != "":
			r.mapped[key] = name
			for _, host := range s.hostList {
				if m := s.mappings[name]; m == nil || len(m.on(host)) == 0 {
					r.missing[host] = append(r.missing[host], key)
				}
			}
		case isHostpci(key) || hasIndex(key, "usb") || hasIndex(key, "parallel") || hasIndex(key, "serial") && v.conf[key] != "socket":
			r.blocking = append(r.blocking, key)
		}
	}
	return r
}

// gpuworker never migrates VMs. But operators, the HA manager and bpg's provider
// (migrate = true) do, and gpuworker must find the moved VMs again.

// migrationPreconditions returns the possible targets of a migration.
func (s *Sim) migrationPreconditions(r *request) (any, error) {
	v, err := s.vmOn(r.node(), r.vmid())
	if err != nil {
		return nil, err
	}
	if err := v.checkLock(); err != nil {
		return nil, err
	}
	res := s.localResources(v)
	allowed, refused := []string{}, map[string]any{}
	for _, host := range s.hostList {
		why := map[string]any{}
		if lacking := s.storagesLacking(v, host); len(lacking) > 0 {
			why["unavailable_storages"] = lacking
		}
		if options := res.missing[host]; len(options) > 0 {
			why["unavailable-resources"] = options
		}
		switch {
		case host == v.node:
		case len(why) > 0:
			refused[host] = why
		default:
			allowed = append(allowed, host)
		}
	}
	info := map[string]any{}
	for key, name := range res.mapped {
		info[key] = map[string]any{"name": name}
	}
	running := 0
	local := append([]string{}, res.blocking...)
	if v.run != nil {
		running = 1
		local = append(local, slices.Sorted(maps.Keys(res.mapped))...)
	}
	out := map[string]any{"running": running, "allowed_nodes": allowed, "not_allowed_nodes": refused, "local_resources": local,
		"mapped-resources": append([]string{}, slices.Sorted(maps.Keys(res.mapped))...), "local_disks": s.localDisks(v)}
	if s.major >= 9 {
		out["mapped-resource-info"], out["has-dbus-vmstate"] = info, 1
	}
	return out, nil
}

// storagesLacking returns the storages of a VM's disks that a host does not have.
func (s *Sim) storagesLacking(v *vm, host string) []string {
	lacking := map[string]bool{}
	for _, key := range diskKeys {
		if name, _, ok := parseDrive(v.conf[key]).volume(); ok {
			if _, err := s.storageOn(host, name); err != nil {
				lacking[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(lacking))
}

func (s *Sim) localDisks(v *vm) []any {
	out := []any{}
	for _, key := range diskKeys {
		d := parseDrive(v.conf[key])
		if st, vol := s.volumeOf(v.node, d); vol != nil && !st.Shared {
			cdrom := 0
			if d.isCDROM() {
				cdrom = 1
			}
			out = append(out, map[string]any{"volid": d.file, "drivename": key, "size": vol.size, "cdrom": cdrom, "is_unused": 0,
				"is_vmstate": 0, "is_tpmstate": 0, "is_attached": 1, "shared": 0})
		}
	}
	return out
}

// migrateVM moves a stopped VM to another host, with its local disks. The migration of a
// running VM is refused, or not simulated.
func (s *Sim) migrateVM(r *request) (any, error) {
	target := r.args.get("target")
	if target == r.node() {
		return nil, badParam("target", "target is local node.")
	}
	if s.hosts[target] == nil {
		return nil, die("no such cluster node '%s'", target)
	}
	for _, name := range []string{"force", "migration_type", "migration_network"} {
		if r.args.has(name) && !r.caller.isRoot() {
			return nil, badParam(name, "Only root may use this option.")
		}
	}
	if err := s.needQuorum(); err != nil {
		return nil, err
	}
	v, err := s.vmOn(r.node(), r.vmid())
	if err != nil {
		return nil, err
	}
	if err := s.mayMigrate(r, v, target); err != nil {
		return nil, err
	}
	if v.haManaged() {
		return s.haMigrate(r, target), nil
	}
	return s.queueMigrate(r, target, r.args.flag("force"), r.args.number("bwlimit", 0)), nil
}

func (s *Sim) queueMigrate(r *request, target string, force bool, limit int) string {
	return s.powerTask(r, "qmigrate", func(t *task, v *vm) error {
		began := time.Now()
		err := s.migrate(t, v, target, force, limit)
		took := time.Since(began).Round(time.Second)
		span := fmt.Sprintf("%02d:%02d:%02d", int(took.Hours()), int(took.Minutes())%60, int(took.Seconds())%60)
		switch {
		case died(err):
			return err
		case err != nil:
			t.dated("ERROR: migration aborted (duration %s): %v", span, err)
			return die("migration aborted")
		}
		t.dated("migration finished successfully (duration %s)", span)
		return nil
	})
}

// mayMigrate makes the checks before the task is started.
func (s *Sim) mayMigrate(r *request, v *vm, target string) error {
	if err := v.checkLock(); err != nil {
		return err
	}
	switch {
	case v.run != nil && !r.args.flag("online"):
		return die("can't migrate running VM without --online")
	case v.run != nil:
		return notSimulated("live migration")
	case r.args.has("targetstorage"):
		return notSimulated("migration to another storage")
	}
	if lacking := s.storagesLacking(v, target); len(lacking) > 0 {
		_, err := s.storageOn(target, lacking[0])
		return err
	}
	return s.reach(target)
}

// dated writes a log line with the time before it, as migrations do.
func (t *task) dated(format string, args ...any) {
	t.note("%s %s", time.Now().Format(time.DateTime), fmt.Sprintf(format, args...))
}

func (s *Sim) migrate(t *task, v *vm, target string, force bool, limit int) error {
	if err := v.checkLock(); err != nil {
		return err
	}
	res := s.localResources(v)
	switch {
	case len(res.blocking) > 0 && !force:
		return die("can't migrate VM which uses local devices: %s", strings.Join(res.blocking, ", "))
	case len(res.blocking) > 0:
		t.dated("migrating VM which uses local devices")
	}
	if missing := res.missing[target]; len(missing) > 0 {
		return die("can't migrate to '%s': missing mapped devices %s", target, strings.Join(missing, ", "))
	}
	if len(res.mapped) > 0 {
		t.dated("migrating VM which uses mapped local devices")
	}
	t.dated("starting migration of VM %d to node '%s' (%s)", v.id, target, s.hosts[target].IP)
	if err := s.writable(v, t.pid); err != nil {
		return err
	}
	v.conf["lock"] = "migrate"
	s.changed(VMConfigured, v.node, v.id, "")
	if err := s.copyLocalDisks(t, v, target, limit); err != nil {
		if !died(err) {
			delete(v.conf, "lock")
			s.changed(VMConfigured, v.node, v.id, "")
		}
		return err
	}
	s.moveVM(v, target)
	return nil
}

// copyLocalDisks waits for the time of the copy. The disks change hosts together with
// the configuration.
func (s *Sim) copyLocalDisks(t *task, v *vm, target string, limit int) error {
	for _, key := range diskKeys {
		d := parseDrive(v.conf[key])
		st, vol := s.volumeOf(v.node, d)
		if vol == nil || st.Shared || vol.vmid != v.id {
			continue
		}
		t.dated("found local disk '%s' (attached)", d.file)
		if st.inUse(vol) {
			return die("Problem found while scanning volumes - can't migrate local disk '%s': referenced by linked clone(s)", d.file)
		}
		if vol.parent != "" && st.files() {
			return die("Problem found while scanning volumes - can't migrate '%s' as it's a clone of '%s'", d.file, vol.parent)
		}
		if _, there := s.volumeOf(target, d); there != nil {
			return notSimulated("migrating a disk to a host that has one of that name")
		}
		t.dated("copying local disk images")
		if err := s.pause(t, s.copyTime(vol.size, limit)); err != nil {
			return err
		}
	}
	return nil
}

// moveVM moves a VM and its local disks to another host.
func (s *Sim) moveVM(v *vm, target string) {
	for _, key := range diskKeys {
		if st, vol := s.volumeOf(v.node, parseDrive(v.conf[key])); vol != nil && !st.Shared && vol.vmid == v.id {
			st.rename(vol, func() { vol.node = target })
		}
	}
	delete(v.conf, "lock")
	v.node = target
	s.changed(VMConfigured, target, v.id, "")
}
