package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/golden"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/planner"
)

// documents are a hypervisor and pools, with defaults.
func documents(world *inventory.Snapshot, pools ...v1alpha1.WorkerPool) planner.Input {
	d := &v1alpha1.Documents{
		Hypervisors: []v1alpha1.Hypervisor{{Spec: v1alpha1.HypervisorSpec{Proxmox: &v1alpha1.Proxmox{}}}},
		WorkerPools: pools,
	}
	d.Hypervisors[0].Name = "lab"
	v1alpha1.SetDefaults(d)
	return planner.Input{Hypervisor: &d.Hypervisors[0], Pools: d.WorkerPools, Snapshot: world}
}

func pool(name string, gpus ...v1alpha1.GPURequest) v1alpha1.WorkerPool {
	p := v1alpha1.WorkerPool{Spec: v1alpha1.WorkerPoolSpec{Hypervisor: "lab", KubeCluster: "rke2-lab", GPUs: gpus}}
	p.Name, p.Spec.Template.Name = name, "ubuntu-22.04"
	return p
}

func plainPool(name string, replicas int32) v1alpha1.WorkerPool {
	p := pool(name)
	p.Spec.Replicas = &replicas
	return p
}

func card(host, bdf string) v1alpha1.GPURequest { return v1alpha1.GPURequest{Host: host, BDF: bdf} }

func homelab(more ...Part) *inventory.Snapshot {
	world := Observed(append([]Part{
		Host("pve1", T4("03:00").Group(14), RTX3090("41:00").Group(27), NIC("42:00").Group(27)),
		Host("pve2", T4("03:00").Group(11), T4("81:00").Group(31)),
		Host("pve3", RTX3090("0a:00")).Memory(64, 20).NoIOMMU(),
		Template(9000, "ubuntu-22.04", "pve1"), Template(9001, "ubuntu-22.04", "pve2"), Template(9002, "ubuntu-22.04", "pve3"),
		VM(100, "dns", "pve1").Running(), VM(204, "vdi-7", "pve2").Card("81:00").Running(),
	}, more...)...)
	world.Setup = []finding.Finding{
		{ID: finding.IDRangeFull, Verdict: finding.Pass, Layer: finding.LayerCapacity, Reason: fmt.Sprintf("%d VM numbers from %s are free", len(world.FreeIDs), world.IDRange)},
		{ID: finding.TLSTrust, Verdict: finding.Pass, Layer: finding.LayerAPI, Reason: "the server's certificate is checked"},
	}
	return world
}

// hidden is a lab with a hypervisor that shows no IOMMU groups.
func hidden(iommu inventory.State) *inventory.Snapshot {
	world := Observed(Host("pve1", T4("03:00"), T4("04:00")).NoIOMMU(), Template(9000, "ubuntu-22.04", "pve1"))
	world.Capabilities.HidesGroups, world.Hosts[0].IOMMU = true, iommu
	return world
}

