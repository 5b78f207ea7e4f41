package pci

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// machine builds a host for tests.
type machine struct{ *hosttree.Archive }

func newMachine() machine {
	m := machine{hosttree.NewArchive()}
	m.Mkdir(devices)
	return m
}

// function adds a function below the given bridges, with these attributes.
func (m machine) function(bdf, above string, attributes ...string) machine {
	place := strings.TrimPrefix(above+"/"+bdf, "/")
	m.Mkdir("sys/devices/" + place)
	m.Symlink(devices+"/"+bdf, "../../../devices/"+place)
	m.set(bdf, attributes...)
	return m
}

// set writes attributes, "class 0x030000"; "driver -> nouveau" makes a link.
func (m machine) set(bdf string, attributes ...string) {
	for _, attribute := range attributes {
		if name, target, isLink := strings.Cut(attribute, " -> "); isLink {
			m.Symlink(devices+"/"+bdf+"/"+name, "../../../../"+target)
			continue
		}
		name, value, _ := strings.Cut(attribute, " ")
		m.WriteFile(devices+"/"+bdf+"/"+name, []byte(value+"\n"))
	}
}

// sameBDF compares addresses as values.
var sameBDF = cmpopts.EquateComparable(pci.BDF{})

const port = "pci0000:00/0000:00:01.0"

// turing is a host with a card of four functions behind a port.
func turing() machine {
	m := newMachine()
	m.function("0000:00:01.0", "pci0000:00", "class 0x060400", "vendor 0x8086", "device 0x1901", "iommu_group -> kernel/iommu_groups/1", "driver -> bus/pci/drivers/pcieport")
	m.Mkdir(devices + "/0000:00:01.0/pci_bus")
	for n, class := range []string{"0x030000", "0x040300", "0x0c0330", "0x0c8000"} {
		m.function(fmt.Sprintf("0000:01:00.%d", n), port, "class "+class, "vendor 0x10de", fmt.Sprintf("device 0x1e0%d", n),
			"iommu_group -> kernel/iommu_groups/1", "numa_node -1")
	}
	m.set("0000:01:00.0", "driver -> bus/pci/drivers/nouveau", "boot_vga 1", "driver_override (null)", "current_link_speed 8.0 GT/s PCIe",
		"current_link_width 8", "max_link_speed 16.0 GT/s PCIe", "max_link_width 16", "power_state D0", "reset_method bus", "d3cold_allowed 1",
		"resource 0x00000000f6000000 0x00000000f6ffffff 0x0000000000040200\n0x00000000e0000000 0x00000000efffffff 0x000000000014220c\n0x0000000000000000 0x0000000000000000 0x0000000000000000\n0x0000000000000000 0x0000000001ffffff 0x000000000014220c\n0x0000000000000000 0x0000000000000000 0x0000000000000000\n0x000000000000e000 0x000000000000e07f 0x0000000000040101")
	m.set("0000:01:00.1", "driver -> bus/pci/drivers/snd_hda_intel")
	m.WriteFile("usr/share/misc/pci.ids", []byte("# names\n10de  NVIDIA Corporation\n\t1e00  TU102 [GeForce RTX 2080 Ti]\n\t\t10de 1234  Founders\n\t1e01  TU102 High Definition Audio\n8086  Intel Corporation\n\t1901  PCIe Controller\nC 03  Display controller\n\t00  VGA\n"))
	m.Mkdir("sys/class/iommu/dmar0")
	m.WriteFile("sys/kernel/iommu_groups/1/type", []byte("DMA-FQ\n"))
	return m
}

