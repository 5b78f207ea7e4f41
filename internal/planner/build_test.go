package planner

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
)

func whereOf(w *plan.Worker) string {
	if w.Card.IsZero() {
		return w.Host
	}
	return w.Card.String()
}

// lines writes what a plan decides, a line for each worker: name, action, host,
// card, VM, steps; the IDs of refusals; changes; the hint.
func lines(p *plan.Plan) []string {
	var all []string
	for w := range p.Workers() {
		words := []string{w.Name, string(w.Action)}
		if w.Action != plan.Refuse && w.Action != plan.Keep && w.Host != "" {
			words = append(words, whereOf(w))
		}
		if len(w.Steps) > 0 {
			words = append(words, fmt.Sprintf("VM %s", w.VM))
			words = append(words, "["+strings.Join(stepNames(w.Steps), " ")+"]")
		}
		for _, f := range w.Refusals {
			words = append(words, string(f.ID))
		}
		for _, c := range w.Changes {
			words = append(words, "{"+c.String()+"}")
		}
		if w.Hint != "" {
			words = append(words, "→ "+w.Hint)
		}
		all = append(all, strings.Join(words, " "))
	}
	return all
}

func stepNames(steps []plan.StepKind) []string {
	var names []string
	for _, s := range steps {
		names = append(names, string(s))
	}
	return names
}

// twoT4s is a world with two free cards and templates on both hosts.
func twoT4s(more ...Part) *inventory.Snapshot {
	return Observed(append([]Part{
		Host("pve1", T4("03:00")), Host("pve2", T4("03:00")),
		Template(9000, "ubuntu-22.04", "pve1"), Template(9001, "ubuntu-22.04", "pve2"),
	}, more...)...)
}

const (
	makeGPU   = "[claim clone configure attach start agent]"
	makePlain = "[clone configure start agent]"
)

