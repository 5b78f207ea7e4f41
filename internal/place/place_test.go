package place

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// requirements are those of a worker with 4 cores and 8 GiB from ubuntu-22.04 on vmbr0.
func requirements(worker string, changes ...func(*Requirements)) Requirements {
	w := Requirements{
		Holder:   Holder{WorkerKey: inventory.WorkerKey{Worker: worker, Pool: "gpu", KubeCluster: "rke2-lab"}},
		Template: v1alpha1.Template{Name: "ubuntu-22.04", Clone: v1alpha1.CloneLinked},
		NICs:     []inventory.NIC{{Network: "vmbr0"}}, MemoryMiB: 8192, Cores: 4,
	}
	for _, change := range changes {
		change(&w)
	}
	return w
}

func exactly(host, text string) func(*Requirements) {
	return func(w *Requirements) { w.Card = &CardRequirements{Ref: CardRef(host, text)} }
}

func ofModel(model string, hosts ...string) func(*Requirements) {
	return func(w *Requirements) { w.Card = &CardRequirements{Model: model, Hosts: hosts} }
}

// written writes findings as an operator reads them.
func written(findings []finding.Finding) []string {
	var all []string
	for _, f := range findings {
		all = append(all, fmt.Sprintf("%s %s %s: %s → %s", f.ID, f.Where.Host, f.Where.Card, f.Reason, f.Fix))
	}
	return all
}

