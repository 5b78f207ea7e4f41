package pvesim

import (
	"context"
	"fmt"
	"time"
)

func powerCalls() []call {
	base := "/nodes/{node}/qemu/{vmid}/status"
	power := perm("/vms/{vmid}", "VM.PowerMgmt")
	wait := specs{"timeout": integer().atLeast(0), "skiplock": boolean()}
	post := func(name string, params specs, serve func(*Sim, *request) (any, error)) call {
		return call{method: "POST", path: base + "/" + name, may: power, params: params, serve: serve, protected: true}
	}
	start := wait.and(specs{"stateuri": text().upTo(128), "nets-host-mtu": matching(`net\d+=\d+(,net\d+=\d+)*`), "with-conntrack-state": boolean(),
		"migratedfrom": nodeSpec(), "migration_type": oneOf("secure", "insecure"),
		"migration_network": text(), "machine": formatted(machineFormat.check), "targetstorage": text(), "force-cpu": text()})
	stop := wait.and(specs{"keepActive": boolean(), "migratedfrom": nodeSpec(), "overrule-shutdown": boolean()})
	return []call{
		{method: "GET", path: base, serve: index("subdir", "current", "reboot", "reset", "shutdown", "start", "stop", "suspend")},
		{method: "GET", path: base + "/current", may: perm("/vms/{vmid}", "VM.Audit"), serve: (*Sim).currentStatus, protected: true},
		post("start", start, (*Sim).startVM),
		post("stop", stop, (*Sim).stopVM),
		post("shutdown", wait.and(specs{"forceStop": boolean(), "keepActive": boolean()}), (*Sim).shutdownVM),
		post("reboot", specs{"timeout": integer().atLeast(0)}, (*Sim).rebootVM),
		post("reset", specs{"skiplock": boolean()}, (*Sim).resetVM),
		post("suspend", specs{"skiplock": boolean(), "todisk": boolean(), "statestorage": storageSpec().with("todisk")}, (*Sim).suspendVM),
		post("resume", specs{"skiplock": boolean(), "nocheck": boolean()}, (*Sim).resumeVM),
	}
}

func (s *Sim) currentStatus(r *request) (any, error) {
	v, err := s.vmOn(r.node(), r.vmid())
	if err != nil {
		return nil, err
	}
	out := s.vmStats(v)
	delete(out, "template")
	if v.template() && len(v.conf) > 0 && templateDisks(v) {
		out["template"] = 1
	}
	out["ha"] = v.haStatus()
	out = merge(out, v.fullStats(out["status"]))
	if v.hasAgent() {
		out["agent"] = 1
	}
	if v.conf["vga"] != "" {
		out["clipboard"] = nil
	}
	return out, nil
}

// templateDisks reports whether a VM has the disks of a template, and is not only marked
// as one.
func templateDisks(v *vm) bool {
	for _, key := range diskKeys {
		if _, name, ok := parseDrive(v.conf[key]).volume(); ok && isBase(&volume{name: name}) {
			return true
		}
	}
	return false
}

// hasAgent reports whether the agent is enabled in the configuration.
func (v *vm) hasAgent() bool {
	return lenientBool(agentFormat.parse(v.conf["agent"])["enabled"]) == "1"
}

// powerTask runs f in a task with the VM's lock held.
func (s *Sim) powerTask(r *request, kind string, f func(t *task, v *vm) error) string {
	id := r.vmid()
	return s.startTask(r, r.node(), kind, fmt.Sprint(id), func(t *task) error {
		s.lock()
		defer s.unlock()
		v := s.vms[id]
		if v == nil || v.node != t.node {
			return noConfigFile(id, t.node)
		}
		if err := s.acquireVM(t.ctx, t.node, id); err != nil {
			return err
		}
		defer s.releaseVM(t.node, id)
		if s.vms[id] != v {
			return noConfigFile(id, t.node)
		}
		return f(t, v)
	})
}

