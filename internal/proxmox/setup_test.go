package proxmox

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/pve"
)

// documented returns the backend of a Hypervisor document with the numbers 9100 to 9199.
func documented(change func(*v1alpha1.Proxmox)) *Backend {
	spec := v1alpha1.Proxmox{VMIDs: v1alpha1.VMIDRange{First: 9100, Last: 9199}}
	change(&spec)
	return New("lab", spec, nil)
}

func TestFindingsAboutTLSAndLogin(t *testing.T) {
	password := &v1alpha1.SecretSource{Env: "PASSWORD"}
	for _, s := range []struct {
		name   string
		change func(*v1alpha1.Proxmox)
		id     finding.ID
		want   finding.Verdict // "" for no such finding
	}{
		{"a certificate that is checked", func(*v1alpha1.Proxmox) {}, finding.TLSTrust, finding.Pass},
		{"a certificate that is not", func(p *v1alpha1.Proxmox) { p.TLS.Insecure = true }, finding.TLSTrust, finding.Info},
		{"attaching by mapping", func(p *v1alpha1.Proxmox) { p.Attach = v1alpha1.AttachMapping }, finding.RawNeedsRoot, ""},
		{"raw attaching by a token", func(p *v1alpha1.Proxmox) {
			p.Attach, p.Credentials.Token = v1alpha1.AttachRaw, &v1alpha1.SecretSource{Env: "TOKEN"}
		}, finding.RawNeedsRoot, finding.Fail},
		{"raw attaching by root with a token", func(p *v1alpha1.Proxmox) {
			p.Attach, p.Credentials.Username = v1alpha1.AttachRaw, "root@pam"
		}, finding.RawNeedsRoot, finding.Fail},
		{"raw attaching by another user with a password", func(p *v1alpha1.Proxmox) {
			p.Attach, p.Credentials.Username, p.Credentials.Password = v1alpha1.AttachRaw, "ops@pam", password
		}, finding.RawNeedsRoot, finding.Fail},
		{"raw attaching by root", func(p *v1alpha1.Proxmox) {
			p.Attach, p.Credentials.Username, p.Credentials.Password = v1alpha1.AttachRaw, "root@pam", password
		}, finding.RawNeedsRoot, ""},
	} {
		t.Run(s.name, func(t *testing.T) {
			var got finding.Verdict
			for _, f := range documented(s.change).setup(&inventory.Snapshot{}) {
				if f.ID != s.id {
					continue
				}
				got = f.Verdict
				if f.Where.Hypervisor != "lab" || f.Reason == "" || (f.Fix == "") != (f.Verdict == finding.Pass) {
					t.Errorf("%+v", f)
				}
			}
			if got != s.want {
				t.Errorf("%s is %q, want %q", s.id, got, s.want)
			}
		})
	}
}

func TestFreeNumbersAreCounted(t *testing.T) {
	vm := func(id string, fromRange bool) inventory.VM { return inventory.VM{ID: id, FromRange: fromRange} }
	two := func(p *v1alpha1.Proxmox) { p.VMIDs = v1alpha1.VMIDRange{First: 9100, Last: 9101} }
	for _, s := range []struct {
		name string
		vms  []inventory.VM
		want string
	}{
		{"no VM has one", []inventory.VM{vm("100", false)}, "pass: 2 VM numbers from 9100 to 9101 are free"},
		{"one is taken", []inventory.VM{vm("100", false), vm("9100", true)}, "pass: 1 VM numbers from 9100 to 9101 are free"},
		{"all are taken", []inventory.VM{vm("9100", true), vm("9101", true)}, "info: 0 VM numbers from 9100 to 9101 are free → widen spec.proxmox.vmids of the Hypervisor before the next worker is needed"},
	} {
		t.Run(s.name, func(t *testing.T) {
			findings := documented(two).setup(&inventory.Snapshot{VMs: s.vms})
			f := findings[slices.IndexFunc(findings, func(f finding.Finding) bool { return f.ID == finding.IDRangeFull })]
			got := strings.TrimSuffix(string(f.Verdict)+": "+f.Reason+" → "+f.Fix, " → ")
			if got != s.want {
				t.Errorf("%q, want %q", got, s.want)
			}
		})
	}
}