func TestRefusalsSayWhyAndWhatToDo(t *testing.T) {
	ubuntu := Template(9000, "ubuntu-22.04", "pve1")
	scenarios := []struct {
		name  string
		world *inventory.Snapshot
		want  Requirements
		says  []string
	}{
		{"the host is not one of the hypervisor", Observed(Host("pve1"), Host("pve2")), requirements("gpu-1", exactly("pve9", "03:00")),
			[]string{"HOST-UNKNOWN pve9 0000:03:00.0: there is no host of this name; the hypervisor has pve1, pve2 → correct the name in the document: gpuworker hosts"}},
		{"the host is offline", Observed(Host("pve1").Offline()), requirements("gpu-1", exactly("pve1", "03:00")),
			[]string{"HOST-OFFLINE pve1 0000:03:00.0: the host is offline → bring the host back, then run the same command again"}},
		{
			"a full clone cannot go to local storage of another host",
			Observed(
				Host("pve1").Shared("nas", 500).Storage("local-lvm", 500), Host("pve2").Shared("nas", 500).Storage("local-lvm", 500),
				Template(9000, "ubuntu-22.04", "pve1").On("nas"),
			),
			requirements("w-1", func(w *Requirements) {
				w.Hosts, w.Storage, w.Template.Clone = []string{"pve2"}, "local-lvm", v1alpha1.CloneFull
			}),
			[]string{`STORAGE-NOT-SHARED pve2 : template VM 9000 "ubuntu-22.04" is on pve1, and a full clone on another host needs shared storage: local-lvm is local to each host → set spec.machine.disk.storage to one that is shared (nas), make a copy of the template on pve2, or allow pve1 alone in spec.hosts`},
		},
		{"the host's devices cannot be read", Observed(Host("pve1").Blind("PCI devices", "permission denied: Sys.Audit on /")), requirements("gpu-1", exactly("pve1", "03:00")),
			[]string{"HOST-UNREADABLE pve1 0000:03:00.0: PCI devices cannot be read: permission denied: Sys.Audit on / → gpuworker check shows which privilege the login lacks"}},
		{"the pool leaves the host out", Observed(Host("pve1", T4("03:00")), ubuntu), requirements("gpu-1", exactly("pve1", "03:00"), func(w *Requirements) { w.Hosts = []string{"pve2"} }),
			[]string{"HOST-NOT-ALLOWED pve1 0000:03:00.0: the card is on pve1, but spec.hosts of pool gpu does not list that host → add the host to spec.hosts, or name another card"}},
		{"the IOMMU is off", Observed(Host("pve1", T4("03:00")).NoIOMMU(), ubuntu), requirements("gpu-1", exactly("pve1", "03:00")),
			[]string{"HOST-IOMMU-OFF pve1 0000:03:00.0: the IOMMU is off: no PCI device is in an IOMMU group → turn VT-d or AMD-Vi on in the host's firmware, then reboot the host"}},
		{"there is nothing at the address", Observed(Host("pve1", T4("03:00")), ubuntu), requirements("gpu-1", exactly("pve1", "04:00")),
			[]string{"CARD-MISSING pve1 0000:04:00.0: the host has no device at this address; it has 0000:03:00.0 Tesla T4 → gpuworker gpus lists the cards; addresses change when cards are added or moved"}},
		{"the address is that of a network card", Observed(Host("pve1", NIC("42:00")), ubuntu), requirements("gpu-1", exactly("pve1", "42:00")),
			[]string{"CARD-NOT-GPU pve1 0000:42:00.0: this is not an NVIDIA GPU: 0000:42:00.0 I350 Gigabit Network Connection (network controller) → gpuworker gpus lists the cards"}},
		{"the address is that of the bridge before the card", Observed(Host("pve1", Bridge("02:00"), T4("03:00")), ubuntu), requirements("gpu-1", exactly("pve1", "02:00")),
			[]string{"CARD-NOT-GPU pve1 0000:02:00.0: this is a PCI bridge, the card is behind it: 0000:02:00.0 Starship/Matisse GPP Bridge (PCI bridge); the host has 0000:03:00.0 Tesla T4 → gpuworker gpus lists the cards"}},
		{"the group holds a network card too", Observed(Host("pve1", RTX3090("41:00").Group(27), NIC("42:00").Group(27)), ubuntu), requirements("gpu-1", exactly("pve1", "41:00")),
			[]string{"CARD-GROUP-SHARED pve1 0000:41:00.0: shares IOMMU group 27 with 0000:42:00.0 I350 Gigabit Network Connection (network controller): starting a VM with the card would also take this device from the host → move the card to another slot, or turn ACS on in the host's firmware"}},
		{"a stranger's VM has the card", Observed(Host("pve1", T4("81:00")), ubuntu, VM(204, "vdi-7", "pve1").Card("81:00").Running()), requirements("gpu-1", exactly("pve1", "81:00")),
			[]string{`CARD-HELD pve1 0000:81:00.0: attached to VM 204 "vdi-7", not ours, running → choose another card, or remove it from that VM   (on pve1)`}},
		{"another worker's VM has the card", Observed(Host("pve1", T4("81:00")), ubuntu, VM(9100, "ml-1", "pve1").Ours("ml", "rke2-lab", "SemiPersistent").Card("81:00")), requirements("gpu-1", exactly("pve1", "81:00")),
			[]string{`CARD-HELD pve1 0000:81:00.0: attached to VM 9100 "ml-1", worker ml-1 of pool ml, stopped → choose another card, or delete that worker first: gpuworker delete ml-1`}},
		{"a mapping of several cards may take it", Observed(Host("pve1", T4("81:00")), ubuntu, VM(204, "vdi-7", "pve1").Card("81:00").Change(func(vm *inventory.VM) {
			vm.Cards[0].Mapping, vm.Cards[0].Cards = "t4s", append(vm.Cards[0].Cards, CardRef("pve1", "82:00"))
		})), requirements("gpu-1", exactly("pve1", "81:00")),
			[]string{`CARD-HELD pve1 0000:81:00.0: attached to VM 204 "vdi-7", not ours, stopped (by mapping t4s, which stands for 2 cards) → choose another card, or remove it from that VM   (on pve1)`}},
		{"somebody else claimed the card", Observed(Host("pve1", T4("03:00")), ubuntu, Claim("pve1", "03:00", "ml-1", "ml", "prod", 9200)), requirements("gpu-1", exactly("pve1", "03:00")),
			[]string{"CARD-CLAIMED pve1 0000:03:00.0: claimed for worker ml-1 of pool ml, KubeCluster prod, by ops@desk → choose another card, or delete that worker first: gpuworker delete ml-1"}},
		{"a VM of the host cannot be read", Observed(Host("pve1", T4("03:00")), ubuntu, VM(300, "secret", "pve1").Unreadable("permission denied")), requirements("gpu-1", exactly("pve1", "03:00")),
			[]string{`CARD-HOLDER-UNKNOWN pve1 0000:03:00.0: VM 300 "secret" cannot be read, so it may hold the card: permission denied → allow the login to read all VMs; gpuworker check shows the missing privileges`}},
		{"no host has the kind of card", Observed(Host("pve1", T4("03:00")), Host("pve2"), Host("pve3").Offline()), requirements("gpu-1", ofModel("A100")),
			[]string{
				"HOST-OFFLINE pve3 : the host is offline → bring the host back, then run the same command again",
				"CARD-NO-MATCH pve1 : no A100 here; the host has 1 × Tesla T4 → correct the model, or allow a host that has one: gpuworker gpus",
				"CARD-NO-MATCH pve2 : no A100 here; the host has no NVIDIA GPU → correct the model, or allow a host that has one: gpuworker gpus",
			}},

		{"the template is on local storage of another host", Observed(Host("pve1"), Host("pve2"), ubuntu), requirements("gpu-1", func(w *Requirements) { w.Hosts = []string{"pve2"} }),
			[]string{`TEMPLATE-MISSING pve2 : the host has no template "ubuntu-22.04"; there is VM 9000 "ubuntu-22.04" on pve1, on storage that pve2 does not share → make a copy of the template on pve2, or keep all of it on shared storage, its cloud-init drive too`}},
		{"the template is still a VM", Observed(Host("pve1"), VM(9000, "ubuntu-22.04", "pve1")), requirements("gpu-1"),
			[]string{`TEMPLATE-MISSING pve1 : there is no template "ubuntu-22.04"; VM 9000 "ubuntu-22.04" on pve1 is a VM, not a template → if it should be a template, make it one   (on pve1)`}},
		{"no template has these tags", Observed(Host("pve1"), ubuntu), requirements("gpu-1", func(w *Requirements) { w.Template = v1alpha1.Template{Tags: []string{"gpu", "jammy"}} }),
			[]string{"TEMPLATE-MISSING pve1 : there is no template with tags gpu+jammy on any visible host → correct spec.template, or make the template; the login must be allowed to see it"}},
		{"two templates have the name", Observed(Host("pve1"), ubuntu, Template(9005, "ubuntu-22.04", "pve1")), requirements("gpu-1"),
			[]string{`TEMPLATE-AMBIGUOUS pve1 : 2 templates "ubuntu-22.04" fit: VM 9000 "ubuntu-22.04" on pve1, VM 9005 "ubuntu-22.04" on pve1 → name one by spec.template.id, or give it a name or a tag of its own`}},
		{"the template has all that a template should not, and lacks the rest", Observed(Host("pve1"), Template(9000, "ubuntu-22.04", "pve1").Card("03:00").Change(func(vm *inventory.VM) { vm.CloudInit, vm.BootDisk = false, "" })), requirements("gpu-1"),
			[]string{
				`TEMPLATE-NO-DISK pve1 : template VM 9000 "ubuntu-22.04" has no disk to boot from → import a disk, and make the template again   (on pve1)`,
				`TEMPLATE-NO-CLOUD-INIT pve1 : template VM 9000 "ubuntu-22.04" has no cloud-init drive, so login and addresses would never reach the guest → give it a cloud-init drive   (on pve1)`,
				`TEMPLATE-HAS-CARD pve1 : template VM 9000 "ubuntu-22.04" has a PCI card attached, which every clone would have too → remove the card from the template   (on pve1)`,
			}},
		{"the template cannot be read", Observed(Host("pve1"), Template(9000, "ubuntu-22.04", "pve1").Unreadable("permission denied")), requirements("gpu-1"),
			[]string{`VM-UNREADABLE pve1 : template VM 9000 "ubuntu-22.04" cannot be read: permission denied → allow the login to read all VMs; gpuworker check shows the missing privileges`}},

		{"a full clone's storage does not exist", Observed(Host("pve1"), ubuntu), requirements("gpu-1", func(w *Requirements) { w.Template.Clone, w.Storage = v1alpha1.CloneFull, "fast" }),
			[]string{"STORAGE-MISSING pve1 : the host has no storage fast; it has local-lvm → correct spec.machine.disk.storage, or allow the storage on this host"}},
		{"the storage is not active", Observed(Host("pve1").Change(func(h *inventory.Host) { h.Storages[0].Active = false }), ubuntu), requirements("gpu-1"),
			[]string{"STORAGE-MISSING pve1 : storage local-lvm is not active on the host → find out why the storage is not active   (on pve1)"}},
		{"the storage takes no disks", Observed(Host("pve1").Change(func(h *inventory.Host) { h.Storages[0].Content = []string{"iso", "vztmpl"} }), ubuntu), requirements("gpu-1"),
			[]string{"STORAGE-CONTENT pve1 : storage local-lvm does not take VM disks, only iso, vztmpl → choose another storage, or allow VM disks on this one"}},
		{"a full clone does not fit", Observed(Host("pve1").Storage("local-lvm", 30), ubuntu), requirements("gpu-1", func(w *Requirements) { w.Template.Clone, w.DiskMiB = v1alpha1.CloneFull, 40960 }),
			[]string{"STORAGE-FULL pve1 : storage local-lvm has 30 GiB free, 40 GiB is needed → free space on it, choose another storage, or declare a smaller disk"}},
		{"the storages cannot be read", Observed(Host("pve1").Blind("storages", "timeout"), ubuntu), requirements("gpu-1"),
			[]string{"HOST-UNREADABLE pve1 : storages cannot be read: timeout → gpuworker check shows which privilege the login lacks"}},

		{"the bridge does not exist", Observed(Host("pve1"), ubuntu), requirements("gpu-1", func(w *Requirements) { w.NICs = []inventory.NIC{{Network: "vmbr0"}, {Network: "vmbr7"}} }),
			[]string{"BRIDGE-MISSING pve1 : the host has no bridge vmbr7; it has vmbr0, vmbr1 → correct the name in spec.networks, or make the bridge on the host"}},
		{"the bridge is not VLAN aware", Observed(Host("pve1"), ubuntu), requirements("gpu-1", func(w *Requirements) { w.NICs = []inventory.NIC{{Network: "vmbr0", VLAN: 40}} }),
			[]string{"BRIDGE-NOT-VLAN-AWARE pve1 : bridge vmbr0 is not VLAN aware, but VLAN 40 is declared → set bridge-vlan-aware on vmbr0, or leave vlan out of spec.networks"}},
		{"the memory is short by the reserve", Observed(Host("pve1").Memory(64, 56), ubuntu), requirements("gpu-1"),
			[]string{"MEMORY-SHORT pve1 : 8 GiB needed plus 512 MiB in reserve, 8 GiB free (host memory 56 of 64 GiB used) → stop or move other VMs, or lower spec.machine.memory"}},
		{"the memory is not known", Observed(Host("pve1").Blind("status", "timeout"), ubuntu), requirements("gpu-1"),
			[]string{
				"HOST-UNREADABLE pve1 : status cannot be read: timeout → gpuworker check shows which privilege the login lacks",
			}},
		{"the VM has more cores than the host has CPUs", Observed(Host("pve1").CPUs(2), ubuntu), requirements("gpu-1"),
			[]string{"CPU-SHORT pve1 : 4 cores needed, the host has 2 CPUs → lower spec.machine.cores"}},
		{"no hosts are visible", Observed(ubuntu), requirements("gpu-1"),
			[]string{"HOST-UNREADABLE  : the hypervisor shows no hosts → allow the login to read the hosts; gpuworker check shows the missing privileges"}},
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			_, _, refusals := NewCapacity(s.world).Place(s.want)
			if diff := cmp.Diff(s.says, written(refusals)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, f := range refusals {
				if _, ok := finding.Explain(f.ID); !ok {
					t.Errorf("%s has no page", f.ID)
				}
			}
		})
	}
}

