package planner

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
)

func TestTheFingerprintChangesWithWhatMatters(t *testing.T) {
	gpu := pool("gpu", exact("pve1", "0000:03:00.0"))
	world := func(change func(*inventory.Snapshot)) string {
		s := twoT4s(claim(gpu, 1, 9100, "pve1", "03:00"), made(gpu, 1, 9100, "pve1", "03:00").Running(), VM(100, "dns", "pve1").Running())
		change(s)
		return fingerprint(lab(s, gpu))
	}
	before := world(func(*inventory.Snapshot) {})
	if len(before) != 12 || strings.Trim(before, "0123456789abcdef") != "" {
		t.Errorf("the fingerprint is no short hexadecimal number: %q", before)
	}
	for name, change := range map[string]func(*inventory.Snapshot){
		"memory in use":     func(s *inventory.Snapshot) { s.Hosts[0].MemoryUsed += GiB },
		"room on a storage": func(s *inventory.Snapshot) { s.Hosts[0].Storages[0].Free -= GiB },
		"the guest's addresses": func(s *inventory.Snapshot) {
			s.VM("9100").Addresses, s.VM("9100").Agent = []string{"192.0.2.1"}, inventory.On
		},
		"a stranger's VM that stops":    func(s *inventory.Snapshot) { s.VM("100").Running = false },
		"the words of a failed request": func(s *inventory.Snapshot) { s.Product = "Proxmox Virtual Environment" },
		"a stranger's VM elsewhere":     func(s *inventory.Snapshot) { s.VMs = append(s.VMs, inventory.VM{ID: "105", Name: "x", Host: "pve1"}) },
		"the order of tags":             func(s *inventory.Snapshot) { s.VM("100").Tags = []string{"b", "a"} },
	} {
		if world(change) != before {
			t.Errorf("%s changed the fingerprint", name)
		}
	}
	for name, change := range map[string]func(*inventory.Snapshot){
		"a host that goes down":  func(s *inventory.Snapshot) { s.Hosts[1].Online = false },
		"a card that moves":      func(s *inventory.Snapshot) { s.Hosts[1].Devices[0].Slot.Bus++ },
		"an IOMMU group":         func(s *inventory.Snapshot) { s.Hosts[1].Devices[1].Functions[0].Group++ },
		"a storage that is gone": func(s *inventory.Snapshot) { s.Hosts[0].Storages = nil },
		"a bridge that is gone":  func(s *inventory.Snapshot) { s.Hosts[0].Bridges = nil },
		"a claim":                func(s *inventory.Snapshot) { s.Claims = nil },
		"our VM stopping":        func(s *inventory.Snapshot) { s.VM("9100").Running = false },
		"our VM's tags":          func(s *inventory.Snapshot) { s.VM("9100").Tags = nil },
		"our VM's memory":        func(s *inventory.Snapshot) { s.VM("9100").Machine.MemoryMiB++ },
		"a lock":                 func(s *inventory.Snapshot) { s.VM("9100").State, s.VM("9100").Locked = inventory.Locked, "backup" },
		"the template":           func(s *inventory.Snapshot) { s.VM("9000").Name = "debian" },
		"a stranger that takes a card": func(s *inventory.Snapshot) {
			s.VM("100").Cards = []inventory.Attachment{{Key: "hostpci0", Cards: []pci.CardRef{{Host: "pve1", Slot: pci.Slot{Bus: 3}}}}}
		},
		"a stranger that takes a name": func(s *inventory.Snapshot) { s.VM("100").Name = "gpu-2" },
		"a VM that becomes unreadable": func(s *inventory.Snapshot) { s.VM("100").Unreadable = "permission denied" },
		"a VM in our range of numbers": func(s *inventory.Snapshot) {
			s.VMs = append(s.VMs, inventory.VM{ID: "9105", Name: "x", Host: "pve1", FromRange: true})
		},
		"devices that cannot be read":   func(s *inventory.Snapshot) { s.Hosts[0].Gaps = []inventory.Gap{{What: "PCI devices"}} },
		"our note in a stranger's copy": func(s *inventory.Snapshot) { s.VM("100").Record = s.VM("9100").Record },
	} {
		if world(change) == before {
			t.Errorf("%s did not change the fingerprint", name)
		}
	}
}

