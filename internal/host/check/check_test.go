package check

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gpuworker/gpuworker/internal/finding"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

func TestAHealthyHostPasses(t *testing.T) {
	r := Run(base(t), Options{})
	if r.Now != finding.Pass || r.AfterReboot != finding.Pass || len(r.Cards) != 2 {
		t.Errorf("now %s, after the reboot %s, %d cards:\n%s", r.Now, r.AfterReboot, len(r.Cards), tell(notable(r)))
	}
	for _, c := range r.Cards {
		if c.Now != finding.Pass || c.AfterReboot != finding.Pass || len(c.NotEvaluated) > 0 {
			t.Errorf("%s: now %s, after the reboot %s, not evaluated: %v\n%s", c.BDF, c.Now, c.AfterReboot, c.NotEvaluated, tell(c.Findings))
		}
	}
	for _, f := range everything(r) {
		if f.Verdict == finding.Fail || f.Verdict == finding.Unknown {
			t.Errorf("a healthy host has\n%s", tell([]Finding{f}))
		}
	}
}

func TestEachConditionIsFound(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			r := Run(f.tree, Options{})
			if len(f.expects) == 0 {
				t.Fatal("the fixture expects nothing")
			}
			for _, got := range notable(r) {
				alarming := worst(got.Verdict, got.AfterReboot) != finding.Pass
				if e := (expectation{got.ID, got.Verdict, got.AfterReboot, got.Where.Card.String()}); alarming && !slices.Contains(f.expects, e) {
					t.Errorf("unexpected finding:\n%s", tell([]Finding{got}))
				}
			}
			for _, want := range f.expects {
				if !slices.ContainsFunc(everything(r), func(g Finding) bool {
					return g.ID == want.id && g.Verdict == want.now && g.AfterReboot == want.after && g.Where.Card.String() == want.card
				}) {
					t.Errorf("want %+v, found:\n%s", want, tell(everything(r)))
				}
			}
		})
	}
}

// TestEachConditionHasAFixture ensures that conditions, pages and fixtures match.
func TestEachConditionHasAFixture(t *testing.T) {
	expected := map[finding.ID]bool{}
	numbers := map[string]bool{}
	for _, f := range fixtures(t) {
		numbers[f.name[:2]] = true
		for _, e := range f.expects {
			if e.now != finding.Pass {
				expected[e.id] = true
			}
		}
	}
	const conditions = 34
	for n := 1; n <= conditions; n++ {
		if number := fmt.Sprintf("%02d", n); !numbers[number] {
			t.Errorf("condition %s has no fixture", number)
		}
	}
	for _, page := range finding.OfHost() {
		if !expected[page.ID] {
			t.Errorf("no fixture shows %s", page.ID)
		}
		delete(expected, page.ID)
	}
	for id := range expected {
		t.Errorf("a fixture expects %s, which has no page", id)
	}
}

func TestEachFindingIsComplete(t *testing.T) {
	for _, f := range fixtures(t) {
		for _, g := range everything(Run(f.tree, Options{})) {
			isClean(t, g)
			page, ok := finding.Explain(g.ID)
			alarming := worst(g.Verdict, g.AfterReboot) == finding.Fail
			switch {
			case !ok || page.Layer != g.Layer || !slices.Contains(layers, g.Layer):
				t.Errorf("%s: %s has layer %q", f.name, g.ID, g.Layer)
			case g.Reason == "" || strings.HasSuffix(g.Reason, ".") || strings.Contains(g.Reason, "%!"):
				t.Errorf("%s: %s has no good reason: %q", f.name, g.ID, g.Reason)
			case alarming && (g.Fix == "" || len(g.Evidence) == 0):
				t.Errorf("%s: %s has no fix or no evidence:\n%s", f.name, g.ID, tell([]Finding{g}))
			}
		}
	}
}

func TestLayersAboveAFailureAreNotEvaluated(t *testing.T) {
	r := Run(load(t, "02-iommu-off-in-kernel.txt").tree, Options{})
	if !slices.Equal(r.NotEvaluated, []finding.Layer{finding.LayerModules, finding.LayerGroup, finding.LayerIdentity}) {
		t.Errorf("of the host: %v", r.NotEvaluated)
	}
	card := r.Cards[0]
	if len(card.Findings) != 0 || len(card.NotEvaluated) != 7 || card.Now != finding.Fail || card.AfterReboot != finding.Fail {
		t.Errorf("of the card: %+v", card)
	}
	r = Run(load(t, "10-boot-disk-in-the-group.txt").tree, Options{})
	card = r.Cards[0]
	if r.Now != finding.Pass || card.Now != finding.Fail || !slices.Contains(card.NotEvaluated, finding.LayerOwner) || r.Cards[1].Now != finding.Pass {
		t.Errorf("host %s, card %s without %v, other card %s", r.Now, card.Now, card.NotEvaluated, r.Cards[1].Now)
	}
}

