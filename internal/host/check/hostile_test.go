package check

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/finding"
	hostcapture "github.com/gpuworker/gpuworker/internal/host/capture"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

const (
	t4Dir   = "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0"
	nvmeDir = "sys/devices/pci0000:00/0000:00:1d.0/0000:04:00.0"
)

// hostile are changes to a tree that no kernel makes, or only some kernels. never is
// the verdict that the T4 must not get then; "" when the T4 is not affected.
var hostile = []struct {
	name  string
	harm  func(*hosttree.Archive)
	never finding.Verdict
}{
	{"an attribute is a link out of the root", func(a *hosttree.Archive) {
		a.Remove(nvmeDir + "/class")
		a.Symlink(nvmeDir+"/class", "../../../../../../../../../etc/passwd")
	}, ""},
	{"the class of the card has a megabyte", func(a *hosttree.Archive) { a.WriteFile(t4Dir+"/class", bytes.Repeat([]byte("3"), 1<<20)) }, finding.Pass},
	{"the windows of the card are noise", func(a *hosttree.Archive) { a.WriteFile(t4Dir+"/resource", []byte("\x00\xff\x1b[2J")) }, finding.Pass},
	{"the power state of the card is a directory", func(a *hosttree.Archive) {
		a.Remove(t4Dir + "/power_state")
		a.Mkdir(t4Dir + "/power_state/x")
	}, finding.Pass},
	{"the group of another device is no link", func(a *hosttree.Archive) { a.WriteFile(nvmeDir+"/iommu_group", []byte("14\n")) }, finding.Pass},
	{"the driver of the card is no link", func(a *hosttree.Archive) { a.WriteFile(t4Dir+"/driver", []byte("vfio-pci\n")) }, finding.Pass},
	{"an unbind of the card hangs: its link is gone, and its override cannot be read", func(a *hosttree.Archive) {
		a.Remove(t4Dir + "/driver")
		a.Deny(t4Dir + "/driver_override")
	}, finding.Pass},
	{"the list of modules may not be read", func(a *hosttree.Archive) { a.Deny("proc/modules") }, finding.Pass},
	{"the memory map may not be read", func(a *hosttree.Archive) { a.Deny("proc/iomem") }, finding.Pass},
	{"the memory map hides its addresses", func(a *hosttree.Archive) {
		a.WriteFile("proc/iomem", []byte("00000000-00000000 : PCI Bus 0000:00\n  00000000-00000000 : BOOTFB\n"))
	}, finding.Pass},
	{"interrupts may not be read", func(a *hosttree.Archive) { a.Deny("proc/interrupts") }, finding.Pass},
	{"the list of IOMMUs may not be read", func(a *hosttree.Archive) {
		a.Remove("sys/class/iommu")
		a.Deny("sys/class/iommu")
	}, finding.Pass},
	{"the members of the group may not be read", func(a *hosttree.Archive) {
		a.Remove("sys/kernel/iommu_groups/14/devices")
		a.Deny("sys/kernel/iommu_groups/14/devices")
	}, finding.Pass},
	{"the group has a member that is not in the list of devices", func(a *hosttree.Archive) {
		a.Symlink("sys/kernel/iommu_groups/14/devices/0000:77:00.0", "../../../../devices/x")
	}, finding.Pass},
	{"the memory that the firmware keeps may not be read", func(a *hosttree.Archive) { a.Deny("sys/kernel/iommu_groups/14/reserved_regions") }, finding.Pass},
	{"the VMs may not be read", func(a *hosttree.Archive) {
		a.Remove("etc/pve/nodes")
		a.Deny("etc/pve/nodes/pve1/qemu-server")
	}, finding.Pass},
	{"the cluster file system of Proxmox is not mounted", func(a *hosttree.Archive) {
		a.Remove("etc/pve")
		a.Mkdir("etc/pve")
	}, finding.Pass},
	{"one VM may not be read", func(a *hosttree.Archive) { a.Deny("etc/pve/nodes/pve1/qemu-server/107.conf") }, finding.Pass},
	{"the command line may not be read", func(a *hosttree.Archive) { a.Deny("proc/cmdline") }, finding.Pass},
	{"the processes may not be read", func(a *hosttree.Archive) { a.Deny("proc/77/fd") }, finding.Pass},
	{"the configuration space may not be read", func(a *hosttree.Archive) { a.Deny(t4Dir + "/config") }, finding.Pass},
	{"the free memory may not be read", func(a *hosttree.Archive) { a.Deny("proc/meminfo") }, finding.Pass},
	{"the modules on disk are noise", func(a *hosttree.Archive) { a.WriteFile("lib/modules/6.14.8-2-pve/modules.dep", []byte("\xff\x00\xfe")) }, ""},
	{"the version of the kernel has lines", func(a *hosttree.Archive) { a.WriteFile("proc/sys/kernel/osrelease", []byte("6.14\n8\n")) }, ""},
	{"the driver of another device has lines in its name", func(a *hosttree.Archive) {
		a.Remove(nvmeDir + "/driver")
		a.Symlink(nvmeDir+"/driver", "../../../../bus/pci/drivers/a --\n-- b")
	}, ""},
	{"another device is empty", func(a *hosttree.Archive) {
		a.Mkdir("sys/devices/pci0000:00/0000:00:09.0")
		a.Symlink("sys/bus/pci/devices/0000:00:09.0", "../../../devices/pci0000:00/0000:00:09.0")
	}, ""},
	{"the list has names that are no address", func(a *hosttree.Archive) {
		a.Mkdir("sys/bus/pci/devices/…\x1b[31m")
		a.Mkdir("sys/bus/pci/devices/0000:01:00.9")
	}, ""},
}

