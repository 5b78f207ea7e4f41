package pvesim

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// startVM always returns a task; errors are those of the task.
func (s *Sim) startVM(r *request) (any, error) {
	if _, err := rootSkiplock(r); err != nil {
		return nil, err
	}
	if r.args.has("force-cpu") && !r.caller.isRoot() {
		return nil, badParam("force-cpu", "Only root may use this option.")
	}
	for _, name := range []string{"stateuri", "migratedfrom", "migration_type", "migration_network", "targetstorage",
		"nets-host-mtu", "with-conntrack-state"} {
		if r.args.has(name) {
			return nil, notSimulated("parameter '%s' of a start", name)
		}
	}
	if err := s.needQuorum(); err != nil {
		return nil, err
	}
	if v := s.vms[r.vmid()]; v != nil && v.haManaged() && v.node == r.node() {
		return s.haRequest(r, "hastart", nil), nil
	}
	return s.queueStart(r, r.vmid(), Duration(time.Duration(r.args.number("timeout", 0))*time.Second)), nil
}

func (s *Sim) queueStart(r *request, id int, timeout Duration) string {
	skiplock := r.args.flag("skiplock")
	return s.startTask(r, r.node(), "qmstart", fmt.Sprint(id), func(t *task) error {
		s.lock()
		defer s.unlock()
		if err := s.acquireVM(t.ctx, t.node, id); err != nil {
			return err
		}
		defer s.releaseVM(t.node, id)
		return s.start(t, t.node, id, skiplock, timeout)
	})
}

// start starts a VM; the simulator's and the VM's lock are held. The checks are in the
// order of the real server, because the operator sees the first one that fails.
func (s *Sim) start(t *task, node string, id int, skiplock bool, timeout Duration) error {
	v, err := s.vmOn(node, id)
	if err != nil {
		return err
	}
	if err := v.checkLock(); err != nil && !skiplock {
		return err
	}
	if v.template() {
		return die("you can't start a vm if it's a template")
	}
	if v.run != nil {
		return die("VM %d already running", id)
	}
	if len(v.pending)+len(v.deletes) > 0 {
		if err := s.writable(v, t.pid); err != nil {
			return err
		}
	}
	s.applyAll(v)
	if err := s.makeSeed(t, v); err != nil {
		return err
	}
	if err := s.activateVolumes(v); err != nil {
		return err
	}
	list, err := s.parsePassed(v)
	if err != nil {
		return t.logParseError(err)
	}
	ids, err := s.chooseDevices(v, list)
	if err != nil {
		return err
	}
	if cpus := s.hosts[node].CPUs; cpus > 0 && vcpus(merge(v.conf, map[string]string{"vcpus": ""})) > cpus {
		return die("MAX %d vcpus allowed per VM on this node", cpus)
	}
	if err := t.mediate(list); err != nil {
		return err
	}
	if err := s.reserve(v, ids); err != nil {
		return err
	}
	v.starting = true
	s.changed(VMStarting, node, id, "")
	err = s.launch(t, v, ids, keptDevices(list), timeout)
	if died(err) {
		return err
	}
	v.starting = false
	if err != nil {
		s.unreserve(v)
		s.changed(VMStopped, node, id, "")
	}
	return err
}

// activateVolumes fails for drives whose storage cannot be reached, or whose volume is
// gone, such as an ISO image that was deleted.
func (s *Sim) activateVolumes(v *vm) error {
	for _, key := range slices.Sorted(maps.Keys(v.conf)) {
		if !isDrive(key) {
			continue
		}
		d := parseDrive(v.conf[key])
		name, _, ok := d.volume()
		if !ok {
			continue
		}
		if _, err := s.activeStorage(v.node, name); err != nil {
			return err
		}
		if _, vol := s.volumeOf(v.node, d); vol == nil {
			return die("volume '%s' does not exist", d.file)
		}
	}
	return nil
}

// logParseError writes errors of hostpci values to the log, as the real server does
// before it ends the task with the error.
func (t *task) logParseError(err error) error {
	var parse *parseError
	if errors.As(err, &parse) {
		t.log = append(t.log, strings.Split(parse.text, "\n")...)
	}
	return err
}

