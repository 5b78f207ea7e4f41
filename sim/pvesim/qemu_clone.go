package pvesim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// cloning is one clone in progress.
type cloning struct {
	source, target *vm
	from           map[string]string // the cloned configuration: the current one or that of a snapshot
	snapshot       string
	caller         identity
	full           bool
	storage        string
	format         string
	pool           string
	bwlimit        int               // KiB/s, 0 for none
	moveTo         string            // final host of the clone; "" for that of the template
	conf           map[string]string // future configuration of the clone
}

// mayAllocateClone requires VM.Allocate on the new id or on the pool.
func mayAllocateClone(s *Sim, r *request) error {
	pool := r.args.get("pool")
	if s.may(r.caller, "/vms/"+r.args.get("newid"), "VM.Allocate") || pool != "" && s.may(r.caller, "/pool/"+pool, "VM.Allocate") {
		return nil
	}
	return forbidden("Permission check failed")
}

// cloneVM checks the request, waits for the start time of a real worker, and begins.
// Two concurrent clones to the same id both get a task; one of the tasks fails.
func (s *Sim) cloneVM(r *request) (any, error) {
	s.lock()
	_, err := s.checkClone(r)
	s.unlock()
	if err != nil {
		return nil, err
	}
	if err := s.sleep(r.ctx, s.timings.CloneCheck); err != nil {
		return nil, err
	}
	s.lock()
	defer s.unlock()
	return s.beginClone(r), nil
}

// checkClone makes the checks before the task.
func (s *Sim) checkClone(r *request) (*cloning, error) {
	source, newid := s.vms[r.vmid()], r.args.number("newid", 0)
	if source == nil || source.node != r.node() {
		return nil, noConfigFile(r.vmid(), r.node())
	}
	c := &cloning{source: source, caller: r.caller, storage: r.args.get("storage"), format: r.args.get("format"), pool: r.args.get("pool"),
		bwlimit: r.args.number("bwlimit", 0), moveTo: r.args.get("target"),
		full: r.args.flag("full") || !r.args.has("full") && !source.template()}
	if err := s.poolExists(c.pool); err != nil {
		return nil, err
	}
	c.from, c.snapshot = source.conf, r.args.get("snapname")
	if snap := source.snapshot(c.snapshot); snap != nil {
		c.from = snap.conf
	}
	if err := s.checkCloneTarget(r, c); err != nil {
		return nil, err
	}
	if err := s.needQuorum(); err != nil {
		return nil, err
	}
	if err := source.checkLock(); err != nil {
		return nil, err
	}
	if c.snapshot != "" && source.snapshot(c.snapshot) == nil {
		return nil, die("snapshot '%s' does not exist", c.snapshot)
	}
	for _, p := range []string{"storage", "format"} {
		if !c.full && r.args.has(p) {
			return nil, die("parameter '%s' not allowed for linked clones", p)
		}
	}
	if st := s.storages[c.storage]; st != nil && st.Disabled {
		return nil, die("storage '%s' is disabled", c.storage)
	}
	c.conf = cloneConfig(c.from, r.args)
	if err := s.checkCloneParts(r, c, newid); err != nil {
		return nil, err
	}
	if other := s.vms[newid]; other != nil && other.node == r.node() {
		return nil, die("unable to create VM %d: config file already exists", newid)
	}
	return c, nil
}

// checkCloneTarget: a clone to another host needs shared storage.
func (s *Sim) checkCloneTarget(r *request, c *cloning) error {
	target := r.args.get("target")
	if target == "" || target == r.node() {
		return nil
	}
	if s.hosts[target] == nil {
		return die("no such cluster node '%s'", target)
	}
	if st := s.storages[c.storage]; st != nil && !st.Shared {
		return die("can't clone to non-shared storage '%s'", c.storage)
	}
	for _, key := range diskKeys {
		if st, vol := s.volumeOf(c.source.node, parseDrive(c.from[key])); vol != nil && !st.Shared {
			return die("can't clone VM to node '%s' (VM uses local storage)", target)
		}
	}
	return s.reach(target)
}

