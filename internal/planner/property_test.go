package planner

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
)

var (
	someSlots = []string{"03:00", "41:00", "81:00"}
	someHosts = []string{"pve1", "pve2", "pve3"}
	somePools = []string{"gpu", "w", "old"}
)

// anyWorld draws a world in any state that operators, crashes and other people may
// leave it in.
func anyWorld(t *rapid.T) *inventory.Snapshot {
	var parts []Part
	for i, name := range someHosts {
		var cards []*CardBuilder
		for _, slot := range someSlots {
			switch rapid.IntRange(0, 5).Draw(t, "card") {
			case 0, 1, 2:
				cards = append(cards, T4(slot))
			case 3:
				cards = append(cards, RTX3090(slot).Group(99))
			case 4:
				cards = append(cards, NIC(slot).Group(99))
			}
		}
		host := Host(name, cards...).Memory(32, rapid.SampledFrom([]int64{4, 16, 18, 31}).Draw(t, "used"))
		switch rapid.IntRange(0, 9).Draw(t, "host state") {
		case 0:
			host.Offline()
		case 1:
			host.NoIOMMU()
		case 2:
			host.Blind("PCI devices", "permission denied")
		}
		parts = append(parts, host)
		if rapid.IntRange(0, 4).Draw(t, "template") > 0 {
			parts = append(parts, Template(9000+i, "ubuntu-22.04", name))
		}
	}
	for i := range rapid.IntRange(0, 7).Draw(t, "VMs") {
		parts = append(parts, anyVM(t, 9100+i))
	}
	for _, host := range someHosts {
		for _, slot := range someSlots {
			if rapid.IntRange(0, 3).Draw(t, "claim") == 0 {
				parts = append(parts, anyClaim(t, host, slot))
			}
		}
	}
	return Observed(parts...)
}

func anyVM(t *rapid.T, vmid int) *VMBuilder {
	host := rapid.SampledFrom(someHosts).Draw(t, "host")
	pool := rapid.SampledFrom(somePools).Draw(t, "pool")
	name := fmt.Sprintf("%s-%d", pool, rapid.IntRange(1, 4).Draw(t, "n"))
	kubeCluster := rapid.SampledFrom([]string{"rke2-lab", "rke2-lab", "other"}).Draw(t, "kubeCluster")
	lifecycle := rapid.SampledFrom([]string{"SemiPersistent", "Ephemeral", ""}).Draw(t, "lifecycle")
	b := VM(vmid, name, host)
	switch rapid.IntRange(0, 9).Draw(t, "kind of VM") {
	case 0, 1, 2, 3:
		b.Ours(pool, kubeCluster, lifecycle)
	case 4:
		b.Unmarked(pool, kubeCluster, lifecycle)
	case 5:
		b.Ours(pool, kubeCluster, lifecycle).Record(func(r *inventory.Record) { r.VM += "1" }) // a copy
	case 6:
		b.Unmarked(pool, kubeCluster, lifecycle).Running() // lost its tag
	case 7:
		b = InFlight(vmid, host)
		if rapid.Bool().Draw(t, "stuck") {
			b.Stuck()
		}
		return b
	case 8:
		return b.Unreadable("permission denied")
	}
	if rapid.IntRange(0, 2).Draw(t, "has card") > 0 {
		b.Card(rapid.SampledFrom(someSlots).Draw(t, "slot"))
	}
	anyGuest(t, b)
	switch rapid.IntRange(0, 5).Draw(t, "power") {
	case 0, 1, 2:
		b.Running()
	case 3:
		b.Parked()
	case 4:
		b.Lock("backup")
	}
	return b.Machine(func(m *inventory.Machine) {
		if rapid.Bool().Draw(t, "as declared") {
			m.Cores, m.MemoryMiB, m.Firmware = 4, 8192, inventory.FirmwareUEFI
		}
	})
}