// launch binds the devices and runs QEMU, which takes as long as pinning the memory.
func (s *Sim) launch(t *task, v *vm, ids []string, kept map[string]bool, timeout Duration) error {
	if err := s.bind(t, v, ids, kept); err != nil {
		return err
	}
	if v.conf["bios"] == "ovmf" && v.conf["efidisk0"] == "" {
		t.warn("WARN: no efidisk configured! Using temporary efivars disk.")
	}
	if err := s.plugNetwork(t, v); err != nil {
		return err
	}
	if err := s.openable(t, v, ids); err != nil {
		return err
	}
	memory := memoryOf(v.conf)
	h := s.hosts[v.node]
	wait := s.timings.Start
	enough := true
	if len(ids) > 0 {
		enough = s.memoryUsed(h)+memory <= h.memory()
		pinned := memory
		if !enough {
			pinned = max(0, h.memory()-s.memoryUsed(h))
		}
		wait += Duration(float64(s.timings.StartPinGiB) * float64(pinned) / float64(gib))
	}
	// The memory is used from now on, so that another start sees less.
	v.run = &run{pinned: memory}
	err := s.waitForQEMU(t, v, wait, timeout, len(ids) > 0)
	if err == nil && !enough {
		t.note("kvm: -device vfio-pci,host=%s,id=hostpci0: vfio %s: failed to setup container for group %d: memory listener initialization failed: "+
			"Region pc.ram: vfio_container_dma_map = -12 (Cannot allocate memory)", ids[0], ids[0], h.function(ids[0]).Group)
		err = die("start failed: QEMU exited with code 1")
	}
	if err != nil {
		if !died(err) {
			v.run = nil
		}
		return err
	}
	s.running(v, t.rng, ids)
	for i := range indexed["net"] + 1 {
		value := v.conf[fmt.Sprint("net", i)]
		if _, bridge := netAddress(value); value != "" && bridge == "" {
			t.warn("WARN: Interface 'tap%di%d' not attached to any bridge.", v.id, i)
		}
	}
	return nil
}

// plugNetwork fails for bridges that the host does not have.
func (s *Sim) plugNetwork(t *task, v *vm) error {
	for i := range indexed["net"] + 1 {
		key := fmt.Sprint("net", i)
		if _, bridge := netAddress(v.conf[key]); bridge != "" && !s.hosts[v.node].hasBridge(bridge) {
			t.note("bridge '%s' does not exist", bridge)
			t.note("kvm: -netdev type=tap,id=%s: network script /var/lib/qemu-server/pve-bridge failed with status 512", key)
			return die("start failed: QEMU exited with code 1")
		}
	}
	return nil
}

// waitForQEMU waits for the duration of the start, without the simulator's lock.
func (s *Sim) waitForQEMU(t *task, v *vm, wait, timeout Duration, passthrough bool) error {
	limit := startTimeout(v, passthrough)
	if timeout > 0 {
		limit = timeout
	}
	err := s.pause(t, min(wait, limit))
	if err == nil && wait > limit {
		err = die("start failed: command '/usr/bin/kvm -id %d -name %s' failed: got timeout", v.id, v.name())
	}
	return err
}

// startTimeout is the real server's timeout for a start: 30 seconds, or one second per
// GiB if that is more; four times that with passthrough; at least 150 with hugepages; 5
// more for each network card.
func startTimeout(v *vm, passthrough bool) Duration {
	seconds := max(30, memoryOf(v.conf)/gib)
	if passthrough {
		seconds *= 4
	}
	if v.conf["hugepages"] != "" {
		seconds = max(150, seconds)
	}
	for key := range v.conf {
		if isNet(key) {
			seconds += 5
		}
	}
	return Duration(time.Duration(seconds) * time.Second)
}

func (h *host) hasBridge(name string) bool {
	for _, b := range h.Bridges {
		if b.Name == name {
			return true
		}
	}
	return false
}

// running turns a launched VM into a running one; its guest boots later.
func (s *Sim) running(v *vm, r *rand.Rand, ids []string) {
	s.nextPID++
	now := time.Now()
	v.run = &run{pid: s.nextPID, since: now, pinned: memoryOf(v.conf), devices: ids, conf: v.merged(), seed: maps.Clone(v.conf)}
	s.bootGuest(v, r, now)
	v.starting = false
	s.changed(VMStarted, v.node, v.id, "")
}

// bootGuest sets the times at which the guest's system and agent are ready.
func (s *Sim) bootGuest(v *vm, r *rand.Rand, now time.Time) {
	agent := between(r, s.timings.AgentMin, s.timings.AgentMax)
	if v.guest.AgentAfter > 0 {
		agent = v.guest.AgentAfter
	}
	scaled := func(d Duration) time.Time { return now.Add(s.scaled(d)) }
	v.run.osUp, v.run.agentUp, v.run.frozen = time.Time{}, time.Time{}, false
	v.run.execs, v.run.nextPID, v.run.handles, v.run.nextHandle = map[int]*guestProcess{}, 500, map[int]*guestHandle{}, 0
	if v.guest.OS != "" {
		v.run.osUp = scaled(agent / 2)
	}
	if v.guest.Agent {
		v.run.agentUp = scaled(agent)
	}
	s.bootModel(v, now, agent)
}

// bootAtOnce is for VMs that are running at the beginning of the simulation: their guests
// are ready, and they have their devices.
func (s *Sim) bootAtOnce(v *vm, r *rand.Rand) {
	var ids []string
	if list, err := s.parsePassed(v); err == nil {
		ids, _ = s.chooseDevices(v, list)
	}
	if s.reserve(v, ids) != nil {
		ids = nil
	}
	for _, id := range ids {
		s.hosts[v.node].drivers[id] = "vfio-pci"
	}
	s.running(v, r, ids)
	v.run.since = s.hosts[v.node].booted
	if v.guest.OS != "" {
		v.run.osUp = s.started
	}
	if v.guest.Agent {
		v.run.agentUp = s.started
	}
	s.bootModel(v, s.started, 0)
}