func TestPlacements(t *testing.T) {
	world := Observed(
		Host("pve1", T4("03:00"), T4("81:00")).Memory(128, 40), Host("pve2", T4("03:00")).Memory(128, 20), Host("pve3", RTX3090("0a:00")).Memory(128, 60),
		Template(9000, "ubuntu-22.04", "pve1"), Template(9001, "ubuntu-22.04", "pve2"), Template(9002, "ubuntu-22.04", "pve3"),
	)
	capacity := NewCapacity(world)
	for _, s := range []struct {
		name string
		want Requirements
		at   string
	}{
		{"the first goes to the host with the most free memory", requirements("gpu-1", ofModel("t4")), "pve2 0000:03:00.0"},
		{"the second to another host", requirements("gpu-2", ofModel("t4")), "pve1 0000:03:00.0"},
		{"the third to the next card", requirements("gpu-3", ofModel("t4")), "pve1 0000:81:00.0"},
		{"the model may be given by ID", requirements("gpu-4", func(w *Requirements) { w.Card = &CardRequirements{ID: "10DE:2204"} }), "pve3 0000:0a:00.0"},
		{"a plain worker of the pool goes where the pool has fewest", requirements("gpu-5"), "pve2 "},
		{"and then where there is most memory", requirements("gpu-6"), "pve3 "},
	} {
		placement, _, refusals := capacity.Place(s.want)
		if got := placement.Host + " " + placement.Card.BDF().String(); got != s.at || len(refusals) > 0 {
			t.Errorf("%s: %q, want %q; refusals %v", s.name, got, s.at, written(refusals))
		}
	}
	if _, _, refusals := capacity.Place(requirements("gpu-7", ofModel("t4"))); len(refusals) != 4 || refusals[0].ID != finding.CardUsed {
		t.Errorf("all T4s are allocated: %v", written(refusals))
	}
}