func TestBuild(t *testing.T) {
	gpu := pool("gpu", model("Tesla T4", 2))
	one := pool("gpu", exact("pve1", "0000:03:00.0"))
	plain := pool("w", replicas(2))
	semi := pool("w", replicas(2), semiPersistent)

	type scenario struct {
		name string
		in   Input
		want []string
	}
	groups := map[string][]scenario{
		"creating": {
			{"an empty world gets all workers", lab(twoT4s(), gpu, plain), []string{
				"gpu-1 create pve1/0000:03:00.0 VM 9100 " + makeGPU,
				"gpu-2 create pve2/0000:03:00.0 VM 9101 " + makeGPU,
				"w-1 create pve1 VM 9102 " + makePlain,
				"w-2 create pve2 VM 9103 " + makePlain,
			}},
			{"a card that one pool names is not taken by the selector of an earlier pool",
				lab(twoT4s(), pool("any", model("t4", 1)), one), []string{
					"any-1 create pve2/0000:03:00.0 VM 9101 " + makeGPU,
					"gpu-1 create pve1/0000:03:00.0 VM 9100 " + makeGPU,
				}},
			{"a selector with one choice goes before one with two",
				lab(twoT4s(), pool("any", model("t4", 1)), pool("only", model("t4", 1, "pve1"))), []string{
					"any-1 create pve2/0000:03:00.0 VM 9101 " + makeGPU,
					"only-1 create pve1/0000:03:00.0 VM 9100 " + makeGPU,
				}},
			{"a named card that cannot be had is kept from selectors all the same",
				lab(Observed(Host("pve1", T4("03:00")).Memory(64, 62), Template(9000, "ubuntu-22.04", "pve1")),
					pool("any", model("t4", 1), memory("1Gi")), one), []string{
					"any-1 refuse CARD-USED", "gpu-1 refuse MEMORY-SHORT",
				}},
			{"two workers that name one card: the second is refused",
				lab(twoT4s(), one, pool("too", exact("pve1", "0000:03:00.0"))), []string{
					"gpu-1 create pve1/0000:03:00.0 VM 9100 " + makeGPU, "too-1 refuse CARD-USED",
				}},
			{"numbers that VMs and claims use are not given out",
				lab(twoT4s(VM(9100, "stranger", "pve1"), Claim("pve2", "03:00", "x-1", "x", "other", 9101)), one), []string{
					"gpu-1 create pve1/0000:03:00.0 VM 9102 " + makeGPU,
				}},
			{"a name that a stranger has is refused, and its number is not skipped",
				lab(twoT4s(VM(300, "w-1", "pve1")), plain), []string{
					"w-1 refuse VM-NAME-TAKEN", "w-2 create pve1 VM 9100 " + makePlain,
				}},
			{"a worker of the same name in another KubeCluster is somebody else's",
				lab(twoT4s(VM(300, "w-1", "pve1").Ours("w", "other", "Ephemeral")), plain), []string{
					"w-1 refuse VM-NAME-TAKEN", "w-2 create pve1 VM 9100 " + makePlain,
				}},
			{"a copy that looks like the worker is not taken for it",
				lab(twoT4s(VM(300, "w-1", "pve1").Ours("w", "rke2-lab", "Ephemeral").Record(func(r *inventory.Record) { r.VM = "9100" })), plain), []string{
					"w-1 refuse VM-IDENTITY", "w-2 create pve1 VM 9100 " + makePlain,
				}},
			{"a worker that somebody renamed is not made a second time",
				lab(twoT4s(VM(9100, "renamed", "pve1").Ours("w", "rke2-lab", "Ephemeral").Record(func(r *inventory.Record) { r.Worker = "w-1" })), plain), []string{
					"w-1 refuse VM-IDENTITY", "w-2 create pve1 VM 9101 " + makePlain,
				}},
			{"a VM that cannot be read and has the name may be the worker",
				lab(Observed(Host("pve1"), Host("pve2").Offline(), Template(9000, "ubuntu-22.04", "pve1"), VM(9100, "w-1", "pve2").Unreadable("its host does not answer")), plain), []string{
					"w-1 refuse VM-UNREADABLE", "w-2 create pve1 VM 9101 " + makePlain,
				}},
			{"a VM that cannot be read may hold any card of its host",
				lab(twoT4s(VM(300, "secret", "pve1").Unreadable("permission denied")), gpu), []string{
					"gpu-1 create pve2/0000:03:00.0 VM 9100 " + makeGPU,
					"gpu-2 refuse CARD-HOLDER-UNKNOWN CARD-USED",
				}},
			{"no replicas are no workers", lab(twoT4s(), pool("w", replicas(0))), nil},
			{"static addresses that do not suffice are told",
				lab(twoT4s(), pool("w", replicas(2), spec(func(s *v1alpha1.WorkerPoolSpec) {
					s.Networks = []v1alpha1.Network{{Addresses: []string{"192.0.2.21/24"}, Gateway: "192.0.2.1"}}
				}))), []string{"w-1 create pve1 VM 9100 " + makePlain, "w-2 refuse ADDRESS-SHORT"}},
		},
		"half-made": {
			{"a claim without a VM keeps name, card and number",
				lab(twoT4s(claim(gpu, 2, 9107, "pve1", "03:00")), gpu), []string{
					"gpu-1 create pve2/0000:03:00.0 VM 9100 " + makeGPU,
					"gpu-2 create pve1/0000:03:00.0 VM 9107 " + makeGPU,
				}},
			{"a claim whose number somebody else took gets another",
				lab(twoT4s(claim(one, 1, 9100, "pve1", "03:00"), VM(9100, "stranger", "pve2")), one), []string{
					"gpu-1 create pve1/0000:03:00.0 VM 9101 " + makeGPU,
				}},
			{"a claim whose clone is being made waits",
				lab(twoT4s(claim(one, 1, 9100, "pve1", "03:00"), InFlight(9100, "pve1")), one), []string{
					"gpu-1 wait pve1/0000:03:00.0",
				}},
			{"a claim whose clone died gets another number",
				lab(twoT4s(claim(one, 1, 9100, "pve1", "03:00"), InFlight(9100, "pve1").Stuck()), one), []string{
					"gpu-1 create pve1/0000:03:00.0 VM 9101 " + makeGPU,
				}},
			{"a claim whose VM cannot be read is refused, not cloned twice",
				lab(twoT4s(claim(one, 1, 9100, "pve1", "03:00"), VM(9100, "gpu-1", "pve1").Unreadable("permission denied")), one), []string{
					"gpu-1 refuse VM-UNREADABLE",
				}},
			{"a claim whose number an unreadable VM of another name has is refused too",
				lab(twoT4s(claim(one, 1, 9100, "pve1", "03:00"), VM(9100, "renamed", "pve2").Unreadable("permission denied")), one), []string{
					"gpu-1 refuse VM-UNREADABLE",
				}},
			{"a clone that was not marked goes on with configure",
				lab(twoT4s(claim(one, 1, 9100, "pve1", "03:00"), VM(9100, "gpu-1", "pve1").Unmarked("gpu", "rke2-lab", "SemiPersistent").For("03:00")), one), []string{
					"gpu-1 finish pve1/0000:03:00.0 VM 9100 [configure attach start agent]",
				}},
			{"a configured VM without its card goes on with attach",
				lab(twoT4s(claim(one, 1, 9100, "pve1", "03:00"), made(one, 1, 9100, "pve1", "").For("03:00")), one), []string{
					"gpu-1 finish pve1/0000:03:00.0 VM 9100 [configure attach start agent]",
				}},
			{"a VM with its card goes on with start",
				lab(twoT4s(claim(one, 1, 9100, "pve1", "03:00"), made(one, 1, 9100, "pve1", "03:00")), one), []string{
					"gpu-1 start pve1/0000:03:00.0 VM 9100 [start agent]",
				}},
			{"a marked VM with the template's firmware is configured, not held",
				lab(twoT4s(claim(one, 1, 9100, "pve1", "03:00"), made(one, 1, 9100, "pve1", "").For("03:00").Machine(func(m *inventory.Machine) {
					m.Firmware, m.Cores, m.Protection = inventory.FirmwareBIOS, 2, false
				})), one), []string{
					"gpu-1 finish pve1/0000:03:00.0 VM 9100 [configure attach start agent]",
				}},
			{"a plain VM that an older program marked and did not configure is configured and started; its firmware waits for a person",
				lab(twoT4s(made(semi, 1, 9100, "pve1", "").Machine(func(m *inventory.Machine) {
					m.Firmware, m.Protection = inventory.FirmwareBIOS, false
				}), made(semi, 2, 9101, "pve2", "").Running()), semi), []string{
					"w-1 finish pve1 VM 9100 [configure start agent] {proxmox.protection: no → yes (live)} {machine.firmware: BIOS → UEFI (replace only)} → gpuworker replace w-1", "w-2 keep",
				}},
			{"plain workers wait for a nameless clone in our range",
				lab(twoT4s(InFlight(9105, "pve1"), made(plain, 1, 9100, "pve1", "").Running()), plain), []string{
					"w-1 keep", "w-2 wait",
				}},
			{"a dead clone in our range holds nobody up, and its number is not used",
				lab(twoT4s(InFlight(9100, "pve1").Stuck()), plain), []string{
					"w-1 create pve1 VM 9101 " + makePlain, "w-2 create pve2 VM 9102 " + makePlain,
				}},
			{"a running GPU worker whose claim got lost claims again",
				lab(twoT4s(made(one, 1, 9100, "pve1", "03:00").Running()), one), []string{
					"gpu-1 finish pve1/0000:03:00.0 VM 9100 [claim]",
				}},
			{"a register that does not fit any more is renewed before the start",
				lab(twoT4s(claim(one, 1, 9100, "pve1", "03:00").Stale("iommugroup is 14, the hardware says 15"), made(one, 1, 9100, "pve1", "03:00")), one), []string{
					"gpu-1 finish pve1/0000:03:00.0 VM 9100 [claim start agent]",
				}},
			{"a second VM of an ephemeral worker is destroyed",
				lab(twoT4s(made(plain, 1, 9100, "pve1", "").Running(), made(plain, 2, 9101, "pve2", "").Running(),
					VM(9102, "w-1", "pve2").Unmarked("w", "rke2-lab", "Ephemeral")), plain), []string{
					"w-1 keep", "w-1 destroy pve2 VM 9102 [adopt unprotect shutdown destroy]", "w-2 keep",
				}},
			{"of two stopped VMs of one worker the marked one is kept",
				lab(twoT4s(VM(9100, "w-1", "pve2").Unmarked("w", "rke2-lab", "Ephemeral"), made(plain, 1, 9101, "pve1", ""), made(plain, 2, 9102, "pve2", "").Running()), plain), []string{
					"w-1 start pve1 VM 9101 [start agent]", "w-1 destroy pve2 VM 9100 [adopt unprotect shutdown destroy]", "w-2 keep",
				}},
			{"a second VM of a semi-persistent worker is left for a person",
				lab(twoT4s(made(semi, 1, 9100, "pve1", "").Running(), made(semi, 2, 9101, "pve2", "").Running(),
					VM(9102, "w-1", "pve2").Unmarked("w", "rke2-lab", "SemiPersistent")), semi), []string{"w-1 keep", "w-2 keep"}},
		},
		"keeping": {
			{"workers that are as declared are kept",
				lab(twoT4s(made(plain, 1, 9100, "pve1", "").Running(), made(plain, 2, 9101, "pve2", "").Running()), plain),
				[]string{"w-1 keep", "w-2 keep"}},
			{"a parked worker is kept stopped",
				lab(twoT4s(claim(one, 1, 9100, "pve1", "03:00"), made(one, 1, 9100, "pve1", "03:00").Parked()), one), []string{"gpu-1 keep"}},
			{"taking a request out of the middle moves nobody",
				lab(Observed(Host("pve1", T4("03:00"), T4("04:00"), T4("05:00")), Template(9000, "ubuntu-22.04", "pve1"),
					claim(gpu, 1, 9100, "pve1", "03:00"), made(gpu, 1, 9100, "pve1", "03:00").Running(),
					claim(gpu, 2, 9101, "pve1", "04:00"), made(gpu, 2, 9101, "pve1", "04:00").Running(),
					claim(gpu, 3, 9102, "pve1", "05:00"), made(gpu, 3, 9102, "pve1", "05:00").Running()),
					pool("gpu", exact("pve1", "0000:03:00.0"), exact("pve1", "0000:05:00.0"))), []string{
					"gpu-1 keep", "gpu-2 hold pve1/0000:04:00.0 → gpuworker delete gpu-2", "gpu-3 keep",
				}},
			{"a worker finds the selector that others can do without",
				lab(twoT4s(claim(gpu, 1, 9100, "pve1", "03:00"), made(gpu, 1, 9100, "pve1", "03:00").Running(),
					claim(gpu, 2, 9101, "pve2", "03:00"), made(gpu, 2, 9101, "pve2", "03:00").Running()),
					pool("gpu", model("t4", 1), model("t4", 1, "pve1"))), []string{"gpu-1 keep", "gpu-2 keep"}},
			{"a worker fulfils the request that names its card before any selector",
				lab(twoT4s(claim(gpu, 1, 9100, "pve1", "03:00"), made(gpu, 1, 9100, "pve1", "03:00").Running()),
					pool("gpu", model("t4", 1), exact("pve1", "0000:03:00.0"))), []string{
					"gpu-1 keep", "gpu-2 create pve2/0000:03:00.0 VM 9101 " + makeGPU,
				}},
			{"of two workers for one selector the one whose card can be seen is declared",
				lab(Observed(Host("pve1").Blind("PCI devices", "timeout"), Host("pve2", T4("03:00")), Template(9001, "ubuntu-22.04", "pve2"),
					claim(gpu, 1, 9100, "pve1", "03:00"), made(gpu, 1, 9100, "pve1", "03:00").Running(),
					claim(gpu, 2, 9101, "pve2", "03:00"), made(gpu, 2, 9101, "pve2", "03:00").Running()),
					pool("gpu", model("t4", 1))), []string{
					"gpu-1 hold pve1/0000:03:00.0 → gpuworker delete gpu-1", "gpu-2 keep",
				}},
			{"a worker on a host that is down is not taken for undeclared",
				lab(Observed(Host("pve1", T4("03:00")).Offline(), Host("pve2", T4("03:00")), Template(9001, "ubuntu-22.04", "pve2"),
					claim(gpu, 1, 9100, "pve1", "03:00"), VM(9100, "gpu-1", "pve1").Unreadable("its host does not answer")),
					pool("gpu", model("t4", 1))), []string{"gpu-1 refuse VM-UNREADABLE"}},
			{"a VM on another host than its card is refused",
				lab(twoT4s(claim(one, 1, 9100, "pve1", "03:00"), made(one, 1, 9100, "pve2", "").For("03:00").Record(func(r *inventory.Record) { r.Host = "pve1" })), one),
				[]string{"gpu-1 refuse VM-ELSEWHERE"}},
			{"a worker with a second card is held",
				lab(twoT4s(claim(one, 1, 9100, "pve1", "03:00"), made(one, 1, 9100, "pve1", "03:00").Card("05:00").For("03:00").Running()), one),
				[]string{"gpu-1 hold pve1/0000:03:00.0 → check its configuration and remove the other card settings"}},
			{"a stopped worker whose card somebody else took is not started",
				lab(twoT4s(claim(one, 1, 9100, "pve1", "03:00"), made(one, 1, 9100, "pve1", "03:00"), VM(204, "vdi", "pve1").Card("03:00").Running()), one),
				[]string{"gpu-1 refuse CARD-HELD"}},
			{"a locked VM that needs work waits",
				lab(twoT4s(claim(one, 1, 9100, "pve1", "03:00"), made(one, 1, 9100, "pve1", "03:00").Lock("backup")), one),
				[]string{"gpu-1 wait pve1/0000:03:00.0 → run the same command again when the lock is gone"}},
			{"a stopped worker is not started on a host without memory for it",
				lab(Observed(Host("pve1", T4("03:00")).Memory(64, 60), Template(9000, "ubuntu-22.04", "pve1"),
					claim(one, 1, 9100, "pve1", "03:00"), made(one, 1, 9100, "pve1", "03:00")), one),
				[]string{"gpu-1 refuse MEMORY-SHORT"}},
		},
		"letting go": {
			{"fewer replicas destroy the highest numbers",
				lab(twoT4s(made(plain, 1, 9100, "pve1", "").Running(), made(plain, 3, 9102, "pve2", "").Running()), pool("w", replicas(1))), []string{
					"w-1 keep", "w-3 destroy pve2 VM 9102 [unprotect shutdown destroy]",
				}},
			{"semi-persistent workers are held instead",
				lab(twoT4s(made(semi, 1, 9100, "pve1", "").Running(), made(semi, 2, 9101, "pve2", "").Running()), pool("w", replicas(1), semiPersistent)), []string{
					"w-1 keep", "w-2 hold pve2 → gpuworker delete w-2",
				}},
			{"a pool that turns ephemeral does not destroy what was promised to stay",
				lab(twoT4s(made(semi, 1, 9100, "pve1", "").Running(), made(semi, 2, 9101, "pve2", "").Running()), pool("w", replicas(1))), []string{
					"w-1 update pve1 VM 9100 [configure] {lifecycle: SemiPersistent → Ephemeral (replace only)} {proxmox.protection: yes → no (live)} → gpuworker replace w-1",
					"w-2 hold pve2 → gpuworker delete w-2",
				}},
			{"a claim alone that nothing declares is held",
				lab(twoT4s(claim(gpu, 2, 9101, "pve2", "03:00")), one), []string{
					"gpu-1 create pve1/0000:03:00.0 VM 9100 " + makeGPU,
					"gpu-2 hold pve2/0000:03:00.0 → gpuworker delete gpu-2",
				}},
			{"a GPU worker of a pool that has no GPUs any more is held",
				lab(twoT4s(claim(one, 1, 9100, "pve1", "03:00"), made(one, 1, 9100, "pve1", "03:00").Running()), pool("gpu", replicas(1))), []string{
					"gpu-1 hold pve1/0000:03:00.0 → gpuworker delete gpu-1",
					"gpu-2 create pve2 VM 9101 " + makePlain,
				}},
		},
	}
	for group, scenarios := range groups {
		for _, s := range scenarios {
			t.Run(group+"/"+s.name, func(t *testing.T) {
				p := Build(s.in)
				if diff := cmp.Diff(s.want, lines(p)); diff != "" {
					t.Errorf("(-want +got):\n%s\n%s", diff, textOf(t, p))
				}
			})
		}
	}
}