// anyGuest makes a guest with gpuworker-guest in any state, or none.
func anyGuest(t *rapid.T, b *VMBuilder) {
	b.Change(func(vm *inventory.VM) {
		if vm.Record == nil || rapid.Bool().Draw(t, "without gpuworker-guest") {
			return
		}
		vm.Record.Driver = rapid.SampledFrom([]string{"None", "Packages,580,Open"}).Draw(t, "driver")
		vm.Record.Seed = rapid.SampledFrom([]string{"", inventory.SeedISO}).Draw(t, "seed of record")
		vm.Seed = rapid.SampledFrom([]inventory.SeedState{inventory.NoSeed, inventory.FirstSeed, inventory.CleanSeed}).Draw(t, "seed")
		if rapid.Bool().Draw(t, "proven") {
			vm.Record.Bootstrapped = "2026-11-30T10:00:00Z"
		}
	})
}

func anyClaim(t *rapid.T, host, slot string) *ClaimBuilder {
	pool := rapid.SampledFrom(somePools).Draw(t, "pool of claim")
	name := fmt.Sprintf("%s-%d", pool, rapid.IntRange(1, 4).Draw(t, "n of claim"))
	c := Claim(host, slot, name, pool, rapid.SampledFrom([]string{"rke2-lab", "other"}).Draw(t, "kubeCluster of claim"), rapid.IntRange(9100, 9110).Draw(t, "VMID of claim"))
	switch rapid.IntRange(0, 4).Draw(t, "state of claim") {
	case 0:
		c.Releasing()
	case 1:
		c.Stale("iommugroup differs")
	}
	return c
}

func anyInput(t *rapid.T) Input {
	var pools []v1alpha1.WorkerPool
	for _, name := range somePools {
		var changes []poolDoc
		switch rapid.IntRange(0, 4).Draw(t, "kind of pool") {
		case 0:
			continue
		case 1, 2:
			for range rapid.IntRange(1, 3).Draw(t, "requests") {
				if rapid.Bool().Draw(t, "exact") {
					changes = append(changes, exact(rapid.SampledFrom(someHosts).Draw(t, "gpu host"), "0000:"+rapid.SampledFrom(someSlots).Draw(t, "gpu slot")+".0"))
				} else {
					changes = append(changes, model("t4", int32(rapid.IntRange(1, 2).Draw(t, "count"))))
				}
			}
		case 3:
			changes = append(changes, replicas(int32(rapid.IntRange(0, 3).Draw(t, "replicas"))))
		case 4:
			changes = append(changes, replicas(int32(rapid.IntRange(0, 3).Draw(t, "replicas"))), semiPersistent)
		}
		switch rapid.IntRange(0, 3).Draw(t, "bootstrap") {
		case 0:
			changes = append(changes, bootstrapBy(byISO))
		case 1:
			changes = append(changes, bootstrapBy(byAgent))
		}
		pools = append(pools, pool(name, changes...))
	}
	in := lab(anyWorld(t), pools...)
	in.Request.AllowRestart = rapid.Bool().Draw(t, "allow restart")
	in.Request.AllOrNothing = rapid.IntRange(0, 4).Draw(t, "all or nothing") == 0
	if rapid.IntRange(0, 2).Draw(t, "replace") == 0 {
		in.Request.Verb, in.Request.Workers = plan.ReplaceWorkers, []string{rapid.SampledFrom(somePools).Draw(t, "replaced pool") + "-1"}
	}
	return in
}

func TestPlansKeepTheInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		p := Build(in)
		checkInvariants(t, in, p, namesOf(in))
		checkMemory(t, in, p)

		again, err := json.Marshal(Build(in))
		if err != nil {
			t.Fatal(err)
		}
		if first, _ := json.Marshal(p); !bytes.Equal(first, again) {
			t.Fatalf("two plans of one input differ:\n%s\n%s", first, again)
		}
		if same, differences := plan.Same(p, Build(in)); !same {
			t.Fatalf("a plan is not the same as itself: %v", differences)
		}
		var text bytes.Buffer
		if err := plan.Text(&text, p, plan.Style{}); err != nil {
			t.Fatal(err)
		}

		name := rapid.SampledFrom(somePools).Draw(t, "named pool") + "-1"
		for _, build := range []func(Input, []string) (*plan.Plan, error){BuildDelete, replaceNamed} {
			if p, err := build(in, []string{name}); err == nil {
				checkInvariants(t, in, p, []string{name})
			}
		}
		for _, build := range []func(Input, []string) (*plan.Plan, error){BuildPark, BuildUnpark} {
			if p, err := build(in, []string{name}); err == nil {
				checkInvariants(t, in, p, nil)
			}
		}
		checkInvariants(t, in, BuildOrphans(in), nil)
	})
}

