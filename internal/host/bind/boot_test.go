package bind

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/sim/sysfsim"
)

// TestTheBootScript runs the real script under the real shell: it gives a card to
// vfio-pci when it is the one of the file, and otherwise nothing.
func TestTheBootScript(t *testing.T) {
	device := func(bdf string) string { return "sys/bus/pci/devices/" + bdf }
	card := func(t *testing.T) string {
		c := commonCard(t)
		c.Place = "3"
		return string(FormatCard(c))
	}
	for name, test := range map[string]struct {
		host func(sysfsim.Tree)
		file func(string) string
		args []string
		disk map[string]string // other files
		says string            // in the log; "" when the card is given
		sets bool              // the overrides, although the card is not given
	}{
		"the same card":            {},
		"the same card, from udev": {args: []string{two + ".1"}},
		"the same slot, by name":   {host: func(t sysfsim.Tree) { t.WriteFile("sys/bus/pci/slots/3/address", []byte("0000:01:00\n")) }},
		"vfio-pci has one already": {host: func(t sysfsim.Tree) {
			t.Symlink(device(two+".0")+"/driver", "../../../../bus/pci/drivers/vfio-pci")
			t.Mkdir("sys/bus/pci/drivers/vfio-pci/" + two + ".0")
		}},
		"another model":          {host: func(t sysfsim.Tree) { t.WriteFile(device(two+".0")+"/device", []byte("0x1b81\n")) }, says: "0000:01:00.0 is not the function that it was"},
		"another maker":          {host: func(t sysfsim.Tree) { t.WriteFile(device(two+".1")+"/subsystem_device", []byte("0x0001\n")) }, says: "0000:01:00.1 is not"},
		"a disk at its address":  {host: func(t sysfsim.Tree) { t.WriteFile(device(two+".0")+"/class", []byte("0x010802\n")) }, says: "0000:01:00.0 is not"},
		"no card at its address": {host: func(t sysfsim.Tree) { t.Remove(device(two + ".0")) }, says: "0000:01:00.0 is not"},
		"behind another bridge":  {file: func(s string) string { return strings.ReplaceAll(s, "0000:00:01.0/", "0000:00:09.0/") }, says: "is not the function that it was"},
		"in another slot":        {host: func(t sysfsim.Tree) { t.WriteFile("sys/bus/pci/slots/3/address", []byte("0000:09:00\n")) }, says: "no longer in slot 3"},
		"one more function": {host: func(t sysfsim.Tree) {
			t.Add(sysfsim.Function{BDF: two + ".2", Behind: "0000:00:01.0", ID: "10de:1ad6", Class: "0x0c0330", Group: 10})
		}, says: "it has other functions than it had"},
		"a driver was faster": {host: func(t sysfsim.Tree) {
			t.Symlink(device(two+".1")+"/driver", "../../../../bus/pci/drivers/snd_hda_intel")
		}, says: "a driver of the host has 0000:01:00.1 already"},
		"a file that is cut short": {file: func(s string) string { return strings.TrimSuffix(s, "end\n") }, says: "is not whole"},
		"a file with another line": {file: func(s string) string { return strings.Replace(s, "end\n", "run rm\nend\n", 1) }, says: "is damaged"},
		"a file of another format": {file: func(s string) string { return strings.Replace(s, "card 1\n", "card 2\n", 1) }, says: "is not whole"},
		"an empty file":            {file: func(string) string { return "" }, says: "is not whole"},
		"there is no vfio-pci":     {disk: map[string]string{"no-vfio": ""}, says: "0000:01:00 is not given to vfio-pci: that driver could not be loaded", sets: true},
		"vfio-pci does not take a function": {disk: map[string]string{"refuses": two + ".1\n"},
			says: "0000:01:00 is not given to vfio-pci: it did not take 0000:01:00.1, which has no driver now", sets: true},
		"another card, from udev": {args: []string{sysfsim.SameMake + ".0"}, says: "-"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := sysfsim.Common()
			for _, bdf := range []string{two + ".0", two + ".1"} {
				tree.Remove("sys/devices/pci0000:00/0000:00:01.0/" + bdf + "/driver")
			}
			tree.Mkdir("sys/bus/pci/slots")
			if test.host != nil {
				test.host(tree)
			}
			sysfsim.New(tree.Archive)
			file := card(t)
			if test.file != nil {
				file = test.file(file)
			}
			dir := t.TempDir()
			copyTree(t, tree, "sys", dir)
			write(t, filepath.Join(dir, cardsDir, two+".card"), file)
			for name, text := range test.disk {
				write(t, filepath.Join(dir, name), text)
			}
			log := runBoot(t, dir, string(seal(bootScript)), test.args...)
			given := test.says == ""
			if given && !strings.Contains(log, "0000:01:00 is given to vfio-pci: 0000:01:00.0 0000:01:00.1") || !given && test.says != "-" && !strings.Contains(log, test.says) || !given && strings.Contains(log, "is given to") {
				t.Errorf("it says %q", log)
			}
			for _, bdf := range []string{two + ".0", two + ".1", sysfsim.SameMake + ".0", "0000:05:00.0"} {
				text, err := os.ReadFile(filepath.Join(dir, device(bdf), "driver_override"))
				want := "(null)\n"
				if (given || test.sets) && strings.HasPrefix(bdf, two) {
					want = "vfio-pci\n"
				}
				if err == nil && string(text) != want {
					t.Errorf("the override of %s is %q, want %q", bdf, text, want)
				}
			}
		})
	}
}

