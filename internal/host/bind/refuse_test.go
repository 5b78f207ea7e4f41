package bind

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/sim/sysfsim"
)

const (
	two  = sysfsim.TwoFunctions
	four = sysfsim.FourFunctions
)

func TestWhatIsRefusedAndWhy(t *testing.T) {
	device := func(bdf string) string { return "sys/bus/pci/devices/" + bdf }
	for name, test := range map[string]struct {
		slot    string
		host    func(sysfsim.Tree)
		options Options
		id      string // of the reason; "" when it is not refused
		says    string
	}{
		"a card that is free to go": {slot: two},
		"no GPU":                    {slot: "0000:05:00", id: "NOT-A-GPU", says: "0000:05:00.0 is not a GPU"},
		"another device in the group": {slot: sysfsim.SharedGroup, id: "GROUP-SHARED",
			says: "IOMMU group 15 also contains 0000:07:02.0 (network controller on igb)"},
		"the same at the next boot": {slot: sysfsim.SharedGroup, options: Options{AtNextBoot: true}, id: "GROUP-SHARED"},
		"a VM that holds the group": {slot: two, host: func(t sysfsim.Tree) {
			t.Process(4711, "kvm", "/dev/null", "/dev/vfio/10")
			t.WriteFile("proc/4711/cmdline", []byte("/usr/bin/kvm\x00-id\x00101\x00"))
		}, id: "HELD", says: "VM 101 holds 0000:01:00"},
		"a VM that is about to start": {slot: two, host: func(t sysfsim.Tree) {
			t.WriteFile("run/qemu-server/pci-id-reservations", []byte("0000:01:00.0 102 time:1700000000\n"))
		}, id: "HELD", says: "VM 102"},
		"a VM, but at the next boot": {slot: two, options: Options{AtNextBoot: true}, host: func(t sysfsim.Tree) { t.Process(4711, "kvm", "/dev/vfio/10") }},
		"a program that plays sound through the card": {slot: two, host: func(t sysfsim.Tree) {
			t.Below(two+".1", "", "sound", "controlC1")
			t.Process(900, "pipewire", "/dev/snd/controlC1")
		}, id: "HELD", says: "process 900 (pipewire) has /dev/snd/controlC1 open"},
		"a VM that has the card by IOMMUFD": {slot: two, host: func(t sysfsim.Tree) {
			t.Below(two+".0", "", "vfio-dev", "vfio0")
			t.Process(4711, "qemu-system-x86", "/dev/vfio/devices/vfio0")
		}, id: "HELD", says: "/dev/vfio/devices/vfio0"},
		"a process that nobody may look into": {slot: two, host: func(t sysfsim.Tree) { t.Deny("proc/33/fd") }, id: "HOLDERS-UNKNOWN", says: "run it as root"},
		"a mounted disk on the card's USB": {slot: four, host: func(t sysfsim.Tree) {
			t.Below(four+".2", "usb3/3-1", "block", "sdb")
			t.WriteFile("sys/class/block/sdb/dev", []byte("8:16\n"))
			t.Mkdir("sys/class/block/sdb/holders")
			t.Mkdir("sys/class/block/sdb/holders/dm-0")
			t.WriteFile("proc/1/mountinfo", []byte("30 1 8:16 / /srv/backup rw - ext4 /dev/sdb rw\n"))
		}, id: "IN-USE-BELOW", says: "0000:02:00.2 has the disk sdb, mounted at /srv/backup, part of dm-0"},
		"a network interface on the card's USB": {slot: four, host: func(t sysfsim.Tree) {
			t.Below(four+".2", "usb3/3-2", "net", "enx0")
			t.WriteFile("sys/class/net/enx0/operstate", []byte("up\n"))
			t.Symlink("sys/class/net/enx0/master", "../vmbr0")
		}, id: "IN-USE-BELOW", says: "network interface enx0, which is up, in vmbr0"},
		"the only screen":          {slot: two, host: onlyScreen, id: "ONLY-CONSOLE", says: "--console-loss-ok"},
		"the only screen, allowed": {slot: two, host: onlyScreen, options: Options{ConsoleLossOK: true}},
		"the boot's screen of two": {slot: two, host: func(t sysfsim.Tree) { t.WriteFile(device(two+".0")+"/boot_vga", []byte("1\n")) }},
		"virtual functions":        {slot: two, host: func(t sysfsim.Tree) { t.WriteFile(device(two+".0")+"/sriov_numvfs", []byte("4\n")) }, id: "SRIOV", says: "4 virtual functions"},
		"a virtual function":       {slot: two, host: func(t sysfsim.Tree) { t.Symlink(device(two+".0")+"/physfn", "../0000:02:00.0") }, id: "VIRTUAL-FUNCTION"},
		"vGPU":                     {slot: two, host: func(t sysfsim.Tree) { t.Mkdir(device(two+".0") + "/mdev_supported_types") }, id: "VGPU"},
		"an NVSwitch": {slot: two, host: func(t sysfsim.Tree) {
			t.Add(sysfsim.Function{BDF: "0000:00:09.0", ID: "10de:22a3", Class: "0x068000", Group: 40})
		}, id: "NVSWITCH"},
		"a device off the bus":      {slot: two, host: func(t sysfsim.Tree) { t.WriteFile(device(two+".1")+"/config", []byte{255, 255, 255, 255}) }, id: "GONE"},
		"an attribute that is odd":  {slot: two, host: func(t sysfsim.Tree) { t.Deny(device(two+".1") + "/class") }, id: "UNREADABLE"},
		"an IOMMU that is off":      {slot: two, host: func(t sysfsim.Tree) { t.Remove("sys/class/iommu") }, id: "NO-IOMMU"},
		"it is off until next boot": {slot: two, host: func(t sysfsim.Tree) { t.Remove("sys/class/iommu") }, options: Options{AtNextBoot: true}},
	} {
		t.Run(name, func(t *testing.T) {
			tree := sysfsim.Common()
			if test.host != nil {
				test.host(tree)
			}
			w := newTestHost(t, tree)
			plan, err := w.machine().PlanBind(t.Context(), pci.MustBDF(test.slot+".0"), test.options)
			if err != nil {
				t.Fatal(err)
			}
			err = w.machine().Apply(t.Context(), plan)
			var refused *RefusedError
			switch {
			case test.id == "" && err != nil:
				t.Fatal(err)
			case test.id == "":
				return
			case !errors.As(err, &refused) || !slices.ContainsFunc(plan.Refused, func(r Reason) bool { return r.ID == test.id }) || !strings.Contains(err.Error(), test.says):
				t.Fatalf("want %s with %q, got %v", test.id, test.says, err)
			}
			if len(w.sim.Writes()) > 0 || w.effects > 0 {
				t.Errorf("it was refused, but there were %d effects: %v", w.effects, w.sim.Writes())
			}
		})
	}
}