func TestHostileTreesNeitherHideNorLie(t *testing.T) {
	for _, test := range hostile {
		t.Run(test.name, func(t *testing.T) {
			tree := base(t)
			test.harm(tree)
			r := Run(tree, Options{Cards: []pci.BDF{t4, rtx}})
			card, _ := cardOf(r, t4.Slot)
			if test.never != "" && card.Now == test.never {
				t.Errorf("the card is %s:\n%s", card.Now, tell(card.Findings))
			}
			if other, ok := cardOf(r, rtx.Slot); !ok || len(other.Findings) < 10 && len(other.NotEvaluated) == 0 {
				t.Errorf("the other card is hidden:\n%s", tell(other.Findings))
			}
			for _, f := range everything(r) {
				isClean(t, f)
			}
			captured, err := hostcapture.Capture(tree, hostcapture.Options{})
			if err != nil {
				t.Fatal(err)
			}
			again, err := hosttree.Parse(captured.Format())
			if err != nil {
				t.Fatal(err)
			}
			sameSaid(t, r, Run(again, Options{Cards: []pci.BDF{t4, rtx}}))
		})
	}
}

// isClean fails when the finding has control characters for a terminal.
func isClean(t *testing.T, f Finding) {
	t.Helper()
	texts := []string{f.Reason, f.Fix, f.Then}
	for _, e := range f.Evidence {
		texts = append(texts, e.File, e.Says)
	}
	for _, text := range texts {
		if strings.ContainsAny(text, "\x1b\x00\n") || len(text) > 2000 {
			t.Errorf("%s says %q", f.ID, text)
		}
	}
}

func TestWithoutPermissionNothingPassesUnseen(t *testing.T) {
	tree := hosttree.NewArchive()
	for _, name := range []string{"sys", "proc", "etc", "lib", "boot", "run", "var", "usr"} {
		tree.Deny(name)
	}
	r := Run(tree, Options{Cards: []pci.BDF{t4}})
	if r.Now == finding.Pass || r.Cards[0].Now == finding.Pass || r.System.Root {
		t.Errorf("now %s, the card %s:\n%s", r.Now, r.Cards[0].Now, tell(everything(r)))
	}
}

func TestAnEmptyTreeIsUnknown(t *testing.T) {
	r := Run(hosttree.NewArchive(), Options{Cards: []pci.BDF{t4}})
	if r.Now != finding.Unknown || r.Cards[0].Now != finding.Unknown {
		t.Errorf("now %s, the card %s:\n%s", r.Now, r.Cards[0].Now, tell(everything(r)))
	}
}

func TestACardThatIsNotThereIsGone(t *testing.T) {
	r := Run(base(t), Options{Cards: []pci.BDF{pci.MustBDF("0000:0b:00.0")}})
	if card := r.Cards[0]; card.Now != finding.Fail || len(card.Findings) != 1 || card.Findings[0].ID != finding.HostCardGone {
		t.Errorf("%s:\n%s", card.Now, tell(card.Findings))
	}
}

