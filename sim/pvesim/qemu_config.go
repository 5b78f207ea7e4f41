package pvesim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// change is a request to change a VM's configuration, after the checks that do not need
// the VM's lock.
type change struct {
	caller   identity
	vmid     int
	sets     map[string]string
	deletes  []string
	reverts  []string
	digest   string
	skiplock bool
	// force also removes the deleted disks.
	force bool
	// say writes to the log of the task that makes the change, if one does.
	say func(format string, args ...any)
	// derived are options that change as a consequence.
	derived []string
	// pid is the process that writes the change.
	pid int
	// stop, if not 0, is the number of options after which the change fails with why.
	stop int
	why  string
}

// configControls are parameters of a configuration change that are not options.
var configControls = []string{"node", "vmid", "digest", "delete", "revert", "skiplock", "force", "background_delay", "import-working-storage"}

// prepareChange makes the checks before the lock, for both PUT and POST.
func (s *Sim) prepareChange(r *request) (*change, error) {
	c := &change{caller: r.caller, vmid: r.vmid(), pid: workerPID, say: func(string, ...any) {}, sets: map[string]string{}, digest: r.args.get("digest"), skiplock: r.args.flag("skiplock"), force: r.args.flag("force"),
		deletes: splitList(r.args.get("delete")), reverts: splitList(r.args.get("revert"))}
	for key, a := range r.args {
		if slices.Contains(configControls, key) {
			continue
		}
		if a.null {
			return nil, die("unable to parse value of '%s' - got undefined value", key)
		}
		c.sets[key] = a.get0()
	}
	if c.skiplock && !r.caller.isRoot() {
		return nil, badParam("skiplock", "Only root may use this option.")
	}
	if len(c.sets) == 0 && r.args.get("delete") == "" && r.args.get("revert") == "" {
		return nil, die("no options specified")
	}
	if r.fault != nil && r.fault.Effect == PartialConfig {
		c.stop, c.why = max(1, r.fault.Options), r.fault.text("got timeout")
	}
	v, err := s.vmOn(r.node(), c.vmid)
	if err != nil {
		return nil, err
	}
	if err := c.checkLists(); err != nil {
		return nil, err
	}
	if err := checkStored(c.sets); err != nil {
		return nil, err
	}
	if err := s.checkSpecialValues(r.node(), c.sets); err != nil {
		return nil, err
	}
	if err := s.checkVersion(c.sets); err != nil {
		return nil, err
	}
	if err := s.checkOptionPerms(c, ""); err != nil {
		return nil, err
	}
	if err := s.checkStorages(c.caller, c.vmid, c.sets); err != nil {
		return nil, err
	}
	if err := s.checkBridges(c.caller, c.sets); err != nil {
		return nil, err
	}
	return c, c.fits(v)
}

// newSeed reports whether the change adds a cloud-init drive that is written at once; for
// a running VM it is pending.
func (c *change) newSeed(v *vm) bool {
	for key := range c.sets {
		if isDrive(key) && v.run == nil && parseDrive(v.pending[key]).isCloudInit() {
			return true
		}
	}
	return false
}

// fits makes the checks that are repeated under the VM's lock.
func (c *change) fits(v *vm) error {
	if c.digest != "" && c.digest != v.digest() {
		return die("checksum mismatch (file change by other user?)")
	}
	if err := v.checkLock(); err != nil && !c.skiplock {
		return err
	}
	return c.checkBalloon(v)
}

// checkBalloon checks that balloon is not more than memory.
func (c *change) checkBalloon(v *vm) error {
	_, memory := c.sets["memory"]
	_, balloon := c.sets["balloon"]
	if !memory && !balloon {
		return nil
	}
	conf := merge(v.merged(), c.sets)
	least, err := strconv.ParseInt(conf["balloon"], 10, 64)
	if err == nil && least*mib > memoryOf(conf) {
		return die("balloon value too large (must be smaller than assigned memory)")
	}
	return nil
}

// get0 returns the first value.
func (a arg) get0() string {
	if len(a.values) == 0 {
		return ""
	}
	return a.values[0]
}

// keys returns the options of the change.
func (c *change) keys() []string {
	return slices.Concat(slices.Collect(maps.Keys(c.sets)), c.deletes, c.reverts, c.derived)
}

