package status

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/planner"
)

func documents(world *inventory.Snapshot, pools ...v1alpha1.WorkerPool) planner.Input {
	d := &v1alpha1.Documents{
		Hypervisors: []v1alpha1.Hypervisor{{Spec: v1alpha1.HypervisorSpec{Proxmox: &v1alpha1.Proxmox{}}}},
		WorkerPools: pools,
	}
	d.Hypervisors[0].Name = "lab"
	v1alpha1.SetDefaults(d)
	return planner.Input{Hypervisor: &d.Hypervisors[0], Pools: d.WorkerPools, Snapshot: world}
}

func gpuPool(bdfs ...string) v1alpha1.WorkerPool {
	p := v1alpha1.WorkerPool{Spec: v1alpha1.WorkerPoolSpec{Hypervisor: "lab", KubeCluster: "rke2-lab"}}
	p.Name, p.Spec.Template.Name = "gpu", "ubuntu-22.04"
	for _, bdf := range bdfs {
		p.Spec.GPUs = append(p.Spec.GPUs, v1alpha1.GPURequest{Host: "pve1", BDF: bdf})
	}
	return p
}

func plainPool(replicas int32) v1alpha1.WorkerPool {
	p := gpuPool()
	p.Name, p.Spec.Replicas = "w", &replicas
	return p
}

func lab(more ...Part) *inventory.Snapshot {
	return Observed(append([]Part{Host("pve1", T4("03:00")), Template(9000, "ubuntu-22.04", "pve1")}, more...)...)
}

// finished is a GPU worker's VM as the pool declares it.
func finished(vm *VMBuilder) *VMBuilder {
	return vm.Ours("gpu", "rke2-lab", "SemiPersistent").Machine(func(m *inventory.Machine) {
		m.Cores, m.MemoryMiB, m.Firmware = 4, 8192, inventory.FirmwareUEFI
		m.OnBoot, m.Protection, m.Agent = true, true, true
		m.ChangeNIC(0, func(n *inventory.NIC) { n.Address = "dhcp" })
	}).Card("03:00")
}

func claimed() Part { return Claim("pve1", "03:00", "gpu-1", "gpu", "rke2-lab", 9100) }

// conditions writes conditions as "Declared Claimed !Attached(NotAttached) ?AgentReady(NotAsked)".
func conditions(row Row) string {
	var words []string
	for _, c := range row.Conditions {
		switch c.Status {
		case True:
			words = append(words, c.Type)
		case False:
			words = append(words, fmt.Sprintf("!%s(%s)", c.Type, c.Reason))
		case Unknown:
			words = append(words, fmt.Sprintf("?%s(%s)", c.Type, c.Reason))
		}
	}
	return strings.Join(words, " ")
}