func TestAllocatedCapacityIsNotAllocatedTwice(t *testing.T) {
	world := Observed(Host("pve1").Memory(64, 40).Storage("local-lvm", 25), Template(9000, "ubuntu-22.04", "pve1"))
	full := func(w *Requirements) { w.Template.Clone = v1alpha1.CloneFull }
	capacity := NewCapacity(world)
	for n := 1; n <= 2; n++ {
		if _, _, refusals := capacity.Place(requirements(fmt.Sprintf("gpu-%d", n), full)); len(refusals) > 0 {
			t.Fatalf("worker %d: %v", n, written(refusals))
		}
	}
	_, _, refusals := capacity.Place(requirements("gpu-3", full))
	says := []string{
		"MEMORY-SHORT pve1 : 8 GiB needed plus 512 MiB in reserve, 8 GiB free (host memory 40 of 64 GiB used, 16 GiB planned for other workers) → stop or move other VMs, or lower spec.machine.memory",
		"STORAGE-FULL pve1 : storage local-lvm has 5 GiB free, 10 GiB is needed (20 GiB planned for other workers) → free space on it, choose another storage, or declare a smaller disk",
	}
	if diff := cmp.Diff(says, written(refusals)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSharedStorageCountsOnceForAllHosts(t *testing.T) {
	world := Observed(
		Host("pve1").Shared("ceph", 15), Host("pve2").Shared("ceph", 15), Host("pve3"),
		Template(9000, "ubuntu-22.04", "pve1").On("ceph"),
	)
	full := func(w *Requirements) { w.Template.Clone = v1alpha1.CloneFull }
	capacity := NewCapacity(world)
	placement, _, _ := capacity.Place(requirements("gpu-1", full, func(w *Requirements) { w.Hosts = []string{"pve2"} }))
	if placement.Host != "pve2" || placement.Template.ID != "9000" {
		t.Errorf("a template on shared storage reaches the other host: %+v", placement)
	}
	_, _, refusals := capacity.Place(requirements("gpu-2", full))
	says := []string{
		`TEMPLATE-MISSING pve3 : the host has no template "ubuntu-22.04"; there is VM 9000 "ubuntu-22.04" on pve1, on storage that pve3 does not share → make a copy of the template on pve3, or keep all of it on shared storage, its cloud-init drive too`,
		"STORAGE-FULL pve1 : storage ceph has 5 GiB free, 10 GiB is needed (10 GiB planned for other workers) → free space on it, choose another storage, or declare a smaller disk",
		"STORAGE-FULL pve2 : storage ceph has 5 GiB free, 10 GiB is needed (10 GiB planned for other workers) → free space on it, choose another storage, or declare a smaller disk",
	}
	finding.Sort(refusals)
	if diff := cmp.Diff(says, written(refusals)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAWorkerMayUseWhatItHolds(t *testing.T) {
	own := VM(9100, "gpu-1", "pve1").Ours("gpu", "rke2-lab", "SemiPersistent").Card("03:00").Running().Machine(func(m *inventory.Machine) { m.MemoryMiB = 8192 })
	world := Observed(Host("pve1", T4("03:00")).Memory(16, 12), Template(9000, "ubuntu-22.04", "pve1"), own,
		Claim("pve1", "03:00", "gpu-1", "gpu", "rke2-lab", 9100).Stale("iommugroup is 14, the hardware says 15"))
	w := requirements("gpu-1", exactly("pve1", "03:00"), func(w *Requirements) { w.VM = "9100" })
	placement, notes, refusals := NewCapacity(world).Place(w)
	if placement.Host != "pve1" || len(refusals) > 0 {
		t.Fatalf("refused because of its own card, claim or memory: %v", written(refusals))
	}
	if len(notes) != 2 || notes[0].ID != finding.MappingStale || notes[1].ID != finding.HostDriver {
		t.Errorf("notes: %v", written(notes))
	}
	if _, refusals := NewCapacity(world).CheckStart(w, "pve1"); len(refusals) > 0 {
		t.Errorf("it could not be restarted: %v", written(refusals))
	}
}

func TestACardThatIsBeingReleasedMayBeClaimed(t *testing.T) {
	world := Observed(Host("pve1", T4("03:00")), Template(9000, "ubuntu-22.04", "pve1"), Claim("pve1", "03:00", "ml-1", "ml", "prod", 9200).Releasing())
	placement, notes, refusals := NewCapacity(world).Place(requirements("gpu-1", exactly("pve1", "03:00")))
	if placement.Host != "pve1" || len(refusals) > 0 || len(notes) != 2 || notes[0].ID != finding.CardClaimed || notes[0].Verdict != finding.Info {
		t.Errorf("%+v, notes %v, refusals %v", placement, written(notes), written(refusals))
	}
}

func TestModelNames(t *testing.T) {
	card := func(b *CardBuilder) pci.Device { return Observed(Host("x", b)).Hosts[0].GPUs()[0] }
	t4, rtx := card(T4("03:00")), card(RTX3090("03:00"))
	for _, s := range []struct {
		model  string
		device pci.Device
		fits   bool
	}{
		{"Tesla T4", t4, true}, {"tesla t4", t4, true}, {"T4", t4, true}, {"NVIDIA Tesla T4", t4, true}, {"tesla  T4 ", t4, true},
		{"TU104GL [Tesla T4]", t4, true}, {"NVIDIA Corporation TU104GL [Tesla T4]", t4, true}, {"10de:1eb8", t4, true},
		{"4", t4, false}, {"Tesla", t4, false}, {"Tesla T40", t4, false}, {"", t4, false}, {"RTX 3090", t4, false},
		{"RTX 3090", rtx, true}, {"GeForce RTX 3090", rtx, true}, {"3090", rtx, true}, {"RTX 3090 Ti", rtx, false}, {"X 3090", rtx, false},
	} {
		if got := (CardRequirements{Model: s.model}).Matches("x", s.device); got != s.fits {
			gpu, _ := s.device.GPU()
			t.Errorf("%q is a %s: %v, want %v", s.model, gpu.ShortName(), got, s.fits)
		}
	}
}