// pause waits for the duration of work, with jitter, without the simulator's lock. The
// error says why the task must end.
func (s *Sim) pause(t *task, d Duration) error { return s.pauseExactly(t, jitter(t.rng, d)) }

// pauseExactly is pause without jitter.
func (s *Sim) pauseExactly(t *task, d Duration) error {
	s.unlock()
	err := t.sleep(d)
	s.lock()
	if err == nil {
		err = context.Cause(t.ctx)
	}
	return err
}

// stopVM stops the VM at once. overrule-shutdown first ends a shutdown in progress, which
// holds the VM's lock.
func (s *Sim) stopVM(r *request) (any, error) {
	skiplock, err := rootSkiplock(r)
	if err != nil {
		return nil, err
	}
	if r.args.has("migratedfrom") {
		return nil, notSimulated("migration")
	}
	if v := s.vms[r.vmid()]; v != nil && v.haManaged() && v.node == r.node() {
		if r.args.flag("overrule-shutdown") {
			return nil, badParam("overrule-shutdown", "Not applicable for HA resources.")
		}
		return s.haRequest(r, "hastop", func(own *request) { s.queueStop(own, false) }), nil
	}
	if r.args.flag("overrule-shutdown") {
		for _, t := range s.tasks {
			if t.kind == "qmshutdown" && t.id == fmt.Sprint(r.vmid()) && t.exit == "" {
				t.cancel(errInterrupted)
			}
		}
	}
	return s.queueStop(r, skiplock), nil
}

func (s *Sim) queueStop(r *request, skiplock bool) string {
	return s.powerTask(r, "qmstop", func(t *task, v *vm) error {
		if v.run == nil {
			return nil
		}
		if err := v.checkLock(); err != nil && !skiplock {
			return err
		}
		if err := s.pause(t, s.timings.Stop); err != nil {
			return err
		}
		s.halt(v)
		return nil
	})
}

// noConfigFile is the error of calls that check first whether a VM is running.
func noConfigFile(id int, node string) error {
	return die("unable to find configuration file for VM %d on node '%s'", id, node)
}

// rootSkiplock returns the parameter skiplock, which only root@pam may set.
func rootSkiplock(r *request) (bool, error) {
	if r.args.flag("skiplock") && !r.caller.isRoot() {
		return false, badParam("skiplock", "Only root may use this option.")
	}
	return r.args.flag("skiplock"), nil
}

// halt ends a VM's run: it releases the devices and applies pending changes.
func (s *Sim) halt(v *vm) {
	v.run, v.starting = nil, false
	s.unreserve(v)
	if s.quorate() {
		s.applyAll(v)
	}
	s.changed(VMStopped, v.node, v.id, "")
}

func (s *Sim) shutdownVM(r *request) (any, error) {
	timeout := s.timings.PowerdownTimeout
	if r.args.has("timeout") {
		timeout = Duration(time.Duration(r.args.number("timeout", 0)) * time.Second)
	}
	force := r.args.flag("forceStop")
	skiplock, err := rootSkiplock(r)
	if err != nil {
		return nil, err
	}
	if v := s.vms[r.vmid()]; v != nil && v.haManaged() && v.node == r.node() {
		return s.haRequest(r, "hastop", func(own *request) { s.queueShutdown(own, timeout, force, false) }), nil
	}
	return s.queueShutdown(r, timeout, force, skiplock), nil
}

func (s *Sim) queueShutdown(r *request, timeout Duration, force, skiplock bool) string {
	return s.powerTask(r, "qmshutdown", func(t *task, v *vm) error {
		if v.run == nil {
			return nil
		}
		if err := v.checkLock(); err != nil && !skiplock {
			return err
		}
		return s.powerdown(t, v, timeout, force)
	})
}