func TestReport(t *testing.T) {
	vm := func() *VMBuilder { return finished(VM(9100, "gpu-1", "pve1")) }
	one := gpuPool("0000:03:00.0")
	talking := vm().Running().Change(func(vm *inventory.VM) { vm.Agent, vm.Addresses = inventory.On, []string{"192.0.2.21"} })
	for _, s := range []struct {
		name  string
		in    planner.Input
		row   string
		holds string
	}{
		{"runs as declared", documents(lab(claimed(), talking), one),
			"gpu/gpu-1 Running pve1 pve1/0000:03:00.0 Tesla T4 VM 9100 192.0.2.21",
			"Declared Claimed Created Attached Running AgentReady AsDeclared"},
		{"runs, its agent was not asked", documents(lab(claimed(), vm().Running()), one),
			"gpu/gpu-1 Running pve1 pve1/0000:03:00.0 Tesla T4 VM 9100 ",
			"Declared Claimed Created Attached Running ?AgentReady(NotAsked) AsDeclared"},
		{"runs, its agent is silent", documents(lab(claimed(), vm().Running().Change(func(vm *inventory.VM) { vm.Agent = inventory.Off })), one),
			"gpu/gpu-1 Running pve1 pve1/0000:03:00.0 Tesla T4 VM 9100 ",
			"Declared Claimed Created Attached Running !AgentReady(NoAnswer) AsDeclared"},
		{"runs with less memory than declared", documents(lab(claimed(), vm().Running().Machine(func(m *inventory.Machine) { m.MemoryMiB = 4096 })), one),
			"gpu/gpu-1 Running pve1 pve1/0000:03:00.0 Tesla T4 VM 9100  | machine.memory: 4 GiB → 8 GiB (stop/start) → gpuworker apply --allow-restart",
			"Declared Claimed Created Attached Running ?AgentReady(NotAsked) !AsDeclared(Hold)"},
		{"is parked", documents(lab(claimed(), vm().Parked()), one),
			"gpu/gpu-1 Parked pve1 pve1/0000:03:00.0 Tesla T4 VM 9100  → gpuworker unpark gpu-1",
			"Declared Claimed Created Attached !Running(Parked) ?AgentReady(NotEvaluated) AsDeclared"},
		{"was stopped by hand", documents(lab(claimed(), vm()), one),
			"gpu/gpu-1 Stopped pve1 pve1/0000:03:00.0 Tesla T4 VM 9100  | it should run → gpuworker apply",
			"Declared Claimed Created Attached !Running(VMStopped) ?AgentReady(NotEvaluated) !AsDeclared(Start)"},
		{"is incomplete", documents(lab(claimed(), VM(9100, "gpu-1", "pve1").Unmarked("gpu", "rke2-lab", "SemiPersistent").For("03:00")), one),
			"gpu/gpu-1 Incomplete pve1 pve1/0000:03:00.0 Tesla T4 VM 9100  | left incomplete by an earlier run → gpuworker apply",
			"Declared Claimed !Created(NotMarked) !Attached(NotAttached) !Running(VMStopped) ?AgentReady(NotEvaluated) !AsDeclared(Finish)"},
		{"is claimed and not cloned", documents(lab(claimed()), one),
			"gpu/gpu-1 Incomplete pve1 pve1/0000:03:00.0 Tesla T4 VM 9100  | it has a claim on the card, but no VM yet → gpuworker apply",
			"Declared Claimed !Created(NoVM) ?Attached(NotEvaluated) ?Running(NotEvaluated) ?AgentReady(NotEvaluated) !AsDeclared(Create)"},
		{"is being cloned", documents(lab(claimed(), InFlight(9100, "pve1")), one),
			"gpu/gpu-1 Cloning pve1 pve1/0000:03:00.0 Tesla T4 VM 9100  | VM 9100 is being cloned for it by an earlier run or another engine; apply waits for it → gpuworker apply",
			"Declared Claimed !Created(Cloning) ?Attached(NotEvaluated) ?Running(NotEvaluated) ?AgentReady(NotEvaluated) !AsDeclared(Wait)"},
		{"is missing", documents(lab(), plainPool(1)),
			"w/w-1 Missing   no VM  | not made yet → gpuworker apply",
			"Declared !Created(NoVM) ?Running(NotEvaluated) ?AgentReady(NotEvaluated) !AsDeclared(Create)"},
		{"cannot be made", documents(lab(VM(300, "vdi", "pve1").Card("03:00")), one),
			`gpu/gpu-1 Refused   no VM  | attached to VM 300 "vdi", not ours, stopped (CARD-HELD) → gpuworker plan`,
			"Declared !Created(Refused) ?Running(NotEvaluated) ?AgentReady(NotEvaluated) !AsDeclared(Refuse)"},
		{"runs, and a foreign VM has its card too", documents(lab(claimed(), vm().Running(), VM(300, "vdi", "pve1").Card("03:00")), one),
			`gpu/gpu-1 Running pve1 pve1/0000:03:00.0 Tesla T4 VM 9100  | attached to VM 300 "vdi", not ours, stopped (CARD-HELD)`,
			"Declared Claimed Created Attached Running ?AgentReady(NotAsked) AsDeclared"},
		{"runs, and no document declares a pool", documents(lab(claimed(), vm().Running())),
			"gpu/gpu-1 Running pve1 pve1/0000:03:00.0 Tesla T4 VM 9100  | no document declares it → declare its pool, or delete it: gpuworker delete gpu-1",
			"!Declared(NotInDocuments) Claimed Created Attached Running ?AgentReady(NotAsked) ?AsDeclared(NotDeclared)"},
		{"is only a claim that no document declares", documents(lab(claimed())),
			"gpu/gpu-1 ClaimOnly pve1 pve1/0000:03:00.0 Tesla T4 VM 9100  | no longer declared; only its claim on the card is left → gpuworker delete gpu-1",
			"!Declared(NotInDocuments) Claimed !Created(NoVM) ?Attached(NotEvaluated) ?Running(NotEvaluated) ?AgentReady(NotEvaluated) ?AsDeclared(NotDeclared)"},
		{"has a card that takes effect later", documents(lab(claimed(), vm().Running().Change(func(vm *inventory.VM) { vm.Applied.Card, vm.Cards[0].Pending = nil, true })), one),
			"gpu/gpu-1 Running pve1 pve1/0000:03:00.0 Tesla T4 VM 9100  | gpus: none → pve1/0000:03:00.0 (written, waits for a stop/start) → gpuworker apply --allow-restart",
			"Declared Claimed Created !Attached(Pending) Running ?AgentReady(NotAsked) !AsDeclared(Hold)"},
	} {
		t.Run(s.name, func(t *testing.T) {
			rows := Report(s.in, Guests{})
			if len(rows) != 1 {
				t.Fatalf("%d rows: %+v", len(rows), rows)
			}
			r := rows[0]
			vm := "no VM"
			if r.VM != "" {
				vm = "VM " + r.VM
			}
			got := fmt.Sprintf("%s/%s %s %s %s %s %s", r.Pool, r.Worker, r.State, r.Host, strings.TrimSpace(r.Card.String()+" "+r.Model), vm, strings.Join(r.Addresses, ","))
			if r.Note != "" {
				got += " | " + r.Note
			}
			if r.Next != "" {
				got += " → " + r.Next
			}
			if got != s.row {
				t.Errorf("got  %s\nwant %s", got, s.row)
			}
			if diff := cmp.Diff(s.holds, conditions(r)); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOrphansComeAfterDeclaredWorkersAndOnce(t *testing.T) {
	world := lab(claimed(), finished(VM(9100, "gpu-1", "pve1")).Running(), VM(9200, "old-1", "pve1").Ours("old", "rke2-lab", "Ephemeral"))
	var names []string
	for _, row := range Report(documents(world, gpuPool("0000:04:00.0"), plainPool(1)), Guests{}) {
		names = append(names, row.Worker)
	}
	if diff := cmp.Diff([]string{"gpu-1", "gpu-2", "w-1", "old-1"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAWorkerToReplaceIsShownAtItsPresentPlace(t *testing.T) {
	pool := plainPool(1)
	pool.Spec.Hosts = []string{"pve1"}
	old := VM(300, "w-1", "pve1").Ours("w", "rke2-lab", "Ephemeral").Running().Machine(func(m *inventory.Machine) {
		m.Firmware = inventory.FirmwareBIOS // declared is UEFI, which needs a new VM
	})
	in := documents(lab(old), pool)
	if action := planner.Build(in).Pools[0].Workers[0].Action; action != plan.Replace {
		t.Fatalf("the plan says %s", action)
	}
	if row := Report(in, Guests{})[0]; row.VM != "300" || row.Host != "pve1" || row.State != Running {
		t.Errorf("got %+v", row)
	}
}
