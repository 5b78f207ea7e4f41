package pvesim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The bootstrap of a simulated guest. It has the steps of gpuworker-guest, in their order,
// and skips those that the orders do not need. Each takes its part of the time.
// Source: package internal/guest/steps. The simulator has its own copy, so that a change
// of the program shows in the tests of those who read its status.

// guestStep is a step of the bootstrap.
type guestStep struct {
	name  string
	parts int // of the time
	// strategies that need it; nil for all
	strategies []string
	perBoot    bool // it is done again after a restart
}

var guestSteps = []guestStep{
	{name: "card", parts: 1, perBoot: true},
	{name: "nouveau", parts: 1, perBoot: true, strategies: []string{"Packages", "Preinstalled", "Ansible", "Operator", ""}},
	{name: "updates", parts: 1, strategies: []string{"Packages", "Preinstalled", "Ansible", "Operator", ""}},
	{name: "options", parts: 1, strategies: loadsModules},
	{name: "packages", parts: 4, strategies: []string{"Packages"}},
	{name: "modules", parts: 2, perBoot: true, strategies: loadsModules},
	{name: "persistence", parts: 1, perBoot: true, strategies: loadsModules},
	{name: "toolkit", parts: 1},
	{name: "verify", parts: 1, perBoot: true},
	{name: "copies", parts: 1, perBoot: true},
}

var loadsModules = []string{"Packages", "Preinstalled"}

// skips reports whether the orders do not need a step.
func (o modelOrders) skips(step guestStep) bool {
	return o.GPU == nil || step.name == "toolkit" && !o.Driver.Toolkit ||
		step.strategies != nil && !slices.Contains(step.strategies, o.Driver.Strategy)
}

// schedule is when each step begins and ends, for a bootstrap that takes this time.
func (o modelOrders) schedule(began time.Time, takes time.Duration) (begins, ends []time.Time) {
	all, past := 0, 0
	for _, step := range guestSteps {
		if !o.skips(step) {
			all += step.parts
		}
	}
	for _, step := range guestSteps {
		at := began.Add(takes * time.Duration(past) / time.Duration(max(1, all)))
		if !o.skips(step) {
			past += step.parts
		}
		begins = append(begins, at)
		ends = append(ends, began.Add(takes*time.Duration(past)/time.Duration(max(1, all))))
	}
	return begins, ends
}

// orders reads the orders of a guest; ok is false when there are none for this VM.
func (v *vm) orders() (orders modelOrders, ok bool) {
	err := json.Unmarshal([]byte(v.files[guestOrders]), &orders)
	return orders, err == nil && strings.EqualFold(orders.UUID, v.smbiosUUID())
}

func (v *vm) smbiosUUID() string { return smbiosFormat.parse(v.run.conf["smbios1"])["uuid"] }

// bootstrapStatus is the status that the program would have written at a time.
func (v *vm) bootstrapStatus(s *Sim, at time.Time) modelStatus {
	orders, _ := v.orders()
	status := modelStatus{Version: 1, Program: "pvesim", UUID: v.smbiosUUID(), BootID: v.run.boot.id, OS: v.guest.OS, Kernel: "6.8.0-45-generic",
		Steps: []modelStep{}, Findings: []modelFinding{}, Updated: at.UTC()}
	driver := v.loadedDriver(orders)
	problems := v.problems(orders, v.gpus(s.hosts[v.node], driver != nil))
	begins, ends := orders.schedule(v.run.boot.began, v.run.boot.takes)
	stopped := false // at a step that runs, or that failed
	loaded := driver != nil && !slices.Contains(loadsModules, orders.Driver.Strategy)
	for i, step := range guestSteps {
		record := modelStep{Name: step.name, Key: step.key(v), Tries: 1, State: "Done", Began: begins[i].UTC(), Ended: ends[i].UTC()}
		problem, failed := problems[step.name]
		switch {
		case orders.skips(step):
			record = modelStep{Name: step.name, State: "Skipped"}
		case stopped || at.Before(begins[i]):
			record, stopped = modelStep{Name: step.name, State: "Pending"}, true
		case at.Before(ends[i]) || v.guest.fails(GuestHangs) && step.name == v.hangsAt(orders):
			record.State, record.Ended, stopped = "Running", time.Time{}, true
		case failed:
			record.State, record.Problem, record.Fix, stopped = "Failed", problem.reason, problem.fix, true
			status.fail(problem)
		case step.name == "modules":
			loaded = driver != nil
		}
		status.Steps = append(status.Steps, record)
	}
	if loaded {
		status.Driver = driver
	}
	status.GPUs = v.gpus(s.hosts[v.node], status.Driver != nil)
	status.Ready = !stopped
	return status.hostile(v)
}