func TestAllOrNothingRemovesTheStepsOfEveryWorker(t *testing.T) {
	in := lab(twoT4s(), pool("gpu", model("t4", 3)), pool("w", replicas(1)))
	if p := Build(in); p.Blocked != "" || p.Empty() {
		t.Errorf("without it apply does the rest: %q", p.Blocked)
	}
	in.Request.AllOrNothing = true
	p := Build(in)
	if p.Blocked == "" || !p.Empty() {
		t.Errorf("a worker is refused and there are steps: %q\n%s", p.Blocked, textOf(t, p))
	}
	if w := worker(t, p, "w-1"); w.Action != plan.Create {
		t.Errorf("the plan still shows what would be: %s", w.Action)
	}
}

func TestACreatedWorkerHasEverythingThatApplyNeeds(t *testing.T) {
	p := pool("gpu", exact("pve1", "0000:03:00.0"), label("zone", "a"), memory("16Gi"), spec(func(s *v1alpha1.WorkerPoolSpec) {
		s.Taints = []v1alpha1.Taint{{Key: "gpu", Value: "yes", Effect: v1alpha1.NoSchedule}}
		s.Access.User, s.Access.SSHKeys = "ops", []string{"ssh-ed25519 AAAA ops@desk\n"}
		s.Template.Clone, s.Machine.Disk.Storage = v1alpha1.CloneFull, "local-lvm"
	}))
	in := lab(twoT4s(), p)
	w := worker(t, Build(in), "gpu-1")
	card := w.Card
	want := &plan.Worker{
		Name: "gpu-1", Action: plan.Create, Host: "pve1", Card: card, Model: "Tesla T4", GPUID: pci.ID{Vendor: 0x10de, Device: 0x1eb8}, VM: "9100",
		Reason: "card alone in IOMMU group 12, host memory 40 of 128 GiB used", Notes: w.Notes,
		Steps: []plan.StepKind{plan.StepClaim, plan.StepClone, plan.StepConfigure, plan.StepAttach, plan.StepStart, plan.StepAgent},
		Desired: &inventory.Machine{
			Cores: 4, MemoryMiB: 16384, CPU: "host", Type: "q35", Firmware: "UEFI", Storage: "local-lvm",
			NICs:  []inventory.NIC{{Network: "vmbr0", Address: "dhcp"}},
			Guest: inventory.Guest{User: "ops", SSHKeys: []string{"ssh-ed25519 AAAA ops@desk"}},
			Card:  &inventory.Card{Ref: card, PCIe: true, ROMBar: true}, OnBoot: true, Protection: true, Agent: true,
		},
		Record: &inventory.Record{
			Version:   inventory.RecordVersion,
			WorkerKey: inventory.WorkerKey{Worker: "gpu-1", Pool: "gpu", KubeCluster: "rke2-lab"}, Lifecycle: "SemiPersistent", VM: "9100", Host: "pve1",
			Card: card, Template: "ubuntu-22.04", Clone: "Full", Labels: "zone=a", Taints: "gpu=yes:NoSchedule",
		},
		Source: &plan.Source{Template: "ubuntu-22.04", VM: "9000", Host: "pve1", Full: true, Storage: "local-lvm", TargetStorage: "local-lvm", TargetHost: "pve1"},
	}
	if diff := cmp.Diff(want, w); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(w.Notes) != 1 || w.Notes[0].ID != finding.HostDriver || w.Notes[0].Verdict != finding.Unknown {
		t.Errorf("the driver of the card cannot be known: %v", w.Notes)
	}
}

func TestAnUnmarkedCloneIsIdentifiedByTheUUIDThatItGets(t *testing.T) {
	one := pool("gpu", exact("pve1", "0000:03:00.0"))
	fresh := VM(9100, "gpu-1", "pve1").Unmarked("gpu", "rke2-lab", "SemiPersistent").For("03:00").Change(func(vm *inventory.VM) { vm.UUID = UUID(1) })
	w := worker(t, Build(lab(twoT4s(claim(one, 1, 9100, "pve1", "03:00"), fresh), one)), "gpu-1")
	want := &inventory.VMRef{Host: "pve1", ID: "9100", Name: "gpu-1", UUID: UUID(9100)}
	if diff := cmp.Diff(want, w.Ref); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if w.Record.UUID != UUID(9100) || w.Desired.Card == nil || w.Desired.Firmware != inventory.FirmwareUEFI {
		t.Errorf("record %v, desired %v", w.Record, w.Desired)
	}
}