// A new VM gets the lowest number of the range that no VM and no claim has.
func TestFreeNumbers(t *testing.T) {
	taken := func(numbers ...int) []pve.Resource {
		var all []pve.Resource
		for _, n := range numbers {
			all = append(all, pve.Resource{VMID: n})
		}
		return all
	}
	claimed := func(ids ...string) []inventory.Claim {
		var all []inventory.Claim
		for _, id := range ids {
			all = append(all, inventory.Claim{Record: inventory.Record{VM: id}})
		}
		return all
	}
	for _, s := range []struct {
		name        string
		first, last int
		resources   []pve.Resource
		claims      []inventory.Claim
		most        int
		want        []string
	}{
		{"as many as are asked for", 9100, 9199, nil, nil, 2, []string{"9100", "9101"}},
		{"none is asked for", 9100, 9199, nil, nil, 0, nil},
		{"VMs and containers have some", 9100, 9103, taken(100, 9100, 9102), nil, 9, []string{"9101", "9103"}},
		{"claims promise some", 9100, 9103, nil, claimed("9101", "", "x"), 9, []string{"9100", "9102", "9103"}},
		{"the last of the range counts", 9100, 9101, taken(9100), nil, 9, []string{"9101"}},
		{"none is left", 9100, 9101, taken(9100), claimed("9101"), 9, nil},
		{"number 0 is never used", 0, 1, nil, nil, 9, []string{"1"}},
	} {
		t.Run(s.name, func(t *testing.T) {
			b := documented(func(p *v1alpha1.Proxmox) { p.VMIDs = v1alpha1.VMIDRange{First: s.first, Last: s.last} })
			if diff := cmp.Diff(s.want, b.freeIDs(s.resources, s.claims, s.most)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Each remedy has advice with the commands of Proxmox VE.
func TestEachRemedyHasAdviceForProxmox(t *testing.T) {
	remedies, err := inventorytest.Remedies("../inventory/advice.go")
	if err != nil {
		t.Fatal(err)
	}
	s := &inventory.Snapshot{Advice: advice}
	about := inventory.Subject{Host: "pve1", VM: "204", Name: "gpu-1", Key: "hostpci0", Storage: "local-lvm", Content: "iso,images", To: "pve2"}
	for _, remedy := range remedies {
		words := s.Advise(remedy, about)
		if advice[remedy] == "" || words == (&inventory.Snapshot{}).Advise(remedy, about) || strings.ContainsAny(words, "{}") {
			t.Errorf("%q says %q", remedy, words)
		}
	}
	for remedy := range advice {
		if !slices.Contains(remedies, remedy) {
			t.Errorf("%q is not a remedy any more", remedy)
		}
	}
	if got, want := s.Advise(inventory.TakeCardOut, about), "remove it from that VM: qm set 204 --delete hostpci0"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// On Proxmox a VM has a number. A record without one is damaged: its claim is not
// valid, and the card stays claimed.
func TestARecordWithoutANumberIsDamaged(t *testing.T) {
	for id, believed := range map[string]bool{"9101": true, "": false, "abc": false, "0": false, "007": false, "9101x": false, "99999999999999999999": false} {
		record := inventory.Record{Version: inventory.RecordVersion, WorkerKey: inventory.WorkerKey{Worker: "gpu-1", Pool: "gpu", KubeCluster: "rke2"}, VM: id, UUID: "6e0f-01"}
		note, ok := parseRecord(record.Line())
		if !ok || (note.Problem == "") != believed || (note.Record.VM == id) != believed && id != "" {
			t.Errorf("%q: %+v", id, note)
		}
	}
}
