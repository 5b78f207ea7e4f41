package check

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/shell"
)

func TestCommandLinesAreReadLikeTheKernelDoes(t *testing.T) {
	line := parseCmdline(`BOOT_IMAGE=/vmlinuz root=/dev/sda1 quiet intel_iommu=on,sm_on dyndbg="file drivers/* +p" vfio_pci.ids=10de:1eb8,10de:1aef -- iommu=off` + "\n")
	for _, want := range []string{"on", "sm_on"} {
		if !line.has("intel_iommu", want) {
			t.Errorf("intel_iommu has not %s: %v", want, line)
		}
	}
	if !line.has("vfio-pci.ids", "10de:1aef") {
		t.Error("dashes and underscores are the same to the kernel")
	}
	if line.has("dyndbg", "+p") || !line.has("dyndbg", "file drivers/* +p") {
		t.Errorf("spaces in quotes do not end a parameter: %v", line)
	}
	if off := line.switchesOff(); len(off) > 0 {
		t.Errorf("what follows -- is for init: %v", off)
	}
	if off := parseCmdline("quiet amd_iommu=off").switchesOff(); !slices.Equal(off, []string{"amd_iommu=off"}) {
		t.Errorf("%v", off)
	}
}

func TestGRUBsSettingsAreReadLikeAShellDoes(t *testing.T) {
	values := assignments(map[string]string{"GRUB_CMDLINE_LINUX": "a"}, `
# GRUB_CMDLINE_LINUX="comment"
GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX b ${GRUB_CMDLINE_LINUX}"
export GRUB_CMDLINE_LINUX_DEFAULT='quiet $HOME'
GRUB_TIMEOUT=5 # seconds
GRUB_CMDLINE_LINUX_DEFAULT+=" splash"
if [ -f x ]; then
`)
	want := map[string]string{"GRUB_CMDLINE_LINUX": "a b a", "GRUB_CMDLINE_LINUX_DEFAULT": "quiet $HOME splash", "GRUB_TIMEOUT": "5"}
	if diff := cmp.Diff(want, values); diff != "" {
		t.Error(diff)
	}
}

func TestModulesAreComparedWhole(t *testing.T) {
	loaded := loadedModules("vfio_pci_core 86016 0 - Live 0x0\nsnd_hda_intel 1 0 - Live 0x0\n")
	if loaded["vfio_pci"] || !loaded["vfio_pci_core"] {
		t.Errorf("%v", loaded)
	}
	files := moduleFiles("kernel/drivers/vfio/pci/vfio-pci.ko.zst: kernel/x/y.ko.zst\nkernel/drivers/vfio/vfio.ko\nno module\n")
	if diff := cmp.Diff(map[string]bool{"vfio_pci": true, "vfio": true}, files); diff != "" {
		t.Error(diff)
	}
}

func TestModprobeFilesAreReadWithContinuedLines(t *testing.T) {
	m := newModprobe()
	m.add("options vfio-pci \\\n  ids=10de:1eb8 disable_vga=1\nsoftdep nouveau pre: vfio-pci post: foo\nblacklist nvidia\ninstall nvidiafb /bin/false\n# blacklist radeon\ninstall sound modprobe x\n")
	if ids, _ := m.option("vfio_pci", "ids"); ids != "10de:1eb8" {
		t.Errorf("ids %q", ids)
	}
	if !slices.Equal(m.pre["nouveau"], []string{"vfio_pci"}) || !m.blacklist["nvidia"] || m.blacklist["radeon"] || !m.disabled["nvidiafb"] || m.disabled["sound"] {
		t.Errorf("%+v", m)
	}
}

func TestMemoryMapsShowTheUsersOfAWindow(t *testing.T) {
	regions, zeroed := parseIomem("c0000000-cfffffff : PCI Bus 0000:01\n  c0000000-cfffffff : 0000:01:00.0\n    c0000000-c07e8fff : BOOTFB\nbad line\nffff-1 : backwards\n")
	if zeroed || len(regions) != 3 || len(within(regions, 0xc0000000, 16)) != 3 || len(within(regions, 0xc8000000, 16)) != 2 || len(within(regions, 0xd0000000, 16)) != 0 {
		t.Errorf("%v %v", regions, zeroed)
	}
	if _, zeroed := parseIomem("00000000-00000000 : Reserved\n  00000000-00000000 : BOOTFB\n"); !zeroed {
		t.Error("without root all addresses are zero, which says nothing")
	}
}

func TestVMConfigurationsLeaveSnapshotsOut(t *testing.T) {
	values, waiting := parseVMConf("#hostpci5: 0000:05:00\nhostpci0: host=0000:01:00.0;0000:01:00.1,pcie=1\nmemory: current=4096\nnet0: a\nnet1: b\n[PENDING]\nhostpci1: mapping=t4\n[snap]\nhostpci2: 0000:02:00\n")
	vm := vmConf{values: values, waiting: waiting}
	devices := vm.devices()
	if len(devices) != 2 || len(devices[0].slots) != 2 || devices[1].name != "t4" || vm.memory() != 4<<30 || vm.nics() != 2 {
		t.Errorf("%+v, memory %d, %d nics", devices, vm.memory(), vm.nics())
	}
}

func TestStartTimesAreThoseOfProxmox(t *testing.T) {
	for memory, want := range map[string]int{"16384": 125, "32768": 133, "65536": 261, "131072": 517, "262144": 1029, "524288": 2053} {
		vm := vmConf{values: map[string]string{"memory": memory, "hostpci0": "mapping=t4", "net0": "virtio"}}
		if got := vm.startSeconds(); got != want {
			t.Errorf("%s MiB: %d s, want %d", memory, got, want)
		}
	}
}