func (c *change) checkLists() error {
	for _, key := range c.reverts {
		if !optionExists(key) {
			return badParam("revert", "unknown option '%s'", key)
		}
		if _, set := c.sets[key]; set {
			return badParam("delete", "you can't use '-%s' and -revert %s' at the same time", key, key)
		}
	}
	for _, key := range c.deletes {
		if _, set := c.sets[key]; set {
			return badParam("delete", "you can't use '-%s' and -delete %s' at the same time", key, key)
		}
		if slices.Contains(c.reverts, key) {
			return badParam("revert", "you can't use '-delete %s' and -revert %s' at the same time", key, key)
		}
		if !optionExists(key) {
			return badParam("delete", "unknown option '%s'", key)
		}
	}
	return nil
}

// inner are internal options of the server. They cannot be set, but a request may delete
// them.
var inner = []string{"meta", "parent", "snaptime", "vmstate", "runningmachine", "runningcpu", "running-nets-host-mtu"}

func optionExists(key string) bool {
	_, known := vmOption(key)
	return known || slices.Contains(inner, key)
}

// checkVersion refuses options that are newer than the world's version: driver= of
// hostpci exists since Proxmox VE 9.1.
func (s *Sim) checkVersion(sets map[string]string) error {
	if !strings.HasPrefix(s.version, "8.") && !strings.HasPrefix(s.version, "9.0") {
		return nil
	}
	older := *hostpciFormat
	older.props = maps.Clone(older.props)
	delete(older.props, "driver")
	for key, value := range sets {
		if !isHostpci(key) {
			continue
		}
		if text := older.check(key, value); text != "" {
			return badParam(key, "%s", text)
		}
	}
	return nil
}

// putConfig changes the configuration before it answers.
func (s *Sim) putConfig(r *request) (any, error) {
	s.lock()
	defer s.unlock()
	c, err := s.prepareChange(r)
	if err != nil {
		return nil, err
	}
	return nil, s.applyChange(r.ctx, c, r.node())
}

// postConfig does the same in a task; with background_delay it waits for the task.
func (s *Sim) postConfig(r *request) (any, error) {
	s.lock()
	upid, err := s.queueChange(r)
	s.unlock()
	if err != nil || !r.args.has("background_delay") {
		return upid, err
	}
	return s.await(upid, r.args.number("background_delay", 0), fmt.Sprintf("failed to update VM %d", r.vmid()))
}

func (s *Sim) queueChange(r *request) (upid string, err error) {
	c, err := s.prepareChange(r)
	if err != nil {
		return "", err
	}
	line := fmt.Sprintf("update VM %d:", c.vmid)
	for _, key := range slices.Sorted(maps.Keys(c.sets)) {
		value := c.sets[key]
		if key == "cipassword" {
			value = "<hidden>"
		}
		line += fmt.Sprintf(" -%s %s", key, value)
	}
	if len(c.deletes) > 0 {
		line += " -delete " + strings.Join(c.deletes, ",")
	}
	node := r.node()
	return s.startTask(r, node, "qmconfig", fmt.Sprint(c.vmid), func(t *task) error {
		t.say("%s", line)
		s.lock()
		defer s.unlock()
		if err := s.pause(t, s.timings.Config); err != nil {
			return err
		}
		c.say, c.pid = t.note, t.pid
		return s.applyChange(t.ctx, c, node)
	}), nil
}

// applyChange writes the options one by one under the VM's lock. A change that fails in
// the middle keeps the options written before. Then it applies all options that can be
// applied.
func (s *Sim) applyChange(ctx context.Context, c *change, node string) error {
	if err := s.acquireVM(context.WithoutCancel(ctx), node, c.vmid); err != nil {
		return err
	}
	defer s.releaseVM(node, c.vmid)
	v, err := s.vmOn(node, c.vmid)
	if err != nil {
		return err
	}
	if err := c.fits(v); err != nil {
		return err
	}
	if refused := s.writable(v, c.pid); refused != nil {
		return s.failToWrite(ctx, c, v, refused)
	}
	err = s.writeOptions(ctx, c, v)
	if err == nil && c.newSeed(v) {
		defer c.say("generating cloud-init ISO")
	}
	if err == nil || c.stop > 0 {
		if applyErr := s.applyPending(v, c.keys()); err == nil {
			err = applyErr
		}
	}
	v.dropReused()
	s.changed(VMConfigured, node, v.id, "")
	return err
}

