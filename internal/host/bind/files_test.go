package bind

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/sim/sysfsim"
)

func commonCard(t testing.TB) Card {
	t.Helper()
	tree := sysfsim.Common()
	host, err := hostpci.Read(tree)
	if err != nil {
		t.Fatal(err)
	}
	card, _ := host.Card(pci.MustBDF(two + ".0").Slot)
	c := Fingerprint(tree, card)
	c.Place, c.Serial = "3", "48b02d000000abcd"
	return c
}

func commonJournal(t testing.TB) *Journal {
	t.Helper()
	c := commonCard(t)
	return &Journal{Card: c, Goal: Bound, Persist: true, Since: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), Doing: "write vfio-pci to /sys/x",
		Before: []Before{{BDF: c.Functions[0].BDF, Driver: "nouveau", Module: "nouveau"}, {BDF: c.Functions[1].BDF, Driver: "snd_hda_intel"}}}
}

func TestAJournalThatIsDamagedStopsEverything(t *testing.T) {
	whole := FormatJournal(commonJournal(t))
	if _, err := ParseJournal(whole); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"empty":              {},
		"noise":              {0x7f, 'E', 'L', 'F', 0, 1, 2, 255},
		"zeros":              make([]byte, 4096), // some file systems leave this after a power loss
		"half of it":         whole[:len(whole)/2],
		"twice":              append(bytes.Clone(whole), whole...),
		"one letter differs": bytes.Replace(whole, []byte("nouveau"), []byte("nouveaU"), 1),
		"another goal":       bytes.Replace(whole, []byte(`"bound"`), []byte(`"free"`), 1),
		"another program's":  []byte(`{"format":"something else"}`),
	} {
		t.Run(name, func(t *testing.T) {
			w := newTestHost(t, sysfsim.Common())
			if err := w.disk.WriteFile(journalDir+"/"+two+".json", data, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, verb := range []string{BindVerb, UnbindVerb} {
				var journal *JournalError
				if err := w.do(two, verb); !errors.As(err, &journal) || !strings.Contains(err.Error(), two+".json") {
					t.Errorf("%s: %v", verb, err)
				}
			}
			if _, err := w.machine().Assert(pci.MustBDF(two + ".0")); err == nil {
				t.Error("assert says nothing")
			}
			if len(w.sim.Writes()) > 0 {
				t.Errorf("it wrote %v", w.sim.Writes())
			}
			if err := w.bind(sysfsim.SameMake, Options{}); err != nil {
				t.Errorf("another card cannot be bound: %v", err)
			}
			if journals, odd := ReadJournals(w.disk); len(journals) != 1 || len(odd) != 1 {
				t.Errorf("journals %v, odd %v", journals, odd)
			}
		})
	}
}