func TestSame(t *testing.T) {
	gpu := pool("gpu", model("t4", 2))
	plain := pool("w", replicas(1))
	before := Build(lab(twoT4s(), gpu, plain))

	t.Run("other reasons are no difference", func(t *testing.T) {
		busier := twoT4s()
		busier.Hosts[0].MemoryUsed += GiB
		busier.Hosts[1].MemoryUsed += GiB
		if same, differences := plan.Same(before, Build(lab(busier, gpu, plain))); !same {
			t.Errorf("%v", differences)
		}
	})
	for _, s := range []struct {
		name  string
		after *plan.Plan
		want  []string
	}{
		{"a card that somebody took", Build(lab(twoT4s(VM(204, "vdi", "pve1").Card("03:00")), gpu, plain)), []string{
			"gpu-1: the place was pve1/0000:03:00.0, is now pve2/0000:03:00.0",
			`gpu-2: the action was create, is now refuse (attached to VM 204 "vdi", not ours, stopped); the place was pve2/0000:03:00.0, is now nothing`,
		}},
		{"a worker that another engine made", Build(lab(twoT4s(made(plain, 1, 9102, "pve1", "").Running()), gpu, plain)), []string{
			"w-1: the action was create, is now keep; the VM was nothing, is now VM 9102 on pve1 (00000000-0000-4000-8000-000000009102)",
		}},
		{"a pool that grew", Build(lab(twoT4s(), gpu, pool("w", replicas(2)))), []string{"w-2: is new in the plan, to create"}},
		{"a pool that is gone", Build(lab(twoT4s(), gpu)), []string{"w-1: is not in the plan any more"}},
	} {
		t.Run(s.name, func(t *testing.T) {
			same, differences := plan.Same(before, s.after)
			if diff := cmp.Diff(s.want, differences); same || diff != "" {
				t.Errorf("same %v (-want +got):\n%s", same, diff)
			}
		})
	}
	t.Run("a change that is new", func(t *testing.T) {
		world := twoT4s(made(plain, 1, 9102, "pve1", "").Running())
		bigger := pool("w", replicas(1), memory("16Gi"))
		a, b := Build(lab(world, pool("w", replicas(1), label("a", "b")))), Build(lab(world, pool("w", replicas(1), label("a", "c"))))
		if _, differences := plan.Same(a, b); len(differences) != 1 || !strings.Contains(differences[0], "+a=b") || !strings.Contains(differences[0], "+a=c") {
			t.Errorf("%v", differences)
		}
		if same, _ := plan.Same(Build(lab(world, plain)), Build(lab(world, bigger))); same {
			t.Error("a restart is no difference to nothing")
		}
	})
}

func TestColorDoesNotChangeTheText(t *testing.T) {
	p := Build(lab(homelab(), pool("gpu", model("t4", 3)), pool("w", replicas(1))))
	plainText := textOf(t, p)
	var b strings.Builder
	if err := plan.Text(&b, p, plan.Style{Color: true}); err != nil {
		t.Fatal(err)
	}
	coloured := b.String()
	if !strings.Contains(coloured, "\x1b[") || strings.Contains(plainText, "\x1b[") {
		t.Error("colour is on exactly when it is asked for")
	}
	for strings.Contains(coloured, "\x1b[") {
		start := strings.Index(coloured, "\x1b[")
		end := start + strings.IndexByte(coloured[start:], 'm') + 1
		coloured = coloured[:start] + coloured[end:]
	}
	if diff := cmp.Diff(plainText, coloured); diff != "" {
		t.Errorf("colour moves the text (-plain +coloured):\n%s", diff)
	}
}
