package look

import (
	"regexp"
	"slices"
	"testing"

	"github.com/gpuworker/gpuworker/internal/guest/run"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

func TestTheDatabaseOfDpkg(t *testing.T) {
	p := parseDpkg("Package: a\nStatus: install ok installed\nVersion: 1.0\nDescription: x\n Package: no\n\n" +
		"Package: b\nStatus: hold ok installed\nVersion: 2.0\n\n" +
		"Package: c\nStatus: deinstall ok config-files\nVersion: 3.0\n")
	if p.Versions["a"] != "1.0" || p.Versions["b"] != "2.0" || p.Installed("c") || p.Held["a"] || !p.Held["b"] || p.Unfinished {
		t.Errorf("%+v", p)
	}
	if p := parseDpkg("Package: a\nStatus: install ok half-configured\nVersion: 1.0\n"); !p.Unfinished || p.Installed("a") {
		t.Errorf("an installation that was cut off: %+v", p)
	}
}

func TestTheConfigurationOfApt(t *testing.T) {
	on, set, spared := parseAptConf(`// APT::Periodic::Unattended-Upgrade "0";
/* APT::Periodic::Unattended-Upgrade "0"; */
APT::Periodic::Unattended-Upgrade "1";
Unattended-Upgrade::Package-Blacklist { "nvidia-"; # a comment
//  "vim";
  "linux-(image|modules)";
  "(broken";
};`)
	if !on || !set || len(spared) != 2 {
		t.Fatalf("on %t, set %t, %v", on, set, spared)
	}
	for name, want := range map[string]bool{"nvidia-utils-580": true, "linux-image-6.8": true, "libnvidia-x": false, "vim": false, "xnvidia-": false} {
		if got := slices.ContainsFunc(spared, func(p *regexp.Regexp) bool { return p.MatchString(name) }); got != want {
			t.Errorf("%s is spared: %t", name, got)
		}
	}
	if on, set, _ := parseAptConf(`APT::Periodic::Unattended-Upgrade "0";`); on || !set {
		t.Errorf("turned off: %t, %t", on, set)
	}
}

func TestAKernelHasADriverWhenItsListOfModulesSaysSo(t *testing.T) {
	for text, want := range map[string]bool{
		"kernel/nvidia-580srv-open/nvidia.ko.zst:\n": true,
		"updates/dkms/nvidia.ko:\n":                  true,
		"kernel/drivers/platform/x86/nvidia-wmi-ec-backlight.ko: \nkernel/drivers/i2c/busses/i2c-nvidia-gpu.ko:": false,
		"": false,
	} {
		if hasNVIDIA(text) != want {
			t.Errorf("%q: %t", text, !want)
		}
	}
}

func TestSecureBootIsOnlyKnownFromItsVariable(t *testing.T) {
	const other = "sys/firmware/acpi/x"
	for name, test := range map[string]struct {
		write func(*hosttree.Archive)
		want  SecureState
	}{
		"BIOS":            {func(a *hosttree.Archive) { a.WriteFile(other, nil) }, SecureOff},
		"EFI without it":  {func(a *hosttree.Archive) { a.Mkdir("sys/firmware/efi") }, SecureOff},
		"on":              {func(a *hosttree.Archive) { a.WriteFile(secureBootVariable, []byte{6, 0, 0, 0, 1}) }, SecureOn},
		"off":             {func(a *hosttree.Archive) { a.WriteFile(secureBootVariable, []byte{6, 0, 0, 0, 0}) }, SecureOff},
		"may not be read": {func(a *hosttree.Archive) { a.Deny(secureBootVariable) }, SecureUnknown},
		"damaged":         {func(a *hosttree.Archive) { a.WriteFile(secureBootVariable, []byte{1}) }, SecureUnknown},
	} {
		tree := hosttree.NewArchive()
		test.write(tree)
		if got := readSecureBoot(tree); got.State != test.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestWithoutADriverNvidiaSMIIsNotRun(t *testing.T) {
	tree := hosttree.NewArchive()
	tree.WriteFile(run.Dir+"/nvidia-smi -L", []byte("exit 0\nGPU 0: Tesla T4 (UUID: GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689)\n"))
	if g := Read(t.Context(), tree, run.Captured{Tree: tree}, Options{}); g.SMI != (run.Result{}) || len(g.Listed) > 0 {
		t.Errorf("%+v", g.SMI)
	}
}

// FuzzGuest gives anything to the parsers of configuration files and databases.
func FuzzGuest(f *testing.F) {
	f.Add("Package: a\nStatus: hold ok installed\nVersion: 1\n")
	f.Add(`APT::Periodic::Unattended-Upgrade "1"; Unattended-Upgrade::Package-Blacklist { "nvidia-"; };`)
	f.Add(`{"v1":{"stage":"init","init":{"errors":["x"]}}}`)
	f.Add("[main]\nexclude = kernel*, nvidia*\n")
	f.Add("ID=ubuntu\nVERSION_ID=\"24.04\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		tree := hosttree.NewArchive()
		for _, name := range []string{
			"var/lib/dpkg/status", "etc/apt/apt.conf.d/x", "var/lib/cloud/data/status.json", "etc/dnf/dnf.conf", "etc/dnf/automatic.conf",
			"etc/gpuworker/orders.json", "var/lib/gpuworker/template.json", "proc/modules", "lib/modules/1/modules.dep", secureBootVariable,
		} {
			tree.WriteFile(name, []byte(text))
		}
		for _, family := range []string{"ID=ubuntu\n", "ID=rocky\nID_LIKE=rhel\n", text} {
			tree.WriteFile("etc/os-release", []byte(family))
			Read(t.Context(), tree, run.Captured{Tree: tree}, Options{})
		}
	})
}