// hangsAt is the step at which a bootstrap hangs: the one that takes longest.
func (v *vm) hangsAt(orders modelOrders) string {
	if orders.Driver.Strategy == "Packages" {
		return "packages"
	}
	return "verify"
}

// key is what a step is done for.
func (g guestStep) key(v *vm) string {
	switch {
	case g.perBoot:
		return "boot " + v.run.boot.id
	case g.name == "packages":
		return v.ordersKey()[:12]
	}
	return "1"
}

// hostile puts hostile texts where the guest may write any.
func (m modelStatus) hostile(v *vm) modelStatus {
	if !v.guest.fails(GuestHostile) {
		return m
	}
	m.OS, m.Kernel, m.Program = hostileText, hostileText, hostileText
	m.fail(modelProblem{"GUEST-BOOTSTRAP-FAILED", hostileText, "rm -rf / # " + hostileText})
	m.Ready = false
	return m
}

func (m *modelStatus) fail(p modelProblem) {
	layer, _, _ := strings.Cut(strings.ToLower(p.id), "-")
	m.Findings = append(m.Findings, modelFinding{ID: p.id, Verdict: "fail", Layer: layer, Where: map[string]string{}, Reason: p.reason, Fix: p.fix})
}

type modelProblem struct{ id, reason, fix string }

// problems are what is wrong, by the step that finds it.
func (v *vm) problems(orders modelOrders, gpus []modelGPU) map[string]modelProblem {
	out := map[string]modelProblem{}
	switch {
	case orders.GPU == nil:
		return out
	case len(gpus) > 1:
		out["card"] = modelProblem{"GUEST-GPU-EXTRA", fmt.Sprintf("the VM has %d GPUs, but its orders say one", len(gpus)), "detach the other cards"}
		return out
	case len(gpus) == 0 || gpus[0].ID != orders.GPU.ID:
		out["card"] = modelProblem{"GUEST-GPU-MISSING", "the VM does not have the GPU " + orders.GPU.ID + " of its orders", "attach the card"}
		return out
	}
	if wantsDriver(orders) && v.loadedDriver(orders) == nil {
		step := "modules"
		if orders.Driver.Strategy == "Ansible" {
			step = "verify"
		}
		out[step] = modelProblem{"DRIVER-MISSING", "modprobe: ERROR: could not insert 'nvidia': No such device", "read dmesg"}
	}
	if orders.GPU.UUID != "" && gpus[0].UUID != "" && gpus[0].UUID != orders.GPU.UUID {
		out["verify"] = modelProblem{"DRIVER-GPU-UUID", "the GPU is " + gpus[0].UUID + ", but was " + orders.GPU.UUID, "gpuworker accept"}
	}
	return out
}

func wantsDriver(orders modelOrders) bool {
	s := orders.Driver.Strategy
	return s == "Packages" || s == "Preinstalled" || s == "Ansible"
}

// loadedDriver is the driver that the guest has after its bootstrap: with Packages the
// ordered one, else that of its template.
func (v *vm) loadedDriver(orders modelOrders) *modelDriver {
	version := v.guest.Driver
	if orders.Driver.Strategy == "Packages" {
		version = orders.Driver.Version
		if version == "" {
			version = orders.Driver.Branch + ".95.05"
		}
	}
	if v.guest.fails(GuestNoDriver) || version == "" {
		return nil
	}
	return &modelDriver{Version: version, Open: orders.Driver.Open}
}