func TestAStuckCardCanStillBePreparedForTheNextBoot(t *testing.T) {
	w := newTestHost(t, sysfsim.Common())
	w.sim.Use(two+".0", true) // by something that leaves no trace in /proc
	m := w.machine()
	m.Deadline = 1
	plan, err := m.PlanBind(t.Context(), pci.MustBDF(two+".0"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Apply(t.Context(), plan); err == nil || !strings.Contains(err.Error(), "--at-next-boot") {
		t.Fatalf("got %v", err)
	}
	w.checkLeftAlone(two)
	if _, err := w.machine().Assert(pci.MustBDF(two + ".0")); err == nil {
		t.Error("assert says nothing")
	}
	if err := w.bind(sysfsim.SameMake, Options{NoPersist: true}); err != nil {
		t.Errorf("another card cannot be bound meanwhile: %v", err)
	}
	if err := w.unbind(sysfsim.SameMake); err != nil {
		t.Error(err)
	}
	if err := w.bind(two, Options{AtNextBoot: true}); err != nil {
		t.Fatal(err)
	}
	w.checkJournal(two, "before the reboot")
	if n := w.sim.HungReads(); n > 0 {
		t.Errorf("%d reads would never have returned", n)
	}
	w.reboot()
	if missing, err := w.machine().Assert(pci.MustBDF(two + ".0")); err != nil || len(missing) > 0 {
		t.Errorf("after the reboot: %v, %v", missing, err)
	}
	if err := w.unbind(two); err != nil || w.state(two) != "free" {
		t.Errorf("and back: %v, %s", err, w.state(two))
	}
}

func TestUntilTheNextRebootOnly(t *testing.T) {
	w := newTestHost(t, sysfsim.Common())
	if err := w.bind(two, Options{NoPersist: true}); err != nil {
		t.Fatal(err)
	}
	if state := w.state(two); state != "bound" || len(w.initramfs) > 0 {
		t.Fatalf("%s, in the initramfs %v", state, w.initramfs)
	}
	w.reboot()
	if driver := w.sim.Driver(two + ".0"); driver != "nouveau" {
		t.Errorf("after the reboot it is on %q", driver)
	}
	if missing, err := w.machine().Assert(pci.MustBDF(two + ".0")); err != nil || len(missing) != 2 {
		t.Errorf("assert: %v, %v", missing, err)
	}
}