// failToWrite is a change without quorum: it fails at the first option, and a disk that
// was created for that option stays.
func (s *Sim) failToWrite(ctx context.Context, c *change, v *vm, refused error) error {
	trial := *v
	trial.conf, trial.pending = maps.Clone(v.conf), maps.Clone(v.pending)
	trial.deletes, trial.forced = maps.Clone(v.deletes), maps.Clone(v.forced)
	first := *c
	first.stop, first.why = 1, refused.Error()
	if err := s.writeOptions(ctx, &first, &trial); err != nil {
		return err
	}
	return refused
}

// writeOptions writes reverts, deletions and settings to the pending section.
func (s *Sim) writeOptions(ctx context.Context, c *change, v *vm) error {
	for _, key := range c.reverts {
		s.dropPending(v, key)
		delete(v.deletes, key)
	}
	boot := bootOrderOf(v)
	done := 0
	step := func() error {
		if done++; c.stop > 0 && done >= c.stop {
			return die("%s", c.why)
		}
		return nil
	}
	for _, key := range c.deletes {
		if err := s.deleteOption(c, v, key); err != nil {
			return err
		}
		boot.drop(c, v, key)
		if err := step(); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.sets)) {
		if err := s.setOption(ctx, c, v, key, c.sets[key]); err != nil {
			return err
		}
		boot.add(c, v, key)
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sim) deleteOption(c *change, v *vm, key string) error {
	current, set := v.conf[key]
	if _, pending := v.pending[key]; !set && !pending {
		c.say("cannot delete '%s' - not set in current configuration!", key)
		return nil
	}
	switch protected := v.conf["protection"] == "1"; {
	case protected && isDrive(key):
		return die("can't remove drive '%s' - protection mode enabled", key)
	case protected && hasIndex(key, "unused"):
		return die("can't remove unused disk '%s' - protection mode enabled", parseDrive(current).file)
	}
	for _, value := range []string{current, v.pending[key]} {
		if err := s.lateOptionPerm(c.caller, v.id, "delete", key, value); err != nil {
			return err
		}
	}
	if key == "tags" {
		if err := s.tagPerm(c.caller, v.id, current, ""); err != nil {
			return err
		}
	}
	if hasIndex(key, "unused") {
		if err := s.checkUnusedVolume(c.caller, v, key); err != nil {
			return err
		}
	}
	s.dropPending(v, key)
	if set {
		v.deletes[key], v.forced[key] = true, c.force
	}
	return nil
}

// checkUnusedVolume checks that neither a drive nor a snapshot refers to the volume of an
// unused disk, so that it may be removed.
func (s *Sim) checkUnusedVolume(caller identity, v *vm, key string) error {
	d := parseDrive(v.conf[key])
	st, vol := s.volumeOf(v.node, d)
	if vol == nil || vol.vmid != v.id {
		return nil
	}
	if err := s.need(caller, "/storage/"+st.Name, "Datastore.AllocateSpace"); err != nil {
		return err
	}
	if v.names(d.file, key) {
		return die("unable to delete '%s' - volume is still in use (snapshot?)", d.file)
	}
	return nil
}

// names reports whether a snapshot, or a drive other than except, refers to a volume.
func (v *vm) names(volid, except string) bool {
	confs := []map[string]string{v.conf, v.pending}
	for _, snap := range v.snapshots {
		confs = append(confs, snap.conf)
	}
	for i, conf := range confs {
		for key, value := range conf {
			if isDrive(key) && (i > 0 || key != except) && parseDrive(value).file == volid {
				return true
			}
		}
	}
	return false
}

// lateOptionPerm checks the privileges for the old and the new value of an option.
func (s *Sim) lateOptionPerm(caller identity, vmid int, verb, key, value string) error {
	switch {
	case isDrive(key):
		return s.drivePerm(caller, vmid, value)
	case hasIndex(key, "unused") && value != "":
		return s.vmNeed(caller, vmid, "", "VM.Config.Disk")
	case isNet(key):
		return s.bridgePerm(caller, value)
	}
	return s.devicePerm(caller, vmid, "", verb, key, value)
}