// namesOf are the workers that a person wants replaced.
func namesOf(in Input) []string {
	return in.Request.Workers
}

// checkInvariants checks a plan against the invariants. named are the workers that a
// person allowed to be destroyed.
func checkInvariants(t *rapid.T, in Input, p *plan.Plan, named []string) {
	cards := map[string]string{}
	ids := map[string]string{}
	for _, pool := range p.Pools {
		for i := range pool.Workers {
			w := &pool.Workers[i]
			checkRef(t, in, w)
			checkEnd(t, in, w, named)
			checkSteps(t, w)
			if !w.Card.IsZero() && slices.ContainsFunc(w.Steps, takesCard) {
				checkCard(t, in, w, inventory.WorkerKey{Worker: w.Name, Pool: pool.Name, KubeCluster: pool.KubeCluster})
				key := w.Card.String()
				if other := cards[key]; other != "" {
					t.Fatalf("%s is promised to %s and to %s", key, other, w.Name)
				}
				cards[key] = w.Name
			}
			if slices.Contains(w.Steps, plan.StepClone) {
				if other := ids[w.VM]; other != "" {
					t.Fatalf("VM %s is promised to %s and to %s", w.VM, other, w.Name)
				}
				ids[w.VM] = w.Name
				if vm := in.Snapshot.VM(w.VM); vm != nil && (w.Ref == nil || w.Ref.ID != w.VM) {
					t.Fatalf("%s is to be VM %s, which is there already", w.Name, w.VM)
				}
			}
		}
	}
}

// checkRef checks that a VM that is changed is proven to be ours.
func checkRef(t *rapid.T, in Input, w *plan.Worker) {
	if w.Ref == nil {
		return
	}
	vm := in.Snapshot.VM(w.Ref.ID)
	ownership, why := vm.Ownership()
	if ownership != inventory.Ours && ownership != inventory.Unmarked {
		t.Fatalf("%s refers to VM %s, which is %s: %s", w.Name, vm.ID, ownership, why)
	}
	if vm.Record.Worker != w.Name {
		t.Fatalf("%s refers to VM %s of worker %s", w.Name, vm.ID, vm.Record.Worker)
	}
}

// checkEnd checks that a semi-persistent worker is destroyed only when a person
// names it.
func checkEnd(t *rapid.T, in Input, w *plan.Worker, named []string) {
	if slices.Contains(w.Steps, plan.StepDestroy) {
		if ownership, _ := in.Snapshot.VM(w.Ref.ID).Ownership(); ownership == inventory.Unmarked && w.Steps[0] != plan.StepAdopt {
			t.Fatalf("%s is not marked as ours, and is to end before it is: %v", w.Name, w.Steps)
		}
		if unprotect := slices.Index(w.Steps, plan.StepUnprotect); unprotect < 0 || unprotect > slices.Index(w.Steps, plan.StepDestroy) {
			t.Fatalf("the identity of %s is not proven before its end: %v", w.Name, w.Steps)
		}
	}
	ends := w.Action == plan.Replace || w.Action == plan.Destroy || slices.Contains(w.Steps, plan.StepDestroy) || slices.Contains(w.Steps, plan.StepUnprotect)
	if !ends || slices.Contains(named, w.Name) {
		return
	}
	vm := in.Snapshot.VM(w.Ref.ID)
	if vm.Record.Lifecycle != string(v1alpha1.Ephemeral) {
		t.Fatalf("%s is %q in its own note, nobody named it, and it is to end: %s %v", w.Name, vm.Record.Lifecycle, w.Action, w.Steps)
	}
	if pool := documentsOf(in).pool(vm.Record); pool == nil || isSemiPersistent(pool) {
		t.Fatalf("the pool of %s is semi-persistent or not declared, nobody named it, and it is to end: %s", w.Name, w.Action)
	}
}