func TestACardIsReadWithAllItsFunctions(t *testing.T) {
	h, err := Read(turing())
	if err != nil {
		t.Fatal(err)
	}
	cards := h.Cards()
	if len(cards) != 1 || len(cards[0].Functions) != 4 {
		t.Fatalf("%d cards: %+v", len(cards), cards)
	}
	want := &Function{
		Function: pci.Function{
			BDF: pci.MustBDF("0000:01:00.0"), ID: pci.MustID("10de:1e00"), Class: 0x030000, Group: 1,
			Vendor: "NVIDIA Corporation", Name: "TU102 [GeForce RTX 2080 Ti]",
		},
		Driver: "nouveau", Path: port + "/0000:01:00.0", NUMANode: -1, BootVGA: true,
		BARs: []BAR{
			{Index: 0, Start: 0xf6000000, Size: 16 << 20},
			{Index: 1, Start: 0xe0000000, Size: 256 << 20, Wide: true, Prefetch: true},
			{Index: 3, Size: 32 << 20, Wide: true, Prefetch: true, Unassigned: true},
			{Index: 5, Start: 0xe000, Size: 128, IOPorts: true},
		},
		Link:  Link{Speed: "8.0 GT/s PCIe", MaxSpeed: "16.0 GT/s PCIe", Width: 8, MaxWidth: 16},
		Power: Power{State: "D0", D3Cold: true}, ResetMethods: []string{"bus"}, CanReset: true,
	}
	if diff := cmp.Diff(want, cards[0].Main(), sameBDF); diff != "" {
		t.Error(diff)
	}
	if drivers := cards[0].Functions[1].Driver + cards[0].Functions[2].Driver; drivers != "snd_hda_intel" {
		t.Errorf("the other functions have %q", drivers)
	}
	if mates := h.Mates(cards[0]); len(mates) != 0 {
		t.Errorf("a bridge counts as a mate: %v", mates)
	}
	group := Group{Number: 1, Type: "DMA-FQ", Members: []pci.BDF{
		pci.MustBDF("0000:00:01.0"), pci.MustBDF("0000:01:00.0"), pci.MustBDF("0000:01:00.1"), pci.MustBDF("0000:01:00.2"), pci.MustBDF("0000:01:00.3"),
	}}
	if diff := cmp.Diff([]Group{group}, h.Groups, sameBDF); diff != "" {
		t.Error(diff)
	}
}

// TestASlotReadsAsItDoesInTheWholeHost compares the attributes that ReadSlot reads:
// those that do not access the device.
func TestASlotReadsAsItDoesInTheWholeHost(t *testing.T) {
	m := turing()
	m.set("0000:01:00.0", "driver_override vfio-pci")
	m.Deny(devices + "/0000:01:00.1/driver_override")
	m.function("0000:02:00.0", "pci0000:00/0000:00:02.0", "class 0x010802", "vendor 0x144d", "device 0xa80a")
	whole, err := Read(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"0000:01:00.0", "0000:02:00.0", "0000:09:00.0"} {
		slot := pci.MustBDF(address).Slot
		one, err := ReadSlot(m, slot)
		if err != nil {
			t.Fatal(err)
		}
		var want []Function
		for _, f := range whole.Slot(slot) {
			f.Function.Vendor, f.Function.Name = "", ""
			want = append(want, Function{Function: f.Function, Driver: f.Driver, Override: f.Override, Path: f.Path, NUMANode: -1, Unreadable: f.Unreadable})
		}
		if diff := cmp.Diff(want, one.Functions, sameBDF); diff != "" {
			t.Errorf("%s (-whole +alone):\n%s", slot, diff)
		}
	}
	if h, err := ReadSlot(hosttree.NewArchive(), pci.MustBDF("0000:01:00.0").Slot); err == nil {
		t.Errorf("without PCI: %+v", h)
	}
}

func TestAnotherDeviceInTheGroupIsAMate(t *testing.T) {
	m := turing()
	m.function("0000:02:00.0", "pci0000:00/0000:00:02.0", "class 0x010802", "vendor 0x144d", "device 0xa80a", "iommu_group -> kernel/iommu_groups/1")
	h, err := Read(m)
	if err != nil {
		t.Fatal(err)
	}
	if mates := h.Mates(h.Cards()[0]); len(mates) != 1 || mates[0].BDF != pci.MustBDF("0000:02:00.0") {
		t.Errorf("%v", mates)
	}
}

func TestAnUnreadableDeviceDoesNotHideTheOthers(t *testing.T) {
	m := turing()
	m.function("10000:e1:00.0", "pci10000:e0", "class \x00\x01\x02", "vendor "+strings.Repeat("x", 1<<20), "device 0xzz", "numa_node many",
		"resource 0x1 nonsense", "iommu_group -> kernel/iommu_groups/none")
	m.WriteFile(devices+"/10000:e1:00.0/config", []byte{0xff, 0xff, 0xff, 0xff, 0xff})
	m.Deny(devices + "/10000:e1:00.0/power_state")
	m.Mkdir(devices + "/not-an-address")
	m.Symlink(devices+"/0000:03:00.0", "../../../devices/gone")
	h, err := Read(m)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Cards()) != 1 || len(h.Odd) != 1 {
		t.Errorf("%d cards, odd: %v", len(h.Cards()), h.Odd)
	}
	odd := h.Function(pci.MustBDF("10000:e1:00.0"))
	if odd == nil || !odd.Gone || odd.Group != pci.NoGroup {
		t.Fatalf("%+v", odd)
	}
	for _, name := range []string{"class", "vendor", "device", "numa_node", "resource", "iommu_group", "power_state"} {
		if odd.Unreadable[name] == "" {
			t.Errorf("%s is not reported: %v", name, odd.Unreadable)
		}
	}
}