// cloneConfig returns the options that a clone inherits: all except those of the template
// itself.
func cloneConfig(source map[string]string, a args) map[string]string {
	conf := maps.Clone(source)
	for key := range source {
		if slices.Contains([]string{"template", "lock", "digest", "parent"}, key) || hasIndex(key, "unused") {
			delete(conf, key)
		}
	}
	conf["name"] = a.get("name")
	if conf["name"] == "" {
		conf["name"] = "Copy-of-VM-" + source["name"]
		if source["name"] == "" {
			conf["name"] = "Copy-of-VM-" + a.get("vmid")
		}
	}
	if text := strings.TrimRight(a.get("description"), " \t\r\n"); text != "" {
		conf["description"] = text
	}
	return conf
}

// checkCloneParts requires the privileges on the storages and devices of the clone.
func (s *Sim) checkCloneParts(r *request, c *cloning, newid int) error {
	for _, key := range slices.Sorted(maps.Keys(c.conf)) {
		value := c.conf[key]
		switch {
		case isHostpci(key):
			if err := s.hostpciClonePerm(r.caller, key, value); err != nil {
				return err
			}
		case isNet(key):
			if err := s.bridgePerm(r.caller, value); err != nil {
				return err
			}
		case isDrive(key):
			if err := s.checkCloneDrive(r.caller, c, key, parseDrive(value)); err != nil {
				return err
			}
		}
	}
	return nil
}

// hostpciClonePerm is hostpciPerm without the privilege on the new VM.
func (s *Sim) hostpciClonePerm(caller identity, key, value string) error {
	if caller.isRoot() {
		return nil
	}
	props := hostpciFormat.parse(value)
	if props["host"] != "" {
		return die("only root can set '%s' config for non-mapped devices", key)
	}
	return s.need(caller, "/mapping/pci/"+props["mapping"], "Mapping.Use")
}

func (s *Sim) checkCloneDrive(caller identity, c *cloning, key string, d drive) error {
	st, vol := s.volumeOf(c.source.node, d)
	if vol == nil || d.isCDROM() && !d.isCloudInit() {
		return nil
	}
	target := st.Name
	if c.full && c.storage != "" {
		target = c.storage
	}
	if err := s.checkImageStorage(caller, target); err != nil {
		return err
	}
	return c.checkFeature(key, d, st, vol)
}

// checkFeature checks whether a storage supports the clone: a linked clone needs a
// template, and a clone of a snapshot needs a storage with snapshots.
func (c *cloning) checkFeature(key string, d drive, st *storage, vol *volume) error {
	of := ""
	if c.snapshot != "" {
		of = " a snapshot of"
	}
	full := c.full || d.isCloudInit() || key == "tpmstate0"
	switch {
	case full && c.source.run != nil && c.snapshot == "" && key == "tpmstate0":
		return die("cannot clone TPM state while VM is running")
	case full && c.snapshot != "" && st.files() && vol.format != "qcow2":
		return die("Full clone feature is not supported for%s '%s' (%s)", of, d.file, key)
	case !full && (c.snapshot != "" || !isBase(vol)):
		return die("Linked clone feature is not supported for%s '%s' (%s)", of, d.file, key)
	}
	return nil
}

// isBase reports whether a volume is a template's disk.
func isBase(v *volume) bool {
	return strings.HasPrefix(v.name[strings.LastIndex(v.name, "/")+1:], "base-")
}