func TestSkippedLayersAreUnknownAfterAReboot(t *testing.T) {
	r := Run(load(t, "02b-iommu-comes-with-the-reboot.txt").tree, Options{})
	if r.Now != finding.Fail || r.AfterReboot != finding.Unknown || r.Cards[0].AfterReboot != finding.Unknown {
		t.Errorf("now %s, after the reboot %s, the card %s", r.Now, r.AfterReboot, r.Cards[0].AfterReboot)
	}
}

// TestFixesAreThoseOfTheBootLoader checks the same fault on hosts with different boot
// loaders.
func TestFixesAreThoseOfTheBootLoader(t *testing.T) {
	grub := func(a *hosttree.Archive) {
		a.WriteFile("proc/cmdline", []byte("BOOT_IMAGE=/boot/vmlinuz-6.1 root=/dev/sda1 intel_iommu=off\n"))
		a.WriteFile("etc/default/grub", []byte("GRUB_CMDLINE_LINUX_DEFAULT=\"quiet intel_iommu=off\"\n"))
		a.Remove("etc/kernel/cmdline")
	}
	for _, test := range []struct {
		name string
		make func(*hosttree.Archive)
		want string
	}{
		{"Proxmox with systemd-boot", func(*hosttree.Archive) {}, "in /etc/kernel/cmdline remove intel_iommu=off, then run proxmox-boot-tool refresh"},
		{"Proxmox with GRUB on partitions of proxmox-boot-tool", grub, "in /etc/default/grub remove intel_iommu=off from GRUB_CMDLINE_LINUX_DEFAULT and GRUB_CMDLINE_LINUX, then run proxmox-boot-tool refresh"},
		{"Debian with GRUB", func(a *hosttree.Archive) { grub(a); a.Remove("etc/kernel/proxmox-boot-uuids") }, "then run update-grub and reboot"},
		{"Rocky", func(a *hosttree.Archive) {
			grub(a)
			a.Remove("etc/kernel/proxmox-boot-uuids")
			a.WriteFile("etc/os-release", []byte("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"))
		}, `grubby --update-kernel=ALL --remove-args=intel_iommu=off, then reboot`},
		{"started by something else", func(a *hosttree.Archive) {
			a.WriteFile("proc/cmdline", []byte("root=/dev/sda1 intel_iommu=off\n"))
			a.Remove("etc/kernel")
			a.Remove("etc/default")
		}, "in the configuration of this host's boot loader"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree := load(t, "02-iommu-off-in-kernel.txt").tree
			test.make(tree)
			for _, f := range Run(tree, Options{}).Findings {
				if f.ID == finding.HostIOMMUOffKernel && !strings.Contains(f.Fix, test.want) {
					t.Errorf("%s, want %s", f.Fix, test.want)
				}
			}
		})
	}
}

func TestARunningKernelsLogIsEvidence(t *testing.T) {
	log := []byte("<6>[ 1.0] vfio-pci 0000:01:00.0: not ready 65535ms after bus reset; giving up\n")
	card, _ := cardOf(Run(base(t), Options{KernelLog: log}), t4.Slot)
	if card.Now != finding.Fail {
		t.Errorf("%s:\n%s", card.Now, tell(card.Findings))
	}
}

func TestAReportSurvivesJSON(t *testing.T) {
	for _, f := range fixtures(t) {
		r := Run(f.tree, Options{Tool: "v1"})
		data, err := json.Marshal(r)
		var again Report
		if err == nil {
			err = json.Unmarshal(data, &again)
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, &again, cmp.AllowUnexported(pci.BDF{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", f.name, diff)
		}
	}
}

// cardOf finds a card by the address of any of its functions.
func cardOf(r *Report, slot pci.Slot) (card Card, ok bool) {
	i := slices.IndexFunc(r.Cards, func(c Card) bool { return c.BDF.Slot == slot })
	if i < 0 {
		return Card{}, false
	}
	return r.Cards[i], true
}