// checkSteps checks that workers without a change have no steps, and that each step
// has the data that it needs.
func checkSteps(t *rapid.T, w *plan.Worker) {
	if slices.Contains([]plan.Action{plan.Keep, plan.Refuse, plan.Hold, plan.Wait}, w.Action) && len(w.Steps) > 0 {
		t.Fatalf("%s is to %s, and has steps %v", w.Name, w.Action, w.Steps)
	}
	if w.Action == plan.Refuse && len(w.Refusals) == 0 {
		t.Fatalf("%s is refused without a reason", w.Name)
	}
	for _, f := range w.Refusals {
		if f.ID == "" || f.Reason == "" || f.Layer == "" {
			t.Fatalf("%s is refused without words: %+v", w.Name, f)
		}
	}
	for _, step := range w.Steps {
		lacks := false
		switch step {
		case plan.StepClaim, plan.StepRelease:
			lacks = w.Card.IsZero() || w.Host == "" || w.Record == nil
		case plan.StepClone:
			lacks = w.Source == nil || w.Record == nil
		case plan.StepConfigure:
			lacks = w.Desired == nil || w.Record == nil
		case plan.StepAttach:
			lacks = w.Desired == nil || w.Desired.Card == nil || w.Card.IsZero() || w.Desired.Card.Ref != w.Card || w.Record.Card != w.Card
		case plan.StepAdopt, plan.StepDisown, plan.StepUnprotect, plan.StepShutdown, plan.StepDestroy, plan.StepPark, plan.StepUnpark:
			lacks = w.Ref == nil
		case plan.StepReplaced:
			lacks = w.Record == nil || w.Record.Replacing == ""
		case plan.StepSeed, plan.StepDeliver, plan.StepBootstrap, plan.StepOrders, plan.StepExchange, plan.StepRecord, plan.StepUnseed:
			lacks = w.Record == nil || w.Record.Driver == "" && step != plan.StepUnseed
		case plan.StepStart, plan.StepAgent:
			lacks = w.Ref == nil && !slices.Contains(w.Steps, plan.StepClone)
		case plan.StepSettle: // the engine adds it
		}
		if lacks {
			t.Fatalf("%s has step %s and lacks what it needs: %+v", w.Name, step, w)
		}
	}
}

func takesCard(step plan.StepKind) bool {
	return step == plan.StepClaim || step == plan.StepAttach || step == plan.StepStart
}

// checkMemory checks that the VMs that are started fit into the free memory and leave
// the reserve; the memory that a VM frees counts only for its own worker.
func checkMemory(t *rapid.T, in Input, p *plan.Plan) {
	promised := map[string]int{}
	for w := range p.Workers() {
		if !slices.Contains(w.Steps, plan.StepStart) {
			continue
		}
		freed := 0
		if w.Ref != nil && w.Ref.Host == w.Host && in.Snapshot.VM(w.Ref.ID).Running {
			freed = in.Snapshot.VM(w.Ref.ID).Applied.MemoryMiB
		}
		promised[w.Host] += max(0, w.Desired.MemoryMiB-freed)
	}
	for name, memory := range promised {
		host := in.Snapshot.Host(name)
		free := int((host.MemoryTotal - host.MemoryUsed) >> 20)
		if memory > 0 && memory+512 > free {
			t.Fatalf("%d MiB are promised on %s, where %d are free", memory, name, free)
		}
	}
}

// checkCard checks that a card that is taken is not held or claimed by another
// worker or VM, is alone in its group, and is an NVIDIA GPU.
func checkCard(t *rapid.T, in Input, w *plan.Worker, who inventory.WorkerKey) {
	for _, vm := range in.Snapshot.Holders(w.Card) {
		if w.Ref == nil || w.Ref.ID != vm.ID {
			t.Fatalf("%s takes %s, which VM %s holds", w.Name, w.Card, vm.ID)
		}
	}
	if claim := in.Snapshot.Claim(w.Card); claim != nil && !claim.Releasing && claim.Record.WorkerKey != who {
		t.Fatalf("%s takes %s, which is claimed for %s", w.Name, w.Card, claim.Record.Worker)
	}
	host := in.Snapshot.Host(w.Host)
	device := host.Device(w.Card.Slot)
	if device == nil {
		t.Fatalf("%s takes %s, where nothing is", w.Name, w.Card)
	}
	gpu, ok := device.GPU()
	if !ok || gpu.Group == pci.NoGroup || len(host.GroupMates(*device)) > 0 {
		t.Fatalf("%s takes %s, which is no GPU, has no group, or is not alone in it", w.Name, w.Card)
	}
}
