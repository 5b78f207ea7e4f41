package planner

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// can is the world with other capabilities.
func can(world *inventory.Snapshot, what inventory.Capabilities) *inventory.Snapshot {
	world.Capabilities = what
	return world
}

func TestNoIdentifierIsPlannedWhereTheHypervisorChoosesThem(t *testing.T) {
	chooses := inventory.Capabilities{ChoosesIDs: true}
	two := pool("w", replicas(2))
	world := can(twoT4s(), chooses)
	world.FreeIDs = nil // nobody hands them out
	p := Build(lab(world, two))
	if diff := cmp.Diff([]string{"w-1 create pve1 VM  " + makePlain, "w-2 create pve2 VM  " + makePlain}, lines(p)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if w := worker(t, p, "w-1"); w.VM != "" || w.Record.VM != "" {
		t.Errorf("VM %q, in the record %q", w.VM, w.Record.VM)
	}
	if text := textOf(t, p); !strings.Contains(text, "create a VM: 4 cores") {
		t.Errorf("the plan does not say that the VM has no identifier yet:\n%s", text)
	}
}

// Such a worker is identified by name, tag and UUID.
func TestAWorkerWithARecordWithoutIdentifier(t *testing.T) {
	chooses := inventory.Capabilities{ChoosesIDs: true}
	gpu := pool("gpu", exact("pve1", "0000:03:00.0"))
	unnamed := func(r *inventory.Record) { r.VM = "" }
	made := func() *VMBuilder { return made(gpu, 1, 9100, "pve1", "03:00").Running().Record(unnamed) }
	held := claim(gpu, 1, 9100, "pve1", "03:00").Change(func(c *inventory.Claim) { c.Record.VM = "" })
	if got := lines(Build(lab(can(twoT4s(held, made()), chooses), gpu))); !slices.Equal(got, []string{"gpu-1 keep"}) {
		t.Errorf("a worker whose record names no identifier: %q", got)
	}
	restored := made().Change(func(vm *inventory.VM) { vm.UUID = UUID(7) })
	p := Build(lab(can(twoT4s(held, restored), chooses), gpu))
	if got := lines(p); !slices.Equal(got, []string{"gpu-1 refuse VM-IDENTITY"}) {
		t.Fatalf("a copy of it under its name: %q", got)
	}
	if fix := worker(t, p, "gpu-1").Refusals[0].Fix; fix != "if it is the worker, confirm it: gpuworker adopt 9100 --as gpu-1" {
		t.Errorf("the fix is %q", fix)
	}
	renamed := pool("w", replicas(1))
	other := VM(9100, "w-1", "pve1").Ours("w", "rke2-lab", "Ephemeral").Record(unnamed).Change(func(vm *inventory.VM) { vm.Name = "web" })
	if got := lines(Build(lab(can(twoT4s(other), chooses), renamed))); !slices.Equal(got, []string{"w-1 refuse VM-IDENTITY"}) {
		t.Errorf("a worker that was renamed: %q", got)
	}
	p, err := BuildAdopt(lab(can(twoT4s(VM(204, "vdi", "pve1").Card("03:00").Running()), chooses), gpu), "204", "gpu-1")
	if err != nil {
		t.Fatal(err)
	}
	if w := worker(t, p, "gpu-1"); w.Ref.ID != "204" || w.Record.VM != "" {
		t.Errorf("adopted: VM %s, in the record %q", w.Ref.ID, w.Record.VM)
	}
}

func TestTheVMIsMadeFirstWhereClaimsAreWrittenIntoVMs(t *testing.T) {
	inVM := inventory.Capabilities{ClaimsInVM: true}
	gpu := pool("gpu", exact("pve1", "0000:03:00.0"))
	if got, want := lines(Build(lab(can(twoT4s(), inVM), gpu))), "gpu-1 create pve1/0000:03:00.0 VM 9100 [clone configure claim attach start agent]"; !slices.Equal(got, []string{want}) {
		t.Errorf("%q, want %q", got, want)
	}
	p, err := BuildAdopt(lab(can(twoT4s(VM(204, "vdi", "pve1").Card("03:00").Running()), inVM), gpu), "204", "gpu-1")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := lines(p), "gpu-1 adopt pve1/0000:03:00.0 VM 204 [adopt claim]"; !slices.Equal(got, []string{want}) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Hidden groups do not mean that the IOMMU is off.
func TestHiddenGroupsAreNotedAndAnIOMMUThatIsOffIsRefused(t *testing.T) {
	gpu := pool("gpu", exact("pve1", "0000:03:00.0"))
	world := func() *inventory.Snapshot {
		return Observed(Host("pve1", T4("03:00")).NoIOMMU(), Template(9000, "ubuntu-22.04", "pve1"))
	}
	if got := lines(Build(lab(world(), gpu))); !slices.Equal(got, []string{"gpu-1 refuse HOST-IOMMU-OFF"}) {
		t.Errorf("the IOMMU is off: %q", got)
	}
	hidden := can(world(), inventory.Capabilities{HidesGroups: true})
	hidden.Hosts[0].IOMMU = inventory.Unknown
	p := Build(lab(hidden, gpu))
	w := worker(t, p, "gpu-1")
	told := slices.ContainsFunc(w.Notes, func(f finding.Finding) bool {
		return f.ID == finding.CardGroupHidden && f.Verdict == finding.Unknown
	})
	if w.Action != plan.Create || !told || !strings.HasPrefix(w.Reason, "its group is not shown, ") {
		t.Errorf("groups are hidden: %q, because %q, noted %v", lines(p), w.Reason, w.Notes)
	}
	hidden = can(world(), inventory.Capabilities{HidesGroups: true}) // and the hypervisor says that it is off
	if got := lines(Build(lab(hidden, gpu))); !slices.Equal(got, []string{"gpu-1 refuse HOST-IOMMU-OFF"}) {
		t.Errorf("groups are hidden and the IOMMU is off: %q", got)
	}
}

// A waiting worker names the clone, so that apply can poll this one alone.
func TestAPlanNamesTheCloneThatAWorkerWaitsFor(t *testing.T) {
	gpu, plain := pool("gpu", exact("pve1", "0000:03:00.0")), pool("w", replicas(1))
	for _, s := range []struct {
		name   string
		in     Input
		worker string
		clone  string // "" when there is none to wait for
	}{
		{"the clone that its claim names", lab(twoT4s(claim(gpu, 1, 9100, "pve1", "03:00"), InFlight(9100, "pve1")), gpu), "gpu-1", "9100"},
		{"a clone that shows no name, for a worker without a claim", lab(twoT4s(InFlight(9105, "pve2")), plain), "w-1", "9105"},
		{"its own VM, while a clone locks it", lab(twoT4s(made(plain, 1, 9100, "pve1", "").Change(func(vm *inventory.VM) { vm.State = inventory.Cloning })), plain), "w-1", "9100"},
		{"a backup", lab(twoT4s(made(plain, 1, 9100, "pve1", "").Lock("backup")), plain), "w-1", ""},
	} {
		t.Run(s.name, func(t *testing.T) {
			w := worker(t, Build(s.in), s.worker)
			if w.Action != plan.Wait || len(w.Steps) > 0 {
				t.Fatalf("%s, with steps %v", w.Action, w.Steps)
			}
			got := ""
			if w.Awaits != nil {
				got = w.Awaits.ID
				if vm := s.in.Snapshot.VM(got); w.Awaits.Host != vm.Host {
					t.Errorf("it is on %s, not on %s", vm.Host, w.Awaits.Host)
				}
			}
			if got != s.clone {
				t.Errorf("waits for VM %q, want %q", got, s.clone)
			}
		})
	}
	p, err := BuildDelete(lab(twoT4s(claim(gpu, 1, 9100, "pve1", "03:00"), InFlight(9100, "pve1")), gpu), []string{"gpu-1"})
	if err != nil {
		t.Fatal(err)
	}
	if w := worker(t, p, "gpu-1"); w.Action != plan.Wait || w.Awaits == nil || w.Awaits.ID != "9100" {
		t.Errorf("a claim is given back when its clone is done: %s, %v", w.Action, w.Awaits)
	}
}