func TestAHostWithoutPCIIsAnError(t *testing.T) {
	if h, err := Read(hosttree.NewArchive()); err == nil {
		t.Errorf("%+v", h)
	}
}

func TestWhoHoldsACard(t *testing.T) {
	m := turing()
	m.function("0000:81:00.0", "pci0000:80/0000:80:01.0", "class 0x030200", "vendor 0x10de", "device 0x1eb8", "iommu_group -> kernel/iommu_groups/31")
	m.WriteFile("proc/4711/comm", []byte("kvm\n"))
	m.WriteFile("proc/4711/cmdline", []byte("/usr/bin/kvm\x00-id\x00204\x00-name\x00vdi\x00"))
	m.Symlink("proc/4711/fd/30", "/dev/vfio/31")
	m.WriteFile("proc/80/comm", []byte("Xorg\n"))
	m.Symlink("proc/80/fd/9", "/dev/dri/card0")
	m.Symlink("sys/class/drm/card0/device", "../../../0000:01:00.0")
	m.WriteFile("proc/85/comm", []byte("pipewire\n"))
	m.Symlink("proc/85/fd/3", "/dev/snd/controlC1")
	m.Symlink("proc/85/fd/4", "/dev/snd/controlC0")
	m.Symlink("proc/85/fd/5", "/dev/snd/timer")
	m.Symlink("sys/class/sound/controlC0", "../../devices/pci0000:00/0000:00:1f.3/sound/card0/controlC0")
	m.Symlink("sys/class/sound/controlC1", "../../devices/pci0000:00/0000:00:01.0/0000:01:00.1/sound/card1/controlC1")
	m.Symlink("sys/class/sound/timer", "../../devices/virtual/sound/timer")
	m.WriteFile("proc/86/comm", []byte("ddcutil\n"))
	m.Symlink("proc/86/fd/3", "/dev/i2c-4")
	m.Symlink("sys/class/i2c-dev/i2c-4", "../../devices/pci0000:00/0000:00:01.0/0000:01:00.0/i2c-4/i2c-dev/i2c-4")
	m.WriteFile("proc/90/comm", []byte("python3\n"))
	m.Symlink("proc/90/fd/4", "/dev/nvidia0")
	m.WriteFile("proc/driver/nvidia/gpus/0000:01:00.0/information", []byte("Model: \t\t NVIDIA\nDevice Minor: \t 0\n"))
	m.Deny("proc/1/fd")
	m.WriteFile(Reservations, []byte("0000:81:00.0 204 pid:4711\nnonsense\n0000:81:00.0 301 time:1700000000\n"))
	h, err := Read(m)
	if err != nil {
		t.Fatal(err)
	}
	got := ReadHolders(m, h)
	want := map[pci.Slot][]Holder{
		pci.MustBDF("0000:00:1f.3").Slot: {{PID: 85, Name: "pipewire", By: "/dev/snd/controlC0"}}, // of the board
		pci.MustBDF("0000:01:00.0").Slot: {{PID: 80, Name: "Xorg", By: "/dev/dri/card0"}, {PID: 85, Name: "pipewire", By: "/dev/snd/controlC1"}, {PID: 86, Name: "ddcutil", By: "/dev/i2c-4"}, {PID: 90, Name: "python3", By: "/dev/nvidia0"}},
		pci.MustBDF("0000:81:00.0").Slot: {
			{PID: 4711, Name: "kvm", VMID: 204, By: "/dev/vfio/31"},
			{PID: 4711, VMID: 204, By: "/" + Reservations}, {VMID: 301, By: "/" + Reservations},
		},
	}
	if diff := cmp.Diff(want, got.BySlot); diff != "" || got.Unseen != 1 {
		t.Errorf("%d unseen\n%s", got.Unseen, diff)
	}
}

func FuzzResource(f *testing.F) {
	f.Add("0x00000000f6000000 0x00000000f6ffffff 0x0000000000040200\n")
	f.Fuzz(func(t *testing.T, text string) {
		bars, _ := parseResource(text)
		if len(bars) > maxBARs {
			t.Errorf("%d windows", len(bars))
		}
	})
}

func FuzzNames(f *testing.F) {
	f.Add("10de  NVIDIA Corporation\n\t1eb8  TU104GL [Tesla T4]\n")
	functions := []Function{{Function: pci.Function{ID: pci.MustID("10de:1eb8")}}}
	f.Fuzz(func(_ *testing.T, text string) { parseNames([]byte(text), functions) })
}