func onlyScreen(t sysfsim.Tree) {
	t.WriteFile("sys/bus/pci/devices/"+two+".0/boot_vga", []byte("1\n"))
	for _, bdf := range []string{"0000:08:00.0", four + ".0", sysfsim.SameMake + ".0", sysfsim.SharedGroup + ".0"} {
		t.WriteFile("sys/bus/pci/devices/"+bdf+"/class", []byte("0x030200\n"))
	}
}

func TestACardOnTheNVIDIADriverIsTakenOnlyWhenNobodyHoldsIt(t *testing.T) {
	for name, test := range map[string]struct {
		host func(sysfsim.Tree)
		smi  string
		says string
	}{
		"nobody holds it":                 {smi: "Disabled"},
		"a program has it open":           {smi: "Disabled", host: func(t sysfsim.Tree) { t.Process(50, "python3", "/dev/nvidia3") }, says: "process 50 (python3) has /dev/nvidia3 open"},
		"a program has the other open":    {smi: "Disabled", host: func(t sysfsim.Tree) { t.Process(50, "python3", "/dev/nvidia0", "/dev/nvidiactl") }},
		"its device file is not known":    {smi: "Disabled", host: func(t sysfsim.Tree) { t.Remove("proc/driver/nvidia") }, says: "does not name the device file"},
		"it is the kernel's screen":       {smi: "Disabled", host: func(t sysfsim.Tree) { t.WriteFile("sys/module/nvidia_drm/parameters/modeset", []byte("Y\n")) }, says: "modeset=0"},
		"the persistence daemon is there": {smi: "Disabled", host: func(t sysfsim.Tree) { t.Process(51, "nvidia-persiste") }, says: "nvidia-persiste (process 51) is running"},
		"DCGM is there":                   {smi: "Disabled", host: func(t sysfsim.Tree) { t.Process(52, "nv-hostengine") }, says: "nv-hostengine"},
		"persistence mode is on":          {smi: "Enabled", says: "nvidia-smi -pm 0"},
		"nvidia-smi does not say":         {smi: "", says: "not known whether persistence mode is on"},
		"nvidia-smi hangs":                {smi: hung, says: "nvidia-smi gave no answer: it did not end within 20s and was killed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { takesFromNVIDIA(t, test.host, test.smi, test.says) })
		})
	}
}