// written writes findings a line each.
func written(findings []finding.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		where := f.Where
		where.Hypervisor = ""
		line := fmt.Sprintf("%-7s %-8s %-22s %s: %s", f.Verdict, f.Layer, f.ID, where, f.Reason)
		if f.Fix != "" {
			line += " → " + f.Fix
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

func TestCheckOfALab(t *testing.T) {
	for name, in := range map[string]planner.Input{
		"homelab": documents(homelab(), pool("gpu-workers", card("pve1", "0000:03:00.0"), v1alpha1.GPURequest{Model: "Tesla T4", Count: 1}, card("pve1", "0000:41:00.0")), plainPool("workers", 3)),
		"troubles": documents(homelab(
			Host("pve4").Offline(), Host("pve5").Blind("PCI devices", "permission denied: Sys.Audit on /"),
			VM(300, "hidden", "pve1").Unreadable("permission denied"),
			VM(301, "w-1", "pve1").Ours("w", "rke2-lab", "Ephemeral").Record(func(r *inventory.Record) { r.VM = "9100" }),
			InFlight(9100, "pve1").Stuck(), InFlight(9101, "pve2"),
		), pool("gpu", card("pve4", "0000:03:00.0"), card("pve1", "0000:03:00.0")), plainPool("w", 2)),
	} {
		t.Run(name, func(t *testing.T) {
			golden.Compare(t, "testdata/"+name+".golden", written(Run(in)))
		})
	}
}

func TestOneOfSeveralChoicesDoesNotFail(t *testing.T) {
	in := documents(homelab(), pool("gpu", v1alpha1.GPURequest{Model: "T4", Count: 2}))
	found := Run(in)
	if anyFails(found) {
		t.Errorf("two of three T4s can be had, two are wanted:\n%s", written(found))
	}
	held := slices.ContainsFunc(found, func(f finding.Finding) bool {
		return f.ID == finding.CardHeld && f.Verdict == finding.Info && f.Where.VM == "204"
	})
	if !held {
		t.Errorf("that the third is taken is worth knowing:\n%s", written(found))
	}
	in = documents(homelab(), pool("gpu", v1alpha1.GPURequest{Model: "T4", Count: 3}))
	if found := Run(in); !anyFails(found) {
		t.Errorf("three are wanted, two can be had:\n%s", written(found))
	}
}

// Setup findings of a backend are reported unchanged and only once.
func TestSetupFindingsAreReportedOnce(t *testing.T) {
	for _, s := range []struct {
		id      finding.ID
		verdict finding.Verdict
	}{
		{finding.TLSTrust, finding.Pass}, {finding.TLSTrust, finding.Info}, {finding.RawNeedsRoot, finding.Fail},
		{finding.IDRangeFull, finding.Pass}, {finding.IDRangeFull, finding.Info},
	} {
		said := finding.Finding{ID: s.id, Verdict: s.verdict, Layer: finding.LayerAPI, Reason: "said by the backend", Fix: "done by a person"}
		world := homelab()
		world.Setup = []finding.Finding{said}
		found := Run(documents(world, plainPool("w", 1)))
		told := slices.DeleteFunc(slices.Clone(found), func(f finding.Finding) bool { return f.ID != s.id })
		if diff := cmp.Diff([]finding.Finding{said}, told); diff != "" {
			t.Errorf("%s, %s (-want +got):\n%s", s.id, s.verdict, diff)
		}
		if failed := s.verdict == finding.Fail; anyFails(found) != failed {
			t.Errorf("%s, %s: check fails: %v", s.id, s.verdict, !failed)
		}
	}
}

// The backend reports as information that no identifier is left; when a worker needs
// one, it is a fail.
func TestAFullRangeFailsWhenAWorkerNeedsAnIdentifier(t *testing.T) {
	verdict := func(world *inventory.Snapshot) finding.Verdict {
		Range(world, 100, 100) // which is the number of dns
		var worst finding.Verdict
		for _, f := range Run(documents(world, plainPool("w", 1))) {
			if f.ID == finding.IDRangeFull && severity(f.Verdict) > severity(worst) {
				worst = f.Verdict
			}
		}
		return worst
	}
	if got := verdict(homelab()); got != finding.Fail {
		t.Errorf("w-1 is to be made: %q", got)
	}
	there := VM(9100, "w-1", "pve1").Machine(func(m *inventory.Machine) { m.Firmware = inventory.FirmwareUEFI }).Ours("w", "rke2-lab", "Ephemeral").Running()
	if got := verdict(homelab(there)); got == finding.Fail {
		t.Errorf("w-1 is there: %q", got)
	}
}

func TestTheHypervisorItself(t *testing.T) {
	world := homelab()
	world.Version, world.Supported = "7.4", false
	world.Missing = []inventory.Right{
		{Privilege: "Mapping.Modify", Path: "/mapping/pci", For: "claim cards", Stops: inventory.StopsCards},
		{Privilege: "VM.Audit", Path: "/vms", For: "see all VMs"},
	}
	found := Run(documents(world, plainPool("w", 1)))
	want := []string{
		"fail API-VERSION: Proxmox VE 7.4 is not a supported version → upgrade the hypervisor to a version that gpuworker knows",
		"fail PRIVILEGE-MISSING: the login lacks Mapping.Modify on /mapping/pci, needed to claim cards → gpuworker role -f FILE prints the commands that make the right login",
		"unknown PRIVILEGE-MISSING: the login lacks VM.Audit on /vms, needed to see all VMs → gpuworker role -f FILE prints the commands that make the right login",
	}
	var got []string
	for _, f := range found {
		if f.Verdict == finding.Fail || f.Verdict == finding.Unknown && f.Layer == finding.LayerAccess {
			got = append(got, fmt.Sprintf("%s %s: %s → %s", f.Verdict, f.ID, f.Reason, f.Fix))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCheckAndPlanAgree compares check and plan in worlds with one problem each: check
// finds what plan refuses, and plan does not refuse what check passes.
func TestCheckAndPlanAgree(t *testing.T) {
	documented := []v1alpha1.WorkerPool{pool("gpu", card("pve1", "0000:03:00.0"), v1alpha1.GPURequest{Model: "T4", Count: 1}), plainPool("w", 2)}
	for name, world := range map[string]*inventory.Snapshot{
		"no trouble":              homelab(),
		"no memory":               Observed(Host("pve1", T4("03:00"), T4("04:00")).Memory(32, 31), Template(9000, "ubuntu-22.04", "pve1")),
		"no template":             Observed(Host("pve1", T4("03:00"), T4("04:00"))),
		"no card":                 Observed(Host("pve1", T4("04:00"), T4("05:00")), Template(9000, "ubuntu-22.04", "pve1")),
		"a stranger has the card": homelab(VM(300, "x", "pve1").Card("03:00")),
		"a stranger has the name": homelab(VM(300, "w-2", "pve1")),
		"somebody claimed it":     homelab(Claim("pve1", "03:00", "x-1", "x", "prod", 300)),
		"no storage":              Observed(Host("pve1", T4("03:00"), T4("04:00")).Blind("storages", "timeout"), Template(9000, "ubuntu-22.04", "pve1")),
		"no bridge":               Observed(Host("pve1", T4("03:00"), T4("04:00")).Blind("networks", "timeout"), Template(9000, "ubuntu-22.04", "pve1")),
		"too few CPUs":            Observed(Host("pve1", T4("03:00"), T4("04:00")).CPUs(1), Template(9000, "ubuntu-22.04", "pve1")),
		"groups are hidden":       hidden(inventory.Unknown),
		"and the IOMMU is off":    hidden(inventory.Off),
		"half of it is made": homelab(Claim("pve1", "03:00", "gpu-1", "gpu", "rke2-lab", 9100),
			VM(9100, "gpu-1", "pve1").Unmarked("gpu", "rke2-lab", "SemiPersistent").For("03:00")),
	} {
		t.Run(name, func(t *testing.T) {
			in := documents(world, documented...)
			found := Run(in)
			blocked := slices.ContainsFunc(found, func(f finding.Finding) bool {
				return f.Blocks() && f.ID != finding.HostOffline
			})
			refused := planner.Build(in).Summary().Refused
			if blocked != (refused > 0) {
				t.Errorf("%d workers are refused, check found:\n%s", refused, written(found))
			}
			for _, f := range found {
				if f.Verdict != finding.Pass && f.ID != finding.CardUsed && f.ID != finding.CardNoMatch && f.Fix == "" && f.Verdict != finding.Info {
					t.Errorf("%s says nothing about what to do: %s", f.ID, f.Reason)
				}
			}
		})
	}
}

func anyFails(findings []finding.Finding) bool {
	return slices.ContainsFunc(findings, func(f finding.Finding) bool { return f.Verdict == finding.Fail })
}