// powerdown asks the guest to shut down. A guest without an operating system, or one
// that has not booted yet, does not react.
func (s *Sim) powerdown(t *task, v *vm, timeout Duration, force bool) error {
	listens := !v.run.paused && !v.run.osUp.IsZero() && !time.Now().Before(v.run.osUp)
	if listens && s.timings.Shutdown <= timeout {
		if err := s.pause(t, s.timings.Shutdown); err != nil {
			return err
		}
		s.halt(v)
		return nil
	}
	if err := s.pause(t, timeout); err != nil {
		return err
	}
	if v.hasAgent() && !v.agentAnswers() {
		t.note("QEMU Guest Agent is not running - VM %d qga command 'guest-ping' failed - got timeout", v.id)
	}
	if force {
		t.note("VM still running - terminating now with SIGTERM")
		s.halt(v)
		return nil
	}
	return die("VM quit/powerdown failed - got timeout")
}

func (s *Sim) mustRun(r *request) (*vm, error) {
	v := s.vms[r.vmid()]
	if v == nil || v.node != r.node() {
		return nil, noConfigFile(r.vmid(), r.node())
	}
	if v.run == nil || v.starting {
		return nil, die("VM %d not running", v.id)
	}
	return v, nil
}

// rebootVM shuts the VM down and starts it again, with pending changes.
func (s *Sim) rebootVM(r *request) (any, error) {
	if _, err := s.mustRun(r); err != nil {
		return nil, err
	}
	timeout := s.timings.PowerdownTimeout
	if r.args.has("timeout") {
		timeout = Duration(time.Duration(r.args.number("timeout", 0)) * time.Second)
	}
	return s.powerTask(r, "qmreboot", func(t *task, v *vm) error {
		if v.run == nil {
			return die("VM %d not running", v.id)
		}
		if err := s.powerdown(t, v, timeout, false); err != nil {
			return err
		}
		return s.start(t, v.node, v.id, false, 0)
	}), nil
}

// resetVM is the reset button: the guest boots again, QEMU stays.
func (s *Sim) resetVM(r *request) (any, error) {
	if _, err := rootSkiplock(r); err != nil {
		return nil, err
	}
	if _, err := s.mustRun(r); err != nil {
		return nil, err
	}
	return s.powerTask(r, "qmreset", func(t *task, v *vm) error {
		if v.run == nil {
			return die("VM %d not running", v.id)
		}
		s.bootGuest(v, t.rng, time.Now())
		s.changed(GuestChanged, v.node, v.id, "")
		return nil
	}), nil
}

// suspendVM pauses the guest in memory.
func (s *Sim) suspendVM(r *request) (any, error) { return s.setPaused(r, "qmpause", true) }

// resumeVM resumes it.
func (s *Sim) resumeVM(r *request) (any, error) { return s.setPaused(r, "qmresume", false) }

// toDisk makes the refusals of the real server; suspending to disk itself is not
// simulated.
func (s *Sim) toDisk(r *request, v *vm) error {
	if v.haManaged() {
		return die("Cannot suspend HA managed VM to disk")
	}
	if err := s.vmNeed(r.caller, v.id, "", "VM.Config.Disk"); err != nil {
		return err
	}
	for key := range v.conf {
		if isHostpci(key) {
			return die("cannot suspend VM to disk due to passed-through PCI device(s), which lack the possibility to save/restore their internal state")
		}
	}
	return notSimulated("suspending to disk")
}

func (s *Sim) setPaused(r *request, kind string, paused bool) (any, error) {
	if _, err := rootSkiplock(r); err != nil {
		return nil, err
	}
	v, err := s.mustRun(r)
	if err != nil {
		return nil, err
	}
	if r.args.flag("todisk") {
		return nil, s.toDisk(r, v)
	}
	return s.powerTask(r, kind, func(_ *task, v *vm) error {
		if v.run == nil {
			return die("VM %d not running", v.id)
		}
		v.run.paused = paused
		s.changed(GuestChanged, v.node, v.id, "")
		return nil
	}), nil
}