// many adds devices: each behind a port of its own, in sparse groups.
func many(a *hosttree.Archive, n int, address func(i int) string) {
	for i := range n {
		bdf := address(i)
		dir := "sys/devices/pci0000:00/0000:00:0a.0/" + bdf
		group := fmt.Sprint(100 + 1000*i)
		a.Symlink("sys/bus/pci/devices/"+bdf, "../../../devices/pci0000:00/0000:00:0a.0/"+bdf)
		for name, says := range map[string]string{
			"class": "0x030200", "vendor": "0x10de", "device": "0x1eb8", "subsystem_vendor": "0x10de", "subsystem_device": "0x12a2", "numa_node": "1",
			"power_state": "D0", "reset_method": "flr", "resource": strings.Repeat("0x0000000000000000 0x0000000000000000 0x0000000000000000\n", 6) + "0x00000000a0000000 0x00000000a0ffffff 0x0000000000040200",
		} {
			a.WriteFile(dir+"/"+name, []byte(says+"\n"))
		}
		a.WriteFile(dir+"/config", append([]byte{0xde, 0x10, 0xb8, 0x1e}, make([]byte, 252)...))
		a.Symlink(dir+"/iommu_group", "../../../../kernel/iommu_groups/"+group)
		a.Symlink(dir+"/driver", "../../../../bus/pci/drivers/vfio-pci")
		a.Symlink("sys/kernel/iommu_groups/"+group+"/devices/"+bdf, "../../../../devices/pci0000:00/0000:00:0a.0/"+bdf)
		a.WriteFile("sys/kernel/iommu_groups/"+group+"/type", []byte("DMA-FQ\n"))
		a.WriteFile("sys/kernel/iommu_groups/"+group+"/reserved_regions", []byte("0x00000000fee00000 0x00000000feefffff msi\n"))
	}
}

func TestDomainsOfFiveDigitsAndSparseGroupsAreCards(t *testing.T) {
	tree := base(t)
	many(tree, 40, func(i int) string { return fmt.Sprintf("10000:%02x:%02x.%d", i/8, i/8, i%8) })
	r := Run(tree, Options{})
	card, ok := cardOf(r, pci.MustBDF("10000:04:04.7").Slot)
	if len(r.Cards) != 7 || !ok || card.Group != 32100 {
		t.Errorf("%d cards, the last is in group %d", len(r.Cards), card.Group)
	}
}

func TestALiveTreeIsJudgedLikeACapturedOne(t *testing.T) {
	root := t.TempDir()
	device := filepath.Join(root, "sys/devices/pci0000:00/0000:01:00.0")
	for _, err := range []error{
		os.MkdirAll(device, 0o755), os.MkdirAll(filepath.Join(root, "sys/bus/pci/devices"), 0o755), os.MkdirAll(filepath.Join(root, "etc"), 0o755),
		os.WriteFile(filepath.Join(device, "class"), []byte("0x030200\n"), 0o600), os.WriteFile(filepath.Join(device, "vendor"), []byte("0x10de\n"), 0o600),
		os.WriteFile(filepath.Join(root, "etc/secret"), []byte("intel_iommu=off\n"), 0o600),
		os.Symlink("../../../devices/pci0000:00/0000:01:00.0", filepath.Join(root, "sys/bus/pci/devices/0000:01:00.0")),
		os.Symlink("/etc/hostname", filepath.Join(device, "resource")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tree, err := hosttree.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	r := Run(tree, Options{})
	if len(r.Cards) != 1 || r.Cards[0].BDF != t4 || r.Cards[0].Now == finding.Pass {
		t.Errorf("%+v", r.Cards)
	}
}

func BenchmarkRunOf64Devices(b *testing.B) {
	tree := base(b)
	many(tree, 64, func(i int) string { return fmt.Sprintf("0000:%02x:00.0", 0x20+i) })
	for b.Loop() {
		if r := Run(tree, Options{}); len(r.Cards) != 66 {
			b.Fatal(len(r.Cards))
		}
	}
}

// FuzzHost checks trees of any content: no card passes without an IOMMU, and no text
// has control characters for a terminal.
func FuzzHost(f *testing.F) {
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		_, parts, _ := strings.Cut(readTestdata(f, filepath.Base(name)), "\n-- ")
		f.Add([]byte("-- " + parts))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tree, err := hosttree.Parse(data)
		if err != nil {
			return
		}
		r := Run(tree, Options{Cards: []pci.BDF{t4}})
		units, _ := tree.ReadDir("sys/class/iommu")
		if card := r.Cards[0]; len(units) == 0 && card.Now == finding.Pass {
			t.Fatalf("%s passes without an IOMMU:\n%s", card.BDF, tell(everything(r)))
		}
		for _, f := range everything(r) {
			isClean(t, f)
		}
	})
}