func TestMappingsAreReadForEachHost(t *testing.T) {
	got := parseMappings("t4\n\tdescription map id=1\n\tmap id=10de:1eb8,iommugroup=14,node=pve1,path=0000:01:00.0;0000:01:00.1,subsystem-id=10de:12a2\n\tmap node=pve2,path=bad\n\nrtx\n\tmap id=10de:2204,node=pve2,path=0000:02:00\n")
	if len(got) != 3 || got[0].name != "t4" || got[0].group != "14" || got[2].name != "rtx" || got[2].node != "pve2" {
		t.Errorf("%+v", got)
	}
}

func TestInterruptsTellWhetherTheyAreRemapped(t *testing.T) {
	remapped, plain := interruptChips("           CPU0\n  0:  1  IR-IO-APIC   2-edge  timer\n 26:  4  PCI-MSI-0000:00:1f.2  0-edge  ahci\nNMI: 0 Non-maskable interrupts\n")
	if len(remapped) != 1 || len(plain) != 1 {
		t.Errorf("%v %v", remapped, plain)
	}
}

// corpus are pieces of the files that the parsers read.
func corpus(f *testing.F) {
	f.Helper()
	for _, seed := range []string{
		"quiet \"a b\" intel_iommu=on,sm_on -- x", "A=\"$A$A\"\nB='x'\nexport C+=y", "vfio_pci 1 0 - Live 0x0\n", "kernel/a/vfio-pci.ko.xz: b\n",
		"c0000000-cfffffff : PCI Bus 0000:01\n", "  0:  1  IR-IO-APIC   2-edge  timer\n", "MemTotal: 1 kB\n", "size 4 99\n", "address sizes : 46 bits physical\n",
		"Max locked memory 65536 65536 bytes\n", "hostpci0: host=01:00.0;02:00,pcie=1\n[PENDING]\nmemory: 1\n", "t4\n\tmap id=10de:1eb8,node=a,path=0000:01:00\n",
		"options vfio-pci ids=10de:1eb8\nsoftdep a pre: b\n", "0x0 0x1 direct\n", "\x00\xff\xfe", strings.Repeat("A=$A$A\n", 50),
	} {
		f.Add([]byte(seed))
	}
}

func FuzzCommandLine(f *testing.F) {
	corpus(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		line := parseCmdline(string(data))
		for _, p := range line {
			if p.key == "" || strings.ContainsAny(p.key, "\"=") {
				t.Fatalf("%q is not the name of a parameter", p.key)
			}
		}
		line.switchesOff()
		line.relevant()
	})
}

func FuzzShellSettings(f *testing.F) {
	corpus(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		for key, value := range assignments(map[string]string{"A": "x"}, string(data)) {
			if key == "" || len(value) > maxAssigned {
				t.Fatalf("%q has %d bytes", key, len(value))
			}
		}
	})
}

func FuzzModuleFiles(f *testing.F) {
	corpus(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		body := string(data)
		for _, names := range []map[string]bool{loadedModules(body), moduleFiles(body)} {
			for name := range names {
				if name == "" || strings.ContainsAny(name, "-\n") {
					t.Fatalf("%q is not a module", name)
				}
			}
		}
		listedModules(body)
		newModprobe().add(body)
	})
}

func FuzzProc(f *testing.F) {
	corpus(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		body := string(data)
		regions, _ := parseIomem(body)
		for _, r := range regions {
			if r.end < r.start || len(within(regions, r.start, 1)) == 0 {
				t.Fatalf("%+v", r)
			}
		}
		within(regions, ^uint64(0), 2)
		interruptChips(body)
		parseMeminfo(body)
		parseArcstats(body)
		directRegions(body)
		lockedLimit(body)
		if physicalBits(body) < 0 && !strings.Contains(body, "-") {
			t.Fatal("negative width")
		}
	})
}

func FuzzVMConfiguration(f *testing.F) {
	corpus(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		vm := vmConf{}
		vm.values, vm.waiting = parseVMConf(string(data))
		vm.devices()
		if vm.startSeconds() < 30 {
			t.Fatalf("%d s", vm.startSeconds())
		}
		for _, m := range parseMappings(string(data)) {
			if m.name == "" {
				t.Fatalf("%+v", m)
			}
		}
	})
}

func TestSuggestedCommandsAreQuotedForTheShell(t *testing.T) {
	rocky := boot{rocky: true}
	for option, want := range map[string]string{
		"intel_iommu=on iommu=pt":   `grubby --update-kernel=ALL --args='intel_iommu=on iommu=pt', then reboot`,
		"pci=$(touch /x) `y` \"; z": `grubby --update-kernel=ALL --args='pci=$(touch /x) ` + "`y` \"; z'" + `, then reboot`,
		"iommu=pt":                  `grubby --update-kernel=ALL --args=iommu=pt, then reboot`,
		"pci=\x1b[2J":               shell.Untypable + ", then reboot",
		"pci='; z":                  `grubby --update-kernel=ALL --args='pci='\''; z', then reboot`,
	} {
		if got := rocky.addOption(option); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
		if got := rocky.dropOption(option); got != strings.Replace(want, "--args", "--remove-args", 1) {
			t.Errorf("%s", got)
		}
	}
}
