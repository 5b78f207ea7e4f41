package driver

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/golden"
	"github.com/gpuworker/gpuworker/internal/pci"
)

var (
	t4      = pci.MustID("10de:1eb8")
	v100    = pci.MustID("10de:1db4")
	h200    = pci.MustID("10de:2335")
	pro6000 = pci.MustID("10de:2bb5")
	b300    = pci.MustID("10de:3182")
	strange = pci.MustID("10de:ffff")
)

func impossible(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return p.Kind == Impossible })
}

func TestTheCardDecidesWhatTheDocumentLeavesOpen(t *testing.T) {
	packages := Request{Strategy: Packages, OS: Ubuntu2404}
	rocky := Request{Strategy: Packages, OS: Rocky9, Version: "580.95.05", Repository: "https://x"}
	baked := Request{Strategy: Preinstalled, Branch: "580"}
	for _, test := range []struct {
		name    string
		request Request
		gpu     pci.ID
		want    Order
	}{
		{"T4", packages, t4, Order{Strategy: Packages, Branch: "580", Open: true}},
		{"V100", packages, v100, Order{Strategy: Packages, Branch: "580"}},
		{"Blackwell", packages, pro6000, Order{Strategy: Packages, Branch: "580", Open: true}},
		{"a card that is not in the table", packages, strange, Order{Strategy: Packages, Branch: "580", Open: true}},
		{"a card that is not known yet", packages, pci.ID{}, Order{Strategy: Packages, Branch: "580", Open: true}},
		{"a single card of an SXM board", packages, h200, Order{Strategy: Packages, Branch: "580", Open: true, NoNVLink: true}},
		{"T4 on Rocky", rocky, t4, Order{Strategy: Packages, Branch: "580", Version: "580.95.05", Repository: "https://x"}},
		{"Blackwell on Rocky", rocky, pro6000, Order{Strategy: Packages, Branch: "580", Version: "580.95.05", Repository: "https://x", Open: true}},
		{"T4, in the template either kind is right", baked, t4, Order{Strategy: Preinstalled, Branch: "580", Open: true, AnyModules: true}},
		{"V100, in the template only one kind is right", baked, v100, Order{Strategy: Preinstalled, Branch: "580"}},
		{"what the document says stays", Request{Strategy: Preinstalled, Branch: "580", Modules: Proprietary, NVLink: On}, h200, Order{Strategy: Preinstalled, Branch: "580"}},
		{"the GPU Operator's driver is not gpuworker's", Request{Strategy: Operator}, h200, Order{Strategy: Operator, Open: true, AnyModules: true}},
		{"no driver", Request{}, t4, Order{Strategy: None}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.request.Order(test.gpu)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The defaults are right for each card, and the packages have names.
func TestTheDefaultDriverWorksWithEachCardOnUbuntu(t *testing.T) {
	for id, gpu := range table() {
		for _, os := range []OS{Ubuntu2204, Ubuntu2404, Ubuntu2604} {
			r := Request{Strategy: Packages, OS: os}
			if problems := r.Check(id); impossible(problems) {
				t.Errorf("%s on %s: %v", gpu, os, problems)
			}
			in, err := PackagesFor(r.Order(id), os, "6.8.0-45-generic")
			open := slices.Contains(in.Packages, "linux-modules-nvidia-580-server-open-6.8.0-45-generic")
			if older := gpu.Architecture == Maxwell || gpu.Architecture == Pascal || gpu.Architecture == Volta; err != nil || open == older {
				t.Errorf("%s on %s: open modules: %t; %v", gpu, os, open, err)
			}
		}
	}
}

// An order that a check passes can be carried out, and one that it refuses cannot.
func TestPackagesExistForWhatPasses(t *testing.T) {
	kernels := map[family]string{ubuntu: "6.8.0-45-generic", debian: "6.1.0-40-amd64", rhel: "5.14.0-611.24.1.el9_7.x86_64"}
	passed, refused := 0, 0
	for _, os := range append(slices.Clone(Systems), "") {
		for _, b := range branches {
			for _, o := range []Order{{}, {Open: true}, {Version: fmt.Sprintf("%d.10.01", b.Number), Repository: "https://x"}} {
				o.Strategy, o.Branch = Packages, fmt.Sprint(b.Number)
				_, err := PackagesFor(o, os, kernels[os.family()])
				if no := impossible(CheckGuest(o, os)); no != (err != nil) {
					t.Errorf("%+v on %q: refused %t, but packages: %v", o, os, no, err)
				} else if no {
					refused++
				} else {
					passed++
				}
			}
		}
	}
	if passed < 30 || refused < 100 {
		t.Errorf("%d orders passed and %d were refused, so this proves little", passed, refused)
	}
}

func TestWhatIsNotKnownNeverPasses(t *testing.T) {
	for _, strategy := range []Strategy{Preinstalled, Packages, Operator, Ansible} {
		for name, o := range map[string]Order{
			"a card that is not in the table":   {Strategy: strategy, Branch: "580", Open: true},
			"a branch that is not in the table": {Strategy: strategy, Branch: "999", Open: true},
		} {
			gpu := strange
			if o.Branch == "999" {
				gpu = t4
			}
			problems := Check(o, gpu, Ubuntu2404)
			if len(problems) == 0 || problems[0].Kind != Unknown || impossible(problems) {
				t.Errorf("%s, %s: %v", strategy, name, problems)
			}
		}
	}
	if problems := Check(Order{Strategy: None}, strange, ""); len(problems) > 0 {
		t.Errorf("without a driver there is nothing to know: %v", problems)
	}
}

func TestWrongDriversOfACard(t *testing.T) {
	for _, test := range []struct {
		name  string
		order Order
		gpu   pci.ID
		field string // "" passes
		words string
	}{
		{"open modules on Volta", Order{Open: true}, v100, FieldModules, "need Turing or newer"},
		{"proprietary modules on Volta", Order{}, v100, "", ""},
		{"the last branch of Volta", Order{Branch: "580"}, v100, "", ""},
		{"a branch after it", Order{Branch: "595"}, v100, FieldBranch, "R580 is the last branch for Volta"},
		{"by version", Order{Version: "595.71.05"}, v100, FieldBranch, "R580 is the last branch for Volta"},
		{"both kinds on Turing", Order{}, t4, "", ""},
		{"proprietary modules on Blackwell", Order{}, pro6000, FieldModules, "has only the open ones"},
		{"before Blackwell", Order{Branch: "565", Open: true}, pro6000, FieldBranch, "R570 is the first branch"},
		{"the first of Blackwell", Order{Branch: "570", Open: true}, pro6000, "", ""},
		{"before B300", Order{Branch: "570", Open: true, NoNVLink: true}, b300, FieldBranch, "R580 is the first branch"},
		{"an SXM module with NVLink", Order{Open: true}, h200, FieldNVLink, "NVreg_NvLinkDisable=1"},
		{"an SXM module without", Order{Open: true, NoNVLink: true}, h200, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.order.Strategy = Preinstalled
			problems := CheckGPU(test.order, test.gpu)
			if test.field == "" && len(problems) == 0 {
				return
			}
			if len(problems) != 1 || problems[0].Field != test.field || !strings.Contains(problems[0].String(), test.words) {
				t.Errorf("want %s with %q, got %v", test.field, test.words, problems)
			}
		})
	}
}

func TestModelsAreFoundByTheirNames(t *testing.T) {
	for name, want := range map[string]int{"Tesla T4": 1, "t4": 1, "NVIDIA L4": 1, "A100 PCIe 80GB": 1, "RTX 3090": 1, "10de:1eb8": 1, "H100": 1, "": 0, "T40": 0, "GeForce RTX 7090": 0, "A100 PCIe 40GB": 2} {
		if got := ByModel(name); len(got) != want {
			t.Errorf("%q: %v, want %d", name, got, want)
		}
	}
}

func TestReleasesOfGuests(t *testing.T) {
	for _, test := range []struct {
		id, version string
		want        OS
		text        string
	}{
		{"ubuntu", "24.04", Ubuntu2404, "Ubuntu 24.04"}, {"ubuntu", "24.10", "", ""}, {"ubuntu", "24", "", ""},
		{"debian", "12", Debian12, "Debian 12"}, {"debian", "13", Debian13, "Debian 13"}, {"debian", "11", "", ""},
		{"rhel", "9.6", RHEL9, "RHEL 9"}, {"rocky", "9.6", Rocky9, "Rocky 9"}, {"almalinux", "9", AlmaLinux9, "AlmaLinux 9"}, {"rocky", "10.0", "", ""}, {"", "", "", ""},
	} {
		got, ok := ParseOS(test.id, test.version)
		if got != test.want || ok != (test.want != "") || ok && got.String() != test.text {
			t.Errorf("%s %s: %q %t %s", test.id, test.version, got, ok, got)
		}
	}
}

func TestWhatIsInstalled(t *testing.T) {
	const key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEZw==\n-----END PGP PUBLIC KEY BLOCK-----"
	for _, test := range []struct {
		name, kernel string
		os           OS
		order        Order
	}{
		{"ubuntu", "6.8.0-45-generic", Ubuntu2404, Order{Branch: "580", Open: true}},
		{"ubuntu-proprietary", "5.15.0-160-generic", Ubuntu2204, Order{Branch: "580", Toolkit: true}},
		{"ubuntu-mirror", "7.0.0-30-generic", Ubuntu2604, Order{
			Branch: "595", Version: "595.71.05", Open: true, Toolkit: true, NoNVLink: true,
			Repository: "https://mirror.example.org/ubuntu resolute,resolute-updates main restricted", RepositoryKey: key,
		}},
		{"ubuntu-flat-repository", "6.8.0-45-generic", Ubuntu2404, Order{Branch: "580", Open: true, Repository: "http://10.0.0.2/packages ./"}},
		{"rocky", "5.14.0-611.24.1.el9_7.x86_64", Rocky9, Order{
			Branch: "580", Version: "580.95.05", Toolkit: true, NoNVLink: true, Repository: "https://mirror.example.org/cuda-rhel9", RepositoryKey: key,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.order.Strategy = Packages
			in, err := PackagesFor(test.order, test.os, test.kernel)
			if err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, "testdata/install-"+test.name+".txt", describe(in, LoadingFor(test.order, test.os)))
			for _, name := range in.Packages {
				if strings.Contains(name, "fabricmanager") || strings.Contains(name, "dkms") && !strings.Contains(name, "no-dkms") {
					t.Errorf("%s is installed", name)
				}
			}
		})
	}
}

func describe(in Install, l Loading) string {
	var b strings.Builder
	for _, f := range append(in.Files, l.Files...) {
		fmt.Fprintf(&b, "--- %s %o\n%s", f.Path, f.Mode, f.Content)
	}
	fmt.Fprintf(&b, "--- %s\nstream   %s\n", in.Manager, in.Stream)
	for _, name := range in.Packages {
		fmt.Fprintf(&b, "install  %s\n", name)
	}
	for _, name := range in.Hold {
		fmt.Fprintf(&b, "hold     %s\n", name)
	}
	fmt.Fprintf(&b, "run      %s\nunload   %s\nload     %s\n", strings.Join(l.Initramfs, " "), strings.Join(l.Unload, " "), strings.Join(l.Load, " "))
	return b.String()
}

func TestOrdersThatInstallNothing(t *testing.T) {
	good := Order{Strategy: Packages, Branch: "580", Open: true}
	with := func(change func(*Order)) Order {
		o := good
		change(&o)
		return o
	}
	for _, test := range []struct {
		name   string
		order  Order
		os     OS
		kernel string
		words  string
	}{
		{"another strategy", with(func(o *Order) { o.Strategy = Operator }), Ubuntu2404, "6.8.0-45-generic", "strategy is Operator"},
		{"Debian", good, Debian12, "6.1.0-40-amd64", "no pre-built kernel modules"},
		{"no release", good, "", "6.8.0-45-generic", "spec.template.os"},
		{"a kernel that is a command", good, Ubuntu2404, "6.8.0; reboot", "not the release of a kernel"},
		{"a kernel that is an option", good, Ubuntu2404, "--purge", "not the release of a kernel"},
		{"no kernel", good, Ubuntu2404, "", "not the release of a kernel"},
		{"the kvm kernel", good, Ubuntu2204, "5.15.0-1050-kvm", "generic kernel"},
		{"a branch that is a glob", with(func(o *Order) { o.Branch = "58*" }), Ubuntu2404, "6.8.0-45-generic", "name no driver"},
		{"a version that is a path", with(func(o *Order) { o.Version = "580/../x" }), Ubuntu2404, "6.8.0-45-generic", "name no driver"},
		{"a kernel of Ubuntu in RHEL", Order{Strategy: Packages, Branch: "580", Version: "580.95.05", Repository: "https://x"}, RHEL9, "6.8.0-45-generic", "not a kernel of RHEL 9"},
	} {
		t.Run(test.name, func(t *testing.T) {
			in, err := PackagesFor(test.order, test.os, test.kernel)
			if err == nil || !strings.Contains(err.Error(), test.words) || len(in.Packages) > 0 {
				t.Errorf("want %q: %v, %v", test.words, in, err)
			}
		})
	}
}

func TestOnlyStrategiesThatLoadModulesSetTheirOptions(t *testing.T) {
	for _, s := range []Strategy{Operator, Ansible, None} {
		if l := LoadingFor(Order{Strategy: s, NoNVLink: true}, Ubuntu2404); len(l.Files) > 0 || len(l.Load) > 0 {
			t.Errorf("%s: %+v", s, l)
		}
	}
	if l := LoadingFor(Order{Strategy: Preinstalled, NoNVLink: true}, Debian12); len(l.Files) != 3 || l.Initramfs[0] != "update-initramfs" {
		t.Errorf("%+v", l)
	}
}

// The guest reads what the engine wrote.
func TestOrdersAreReadAsWritten(t *testing.T) {
	want := Order{Strategy: Packages, Branch: "580", Version: "580.95.05", Open: true, AnyModules: true, Toolkit: true, Repository: "r", RepositoryKey: "k", NoNVLink: true}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Order
	if err := json.Unmarshal(data, &got); err != nil || got != want {
		t.Errorf("%s: %+v, %v", data, got, err)
	}
}