func takesFromNVIDIA(t *testing.T, host func(sysfsim.Tree), smi, says string) {
	tree := sysfsim.Common()
	onNVIDIA(tree)
	if host != nil {
		host(tree)
	}
	w := newTestHost(t, tree)
	w.smi = smi
	err := w.bind(two, Options{})
	if says == "" {
		if err != nil || w.state(two) != "bound" {
			t.Errorf("got %v, %s", err, w.state(two))
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "--at-next-boot") || len(w.sim.Writes()) > 0 {
		t.Errorf("got %v", err)
	}
	if err := w.bind(two, Options{AtNextBoot: true}); err != nil || w.sim.Driver(two+".0") != "nvidia" {
		t.Fatalf("at the next boot: %v, on %q", err, w.sim.Driver(two+".0"))
	}
	w.reboot()
	if state := w.state(two); state != "bound" {
		t.Errorf("after the boot: %s", state)
	}
}

// onNVIDIA puts the first card on the NVIDIA driver.
func onNVIDIA(t sysfsim.Tree) {
	t.Mkdir("sys/bus/pci/drivers/nvidia")
	t.Symlink("sys/bus/pci/devices/"+two+".0/driver", "../../../../bus/pci/drivers/nvidia")
	t.WriteFile("proc/driver/nvidia/gpus/"+two+".0/information", []byte("Model: \t\t GeForce GTX 1080\nDevice Minor: \t 3\n"))
	t.WriteFile("proc/driver/nvidia/gpus/0000:0a:00.0/information", []byte("Device Minor: \t 0\n"))
}

func TestAProcessOpensTheCardBetweenPlanAndStep(t *testing.T) {
	w := newTestHost(t, sysfsim.Common())
	m := w.machine()
	m.Say = func(text string) {
		if strings.Contains(text, ".1/driver_override") { // the first function has moved
			w.sim.Tree().Symlink("proc/60/fd/3", "/dev/vfio/10")
		}
	}
	plan, err := m.PlanBind(t.Context(), pci.MustBDF(two+".0"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = m.Apply(t.Context(), plan)
	if err == nil || !strings.Contains(err.Error(), "process 60") || !strings.Contains(err.Error(), "the rollback failed too") {
		t.Errorf("got %v", err)
	}
	w.checkJournal(two, "after that")
	w.sim.Tree().Remove("proc/60")
	if err := w.unbind(two); err != nil || w.state(two) != "free" {
		t.Errorf("when the process has ended: %v, %s", err, w.state(two))
	}
}

func TestUnbindIsRefusedWhileAVMHasTheCard(t *testing.T) {
	w := newTestHost(t, sysfsim.Common())
	if err := w.bind(two, Options{}); err != nil {
		t.Fatal(err)
	}
	w.sim.Tree().Symlink("proc/60/fd/3", "/dev/vfio/10")
	var refused *RefusedError
	if err := w.unbind(two); !errors.As(err, &refused) || !strings.Contains(err.Error(), "/dev/vfio/10") {
		t.Errorf("got %v", err)
	}
	if state := w.state(two); state != "bound" {
		t.Error(state)
	}
	if err := w.bind(two, Options{}); err != nil {
		t.Errorf("bind, with nothing left to do, is refused: %v", err)
	}
}

func TestACardBoundByAnotherProgramIsNotUnbound(t *testing.T) {
	w := newTestHost(t, sysfsim.Common())
	if err := w.sim.Modprobe("vfio-pci"); err != nil {
		t.Fatal(err)
	}
	for _, write := range []sysfsim.Write{
		{Name: "sys/bus/pci/devices/" + two + ".0/driver_override", Data: "vfio-pci"},
		{Name: "sys/bus/pci/drivers/nouveau/unbind", Data: two + ".0"}, {Name: "sys/bus/pci/drivers/vfio-pci/bind", Data: two + ".0"},
	} {
		if err := w.sim.Write(t.Context(), write.Name, []byte(write.Data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.unbind(two); err == nil || !strings.Contains(err.Error(), "NOT-OURS") {
		t.Errorf("got %v", err)
	}
	if w.sim.Driver(two+".0") != VFIO {
		t.Error("the driver was taken away")
	}
}

func TestACardThatMoved(t *testing.T) {
	w := newTestHost(t, sysfsim.Common())
	if err := w.bind(two, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"subsystem_vendor"} { // the same model of another maker is another card
		w.sim.Tree().WriteFile("sys/bus/pci/devices/"+two+".0/"+name, []byte("0x1043\n"))
	}
	w.reboot()
	if driver := w.sim.Driver(two + ".0"); driver != "nouveau" {
		t.Fatalf("the boot gave another card to %q", driver)
	}
	if err := w.bind(two, Options{}); err == nil || !strings.Contains(err.Error(), "MOVED") {
		t.Errorf("bind: %v", err)
	}
	writes := len(w.sim.Writes())
	if err := w.unbind(two); err != nil || w.state(two) != "free" {
		t.Errorf("unbind: %v, %s", err, w.state(two))
	}
	if more := w.sim.Writes()[writes:]; len(more) > 0 {
		t.Errorf("unbind wrote to another card: %v", more)
	}
}

func TestAFileOfOursThatSomebodyChanged(t *testing.T) {
	for _, name := range []string{cardsDir + "/" + two + ".card", "etc/gpuworker-host/boot"} {
		w := newTestHost(t, sysfsim.Common())
		if err := w.bind(two, Options{}); err != nil {
			t.Fatal(err)
		}
		data, err := w.disk.ReadFile(name)
		if err := errors.Join(err, w.disk.WriteFile(name, []byte(strings.Replace(string(data), "vfio-pci", "vfio-xxx", 1)+"#\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
		if err := w.unbind(two); err == nil || !strings.Contains(err.Error(), "FOREIGN-FILE") || !strings.Contains(err.Error(), name) {
			t.Errorf("unbind: %v", err)
		}
		if driver := w.sim.Driver(two + ".0"); driver != VFIO {
			t.Errorf("it was unbound all the same, and is on %q", driver)
		}
	}
}

func TestTwoCardsShareTheFilesOfTheBoot(t *testing.T) {
	w := newTestHost(t, sysfsim.Common())
	for _, slot := range []string{two, sysfsim.SameMake} {
		w.before[slot+".0"], w.before[slot+".1"] = "nouveau", "snd_hda_intel"
		if err := w.bind(slot, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.unbind(two); err != nil {
		t.Fatal(err)
	}
	w.reboot()
	if w.sim.Driver(two+".0") != "nouveau" || w.sim.Driver(sysfsim.SameMake+".0") != VFIO {
		t.Errorf("after a reboot they are on %q and %q", w.sim.Driver(two+".0"), w.sim.Driver(sysfsim.SameMake+".0"))
	}
}

func TestADriverThatIsNoLongerOnTheHost(t *testing.T) {
	tree := sysfsim.Common()
	onNVIDIA(tree)
	w := newTestHost(t, tree)
	if err := w.bind(two, Options{AtNextBoot: true}); err != nil {
		t.Fatal(err)
	}
	w.sim.Forget("nvidia")
	w.sim.Tree().Remove("sys/bus/pci/drivers/nvidia")
	w.sim.Reboot(func() { w.boot(w.initramfs) })
	w.sim.Tree().Remove("sys/bus/pci/drivers/nvidia")
	if err := w.unbind(two); err != nil {
		t.Fatal(err)
	}
	if w.sim.Driver(two+".0") != "nouveau" || w.sim.Driver(two+".1") != "snd_hda_intel" {
		t.Errorf("they are on %q and %q", w.sim.Driver(two+".0"), w.sim.Driver(two+".1"))
	}
	if said := fmt.Sprint(w.said); !strings.Contains(said, "the kernel may choose another driver for 0000:01:00.0") {
		t.Errorf("it did not say so: %s", said)
	}
}