// beginClone starts the worker. It needs the locks of source and target, and waits one
// second for each. Another clone to the same id holds them while it copies.
func (s *Sim) beginClone(r *request) string {
	source, target := vmLock(r.node(), r.vmid()), vmLock(r.node(), r.args.number("newid", 0))
	share := s.vms[r.vmid()] == nil || s.vms[r.vmid()].run == nil
	identity := s.streams.next("clone %s", r.args.get("newid"))
	var c *cloning
	var err error
	// Usually the locks are free, and the new id is then reserved at once.
	begun := s.tryAcquire(source, share)
	if begun && !s.tryAcquire(target, false) {
		s.release(source)
		begun = false
	}
	if begun {
		c, err = s.takeID(r)
	}
	return s.startTask(r, r.node(), "qmclone", fmt.Sprint(r.vmid()), func(t *task) error {
		s.lock()
		defer s.unlock()
		if !begun {
			if err := s.acquire(t.ctx, source, s.timings.CloneLock, share); err != nil {
				return err
			}
		}
		defer s.release(source)
		if !begun {
			if err := s.acquire(t.ctx, target, s.timings.CloneLock, false); err != nil {
				return err
			}
		}
		defer s.release(target)
		if !begun {
			c, err = s.takeID(r)
		}
		if c == nil {
			return err
		}
		return s.runClone(t, c, identity)
	})
}

// takeID repeats the checks under the locks, and writes the configuration of the new VM:
// a comment and a lock, on the template's host, where it stays until the clone is
// complete. The cluster's file system refuses ids that are in use on another host.
func (s *Sim) takeID(r *request) (*cloning, error) {
	newid, node := r.args.number("newid", 0), r.node()
	c, err := s.checkClone(r)
	if err != nil {
		return nil, err
	}
	if s.vms[newid] != nil {
		return nil, die("close (rename) atomic file '/etc/pve/nodes/%s/qemu-server/%d.conf' failed: File exists", node, newid)
	}
	c.target = newVM(newid, node, map[string]string{"lock": "clone", "description": " qmclone temporary file"})
	c.target.guest, c.target.disk, c.target.files = c.source.guest, c.source.disk, maps.Clone(c.source.files)
	s.vms[newid] = c.target
	s.changed(VMCreated, node, newid, "")
	return c, nil
}

// runClone copies the drives and then writes the configuration. A clone that fails or is
// stopped leaves nothing behind. If its host goes down, its locked configuration and the
// copied drives stay.
func (s *Sim) runClone(t *task, c *cloning, identity *rand.Rand) error {
	t.note("creating a clone of VM %d with ID %d", c.source.id, c.target.id)
	newIdentity(c.conf, identity)
	made := map[string]string{}
	err := s.copyDrives(t, c, made)
	if err == nil {
		err = context.Cause(t.ctx)
	}
	if err == nil {
		err = s.writable(c.target, t.pid)
	}
	switch {
	case died(err):
		return err
	case err != nil:
		s.discard(c.target, made)
		return cloneFailed(t, err)
	}
	maps.Copy(c.conf, made)
	c.target.conf, c.target.node = c.conf, cmp.Or(c.moveTo, c.target.node)
	s.joinPool(c.pool, c.target.id)
	s.changed(VMConfigured, c.target.node, c.target.id, "")
	return nil
}

// cloneFailed returns the error of a failed clone; the text of a fault is not changed.
func cloneFailed(t *task, err error) error {
	switch {
	case t.fault != nil && t.fault.Text != "" && err.Error() == t.fault.Text:
		return err
	case errors.Is(err, errInterrupted):
		return die("clone failed: interrupted by signal")
	}
	return die("clone failed: %v", err)
}

// newIdentity gives a clone its own UUIDs and MAC addresses.
func newIdentity(conf map[string]string, r *rand.Rand) {
	smbios := smbiosFormat.parse(conf["smbios1"])
	smbios["uuid"] = newUUID(r)
	text := drive{file: "uuid=" + smbios["uuid"], props: smbios}
	delete(smbios, "uuid")
	conf["smbios1"] = text.String()
	if conf["vmgenid"] != "" {
		conf["vmgenid"] = newUUID(r)
	}
	for i := range indexed["net"] + 1 {
		key := fmt.Sprint("net", i)
		if conf[key] == "" {
			continue
		}
		mac, _ := netAddress(conf[key])
		conf[key] = strings.Replace(conf[key], mac, newMAC(r), 1)
	}
}