func TestAJournalOfAnotherCardUnderThisName(t *testing.T) {
	w := newTestHost(t, sysfsim.Common())
	if err := w.disk.WriteFile(journalDir+"/"+sysfsim.SameMake+".json", FormatJournal(commonJournal(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.bind(sysfsim.SameMake, Options{}); err == nil || !strings.Contains(err.Error(), "it is of the card at 0000:01:00") {
		t.Errorf("got %v", err)
	}
}

func TestTheFileOfACard(t *testing.T) {
	card := commonCard(t)
	data := FormatCard(card)
	again, err := ParseCard(data)
	if err != nil || card.Differs(again) != "" {
		t.Errorf("it reads as %+v, %v", again, err)
	}
	for _, line := range []string{"place 3", "function 0000:01:00.1 0x10de 0x10f0 0x1458 0x3702 0x040300 pci0000:00/0000:00:01.0/0000:01:00.1", "end"} {
		if !strings.Contains(string(data), "\n"+line+"\n") {
			t.Errorf("no line %q in\n%s", line, data)
		}
	}
	if _, err := ParseCard(bytes.Replace(data, []byte("0x1b80"), []byte("0x1b81"), 1)); !errors.Is(err, errChanged) {
		t.Errorf("a changed one: %v", err)
	}
}

func TestDifferencesThatMakeAnotherCard(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Card)
		says   string
	}{
		"nothing":           {func(*Card) {}, ""},
		"another model":     {func(c *Card) { c.Functions[0].ID.Device++ }, "was 10de:1b80"},
		"another maker":     {func(c *Card) { c.Functions[1].Subsystem.Vendor++ }, "subsystem 1458:3702"},
		"another bridge":    {func(c *Card) { c.Functions[0].Path = "pci0000:00/0000:00:09.0/0000:01:00.0" }, "0000:00:09.0"},
		"more functions":    {func(c *Card) { c.Functions = append(c.Functions, c.Functions[0]) }, "had 2 functions and has 3"},
		"another serial":    {func(c *Card) { c.Serial = "48b02d000000ffff" }, "serial number"},
		"no serial to see":  {func(c *Card) { c.Serial = "" }, ""},
		"another slot":      {func(c *Card) { c.Place = "4" }, "slot 3 of the board"},
		"no name of a slot": {func(c *Card) { c.Place = "" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			now := commonCard(t)
			test.change(&now)
			if why := commonCard(t).Differs(now); (test.says == "") != (why == "") || !strings.Contains(why, test.says) {
				t.Errorf("it says %q", why)
			}
		})
	}
}

func TestTheSerialNumberIsFoundAmongTheCapabilities(t *testing.T) {
	config := make([]byte, 4096)
	copy(config[0x100:], []byte{0x01, 0x00, 0x01, 0x15}) // another capability, the next at 0x150
	copy(config[0x150:], []byte{0x03, 0x00, 0x01, 0x00, 0xcd, 0xab, 0, 0, 0x00, 0x2d, 0xb0, 0x48})
	if got := serial(config); got != "48b02d000000abcd" {
		t.Errorf("got %q", got)
	}
	copy(config[0x150:], []byte{0x01, 0x00, 0x01, 0x10}) // a circle
	for name, odd := range map[string][]byte{"a circle": config, "what only root sees is missing": config[:64], "cut short": config[:0x158], "nothing": nil} {
		if got := serial(odd); got != "" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func TestFilesAreReplacedWhole(t *testing.T) {
	dir := t.TempDir()
	disk, err := OpenDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	for _, text := range []string{"first", "second"} {
		if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o755); err != nil {
			t.Fatal(err)
		}
		// The temporary file of a run that was killed is overwritten.
		if err := os.WriteFile(filepath.Join(dir, "a/b/.c.new"), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := disk.WriteFile("a/b/c", []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		if data, err := disk.ReadFile("a/b/c"); err != nil || string(data) != text {
			t.Errorf("got %q, %v", data, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "a/b/c")); err != nil || info.Mode() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if names, _ := disk.ReadDir("a/b"); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
	if err := disk.Remove("a/b/c"); err != nil {
		t.Error(err)
	}
	if err := disk.Remove("a/b/c"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed twice: %v", err)
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteFile("out/gpuworker-test", nil, 0o600); err == nil {
		t.Error("it wrote outside its root")
	}
}

func TestTwoAtOnce(t *testing.T) {
	w := onDisk(t, sysfsim.Common())
	m := w.machine()
	first := true
	m.Say = func(string) {
		if first { // in the middle of the first step
			first = false
			other := w.machine()
			plan, err := other.PlanBind(t.Context(), pci.MustBDF(sysfsim.SameMake+".0"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := other.Apply(t.Context(), plan); !errors.Is(err, errBusy) {
				t.Errorf("the second one: %v", err)
			}
		}
	}
	plan, err := m.PlanBind(t.Context(), pci.MustBDF(two+".0"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Apply(t.Context(), plan); err != nil || w.state(two) != "bound" {
		t.Errorf("the first one: %v, %s", err, w.state(two))
	}
	if err := w.unbind(two); err != nil {
		t.Errorf("the lock was kept: %v", err)
	}
}

func TestAPlanIsNotDoneOnAnotherHostThanItWasMadeFor(t *testing.T) {
	w := newTestHost(t, sysfsim.Common())
	m := w.machine()
	plan, err := m.PlanBind(t.Context(), pci.MustBDF(two+".0"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.sim.Write(t.Context(), "sys/bus/pci/drivers/nouveau/unbind", []byte(two+".0")); err != nil {
		t.Fatal(err)
	}
	if err := m.Apply(t.Context(), plan); err == nil || !strings.Contains(err.Error(), "changed since the plan") {
		t.Errorf("got %v", err)
	}
}

func TestTheMechanismIsWhatIsInstalled(t *testing.T) {
	for name, test := range map[string]struct {
		files     []string
		mechanism string
		rebuild   string
		images    string
	}{
		"Debian": {[]string{"usr/sbin/update-initramfs", "boot/initrd.img-6.1.0-40-amd64", "lib/modules/6.1.0-40-amd64/x", "boot/initrd.img-5.10.0-old"},
			"initramfs-tools", "[update-initramfs -u -k all]", "/boot/initrd.img-6.1.0-40-amd64"},
		"Proxmox": {[]string{"usr/sbin/update-initramfs", "etc/kernel/proxmox-boot-uuids", "boot/initrd.img-6.14.8-2-pve", "usr/lib/modules/6.14.8-2-pve/x"},
			"initramfs-tools", "[update-initramfs -u -k all] [proxmox-boot-tool refresh]", "/boot/initrd.img-6.14.8-2-pve"},
		"Rocky": {[]string{"usr/bin/dracut", "boot/initramfs-5.14.0-503.el9.x86_64.img", "boot/initramfs-0-rescue-aa.img", "boot/initramfs-5.14.0-503.el9.x86_64kdump.img", "lib/modules/5.14.0-503.el9.x86_64/x"},
			"dracut", "[dracut -f --regenerate-all]", "/boot/initramfs-5.14.0-503.el9.x86_64.img"},
		"Debian with dracut": {[]string{"usr/bin/dracut", "boot/initrd.img-6.1.0-40-amd64", "lib/modules/6.1.0-40-amd64/x"},
			"dracut", "[dracut -f --regenerate-all]", "/boot/initrd.img-6.1.0-40-amd64"},
		"Debian 14, whose dracut has an update-initramfs": {[]string{"usr/bin/dracut", "usr/sbin/update-initramfs", "boot/initrd.img-6.18.1-amd64", "lib/modules/6.18.1-amd64/x"},
			"dracut", "[dracut -f --regenerate-all]", "/boot/initrd.img-6.18.1-amd64"},
		"Debian with dracut's core beside": {[]string{"usr/bin/dracut", "usr/sbin/update-initramfs", "usr/sbin/mkinitramfs", "boot/initrd.img-6.1.0-40-amd64", "lib/modules/6.1.0-40-amd64/x"},
			"initramfs-tools", "[update-initramfs -u -k all]", "/boot/initrd.img-6.1.0-40-amd64"},
		"something else": {nil, "udev", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			tree := hosttree.NewArchive()
			for _, file := range test.files {
				tree.WriteFile(file, nil)
			}
			m := FindMechanism(tree)
			var rebuild []string
			for _, argv := range m.Rebuild {
				rebuild = append(rebuild, "["+strings.Join(argv, " ")+"]")
			}
			if m.Name != test.mechanism || strings.Join(rebuild, " ") != test.rebuild || strings.Join(m.Images, " ") != test.images {
				t.Errorf("got %s, %v, %v", m.Name, rebuild, m.Images)
			}
			for _, f := range m.Shared {
				if _, err := unseal(f.Data); err != nil {
					t.Errorf("/%s has no valid seal: %v", f.Name, err)
				}
			}
		})
	}
}

// TestTheProgramThatBuildsTheInitramfsChanged: the hooks for the previous program are
// removed.
func TestTheProgramThatBuildsTheInitramfsChanged(t *testing.T) {
	hook := map[string]string{"update-initramfs": "etc/initramfs-tools/hooks/gpuworker-host", "dracut": "usr/lib/dracut/modules.d/90gpuworker-host/module-setup.sh"}
	for before, after := range map[string]string{"update-initramfs": "dracut", "dracut": "update-initramfs"} {
		for _, verb := range []string{BindVerb, UnbindVerb} {
			t.Run(before+" before, then "+verb, func(t *testing.T) {
				w := newTestHost(t, sysfsim.Common())
				w.installs(before)
				if err := w.bind(two, Options{}); err != nil {
					t.Fatal(err)
				}
				if err := w.bind(sysfsim.SameMake, Options{NoPersist: true}); err != nil {
					t.Fatal(err)
				}
				w.installs(after)
				if err := w.do(two, verb); err != nil {
					t.Fatal(err)
				}
				_, old := w.disk.ReadFile(hook[before])
				_, now := w.disk.ReadFile(hook[after])
				if !errors.Is(old, fs.ErrNotExist) || (now == nil) != (verb == BindVerb) {
					t.Errorf("the hook of %s: %v; that of %s: %v", before, old, after, now)
				}
				names, _ := w.disk.ReadDir("usr/lib/dracut/modules.d/90gpuworker-host")
				more, _ := w.disk.ReadDir("etc/initramfs-tools/scripts/init-top")
				if verb == UnbindVerb && len(names)+len(more) > 0 {
					t.Errorf("left behind: %v %v", names, more)
				}
			})
		}
	}
}

// installs makes this program the only one that builds the initramfs.
func (w *testHost) installs(program string) {
	tree := w.sim.Tree()
	for _, other := range []string{"update-initramfs", "dracut"} {
		tree.Remove("usr/sbin/" + other)
	}
	tree.WriteFile("usr/sbin/"+program, nil)
	if program == "dracut" {
		tree.WriteFile("boot/initramfs-6.12.1-amd64.img", nil)
	}
}

func TestANoteSaysThatNoInitramfsCanBeVerified(t *testing.T) {
	for _, image := range []bool{true, false} {
		w := newTestHost(t, sysfsim.Common())
		if !image {
			w.sim.Tree().Remove("boot/initrd.img-6.12.1-amd64")
		}
		p, err := w.machine().PlanBind(t.Context(), pci.MustBDF(two+".0"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if said := strings.Contains(strings.Join(p.Notes, "\n"), "it cannot be verified"); said == image {
			t.Errorf("there is an image: %v; notes %q", image, p.Notes)
		}
	}
}

func TestAChangedFileOfAnotherMechanismIsNamed(t *testing.T) {
	w := newTestHost(t, sysfsim.Common())
	if err := w.bind(two, Options{}); err != nil {
		t.Fatal(err)
	}
	const hook = "etc/initramfs-tools/hooks/gpuworker-host"
	if err := w.disk.WriteFile(hook, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.installs("dracut")
	if err := w.unbind(two); err == nil || !strings.Contains(err.Error(), "FOREIGN-FILE: /"+hook) {
		t.Errorf("unbind: %v", err)
	}
}

func TestAnImageWithoutTheCardIsAnError(t *testing.T) {
	for _, listing := range []string{"", "etc/gpuworker-host/cards/0000:01:00.card.bak\n", "etc/gpuworker-host/cards\n"} {
		if inImage(listing, "etc/gpuworker-host/cards/0000:01:00.card") {
			t.Errorf("it is not in %q", listing)
		}
	}
	for _, listing := range []string{".\n./etc/gpuworker-host/cards/0000:01:00.card\n", "-rw-r--r--   1 root     root          400 Nov  1 12:00 etc/gpuworker-host/cards/0000:01:00.card\n"} {
		if !inImage(listing, "etc/gpuworker-host/cards/0000:01:00.card") {
			t.Errorf("it is in %q", listing)
		}
	}
}

func FuzzJournal(f *testing.F) {
	f.Add(FormatJournal(commonJournal(f)))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		j, err := ParseJournal(data)
		if err == nil && !bytes.Equal(FormatJournal(j), data) {
			t.Errorf("%q was taken and is written as %q", data, FormatJournal(j))
		}
	})
}

func FuzzCard(f *testing.F) {
	f.Add(FormatCard(commonCard(f)))
	f.Add([]byte("gpuworker-host card 1\nend\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCard(data)
		if err == nil && !bytes.Equal(FormatCard(c), data) {
			t.Errorf("%q was taken and is written as %q", data, FormatCard(c))
		}
		if c, err := ParseCard(seal(string(data))); err == nil && !bytes.Equal(FormatCard(c), seal(string(data))) {
			t.Errorf("%q, sealed, was taken and is written as %q", data, FormatCard(c))
		}
	})
}
