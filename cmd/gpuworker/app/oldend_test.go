package app

import (
	"maps"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// The required state of a cluster after a command.

// only fails the test unless exactly these workers exist, each one finished, and nothing
// else of gpuworker's. Parked workers do not run.
func (l *oldLab) only(parked []string, workers ...string) {
	l.t.Helper()
	state := l.sim.State()
	var there []string
	for id, vm := range state.VMs {
		if _, foreign := l.foreign[id]; !foreign {
			there = append(there, vm.Name)
			l.finished(state, vm, slices.Contains(parked, vm.Name))
		}
	}
	slices.Sort(there)
	if !slices.Equal(there, workers) {
		l.t.Errorf("VMs of workers: %v, want %v", there, workers)
	}
	for name, mapping := range state.Mappings {
		claim := recordIn(mapping.Description)
		if claim != nil && !slices.Contains(workers, claim["worker"]) || name == register1 && claim == nil {
			l.t.Errorf("mapping %s is left: %s", name, mapping.Description)
		}
	}
	for id, volume := range state.Volumes {
		if _, there := state.VMs[volume.VMID]; volume.VMID != 0 && !there {
			l.t.Errorf("volume %s is left of VM %d", id, volume.VMID)
		}
	}
}

// finished fails the test unless the VM is provably a worker, runs or is parked, and has
// the card that is claimed for it.
func (l *oldLab) finished(state pvesim.State, vm pvesim.VMState, parked bool) {
	l.t.Helper()
	record := recordIn(vm.Config["description"])
	tags := strings.Split(vm.Config["tags"], ";")
	proven := record["worker"] == vm.Name && record["uuid"] != "" && strings.Contains(vm.Config["smbios1"], record["uuid"]) && slices.Contains(tags, "gpuworker")
	if !proven || vm.Lock != "" || vm.Running == parked || slices.Contains(tags, "gpuworker-parked") != parked || len(vm.Pending) > 0 {
		l.t.Errorf("%s is not a finished worker (parked: %v): running %v, lock %q, pending %v, %v", vm.Name, parked, vm.Running, vm.Lock, vm.Pending, vm.Config)
	}
	register := map[string]string{"gpu-1": register1, "gpu-2": register2}[vm.Name]
	if card := cardIn(vm.Config); card != register {
		l.t.Errorf("%s has card %q, want %q", vm.Name, card, register)
	}
	if protected := vm.Config["protection"] == "1"; protected != (register != "") {
		l.t.Errorf("%s is protected: %v", vm.Name, protected)
	}
	if register == "" {
		return
	}
	claim := recordIn(state.Mappings[register].Description)
	_, releasing := claim["releasing"]
	if claim["worker"] != vm.Name || claim["uuid"] != record["uuid"] || releasing {
		l.t.Errorf("%s has the record %v and the claim %v", vm.Name, record, claim)
	}
	if register == register2 && !strings.HasPrefix(state.Mappings[register].Description, byAPerson) {
		l.t.Errorf("the person's mapping says %q now", state.Mappings[register].Description)
	}
}

// kept fails the test unless these workers have the same VMs as at the start.
func (l *oldLab) kept(workers ...string) {
	l.t.Helper()
	if l.madeAnew > 0 {
		workers = slices.DeleteFunc(slices.Clone(workers), func(name string) bool { return strings.HasPrefix(name, "plain-") })
	}
	l.same(l.started, workers...)
}

// untouched fails the test unless these workers and the claims on their cards are exactly
// as at the start.
func (l *oldLab) untouched(workers ...string) {
	l.t.Helper()
	now := l.sim.State()
	is, was := byWorker(now), byWorker(l.started)
	for _, worker := range workers {
		if diff := cmp.Diff(was[worker].Config, is[worker].Config); diff != "" {
			l.t.Errorf("%s was changed:\n%s", worker, diff)
		}
		card := cardIn(was[worker].Config)
		if diff := cmp.Diff(l.started.Mappings[card], now.Mappings[card]); diff != "" {
			l.t.Errorf("the claim of %s was changed:\n%s", worker, diff)
		}
	}
}

// has fails the test unless the VMs have this option, with one value for workers with a
// card and another for workers without.
func (l *oldLab) has(option, carded, plain string) {
	l.t.Helper()
	for worker, vm := range byWorker(l.sim.State()) {
		want := plain
		if strings.HasPrefix(worker, "gpu-") {
			want = carded
		}
		if vm.Config[option] != want {
			l.t.Errorf("%s has %s %s, want %s", worker, option, vm.Config[option], want)
		}
	}
}

// labelled fails the test unless the records of the workers with a card have the label.
func (l *oldLab) labelled(rack string) {
	l.t.Helper()
	for worker, vm := range byWorker(l.sim.State()) {
		if labels := recordIn(vm.Config["description"])["labels"]; strings.HasPrefix(worker, "gpu-") && !strings.HasSuffix(labels, rack) {
			l.t.Errorf("%s has the labels %s", worker, labels)
		}
	}
}

// version returns the version of all records and claims; "" is the older program, which
// wrote none. It fails the test when they differ.
func (l *oldLab) version() string {
	l.t.Helper()
	state, of := l.sim.State(), map[string]string{}
	for worker, vm := range byWorker(state) {
		of[worker] = recordIn(vm.Config["description"])["v"]
	}
	for name, mapping := range state.Mappings {
		if claim := recordIn(mapping.Description); claim != nil {
			of[name] = claim["v"]
		}
	}
	versions := slices.Compact(slices.Sorted(maps.Values(of)))
	if len(versions) != 1 || versions[0] == "" {
		l.t.Errorf("versions of records and claims: %v", of)
	}
	return versions[len(versions)-1]
}

// same fails the test unless these workers have the same VMs as before.
func (l *oldLab) same(before pvesim.State, workers ...string) {
	l.t.Helper()
	is, was := byWorker(l.sim.State()), byWorker(before)
	for _, worker := range workers {
		if id, old := identity(is[worker]), identity(was[worker]); id != old {
			l.t.Errorf("%s had VM %s and has %s", worker, old, id)
		}
	}
}

// replaced fails the test unless these workers have other VMs than before.
func (l *oldLab) replaced(before pvesim.State, workers ...string) {
	l.t.Helper()
	is, was := byWorker(l.sim.State()), byWorker(before)
	for _, worker := range workers {
		if id := identity(is[worker]); id == identity(was[worker]) {
			l.t.Errorf("%s still has VM %s", worker, id)
		}
	}
}

// identity identifies a worker's VM: its host, and the UUID in its record.
func identity(vm pvesim.VMState) string {
	return vm.Host + " " + recordIn(vm.Config["description"])["uuid"]
}

// workersOf returns the workers that have a VM.
func workersOf(state pvesim.State) []string {
	var names []string
	for name := range byWorker(state) {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// byWorker returns the VMs of workers by name.
func byWorker(state pvesim.State) map[string]pvesim.VMState {
	all := map[string]pvesim.VMState{}
	for _, vm := range state.VMs {
		if record := recordIn(vm.Config["description"]); record != nil {
			all[record["worker"]] = vm
		}
	}
	return all
}
