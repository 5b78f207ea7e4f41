package driver

import (
	"fmt"
	"strings"
)

// checkUbuntu finds what Ubuntu has not.
func checkUbuntu(o Order, os OS) []Problem {
	b, known := LookupBranch(fmt.Sprint(o.number()))
	if !known {
		return nil // reported by checkBranch
	}
	switch {
	case b.ubuntu == ubuntuUnknown:
		return []Problem{{Field: FieldBranch, Kind: Unknown,
			Reason: fmt.Sprintf("it is not known whether %s has packages of %s (as of %s)", os, b, TableDate),
			Fix:    fmt.Sprintf("look for linux-modules-nvidia-%s-generic, or write branch: %q", ubuntuFlavour(o), DefaultBranch)}}
	case b.ubuntu == ubuntuDummy:
		reason := fmt.Sprintf("the packages of %d-server in Ubuntu are empty transitional packages that install another branch", b.Number)
		next := DefaultBranch
		if b.ubuntuNext > 0 {
			reason = fmt.Sprintf("the packages of %d-server in Ubuntu are empty transitional packages that install %d-server", b.Number, b.ubuntuNext)
			next = fmt.Sprint(b.ubuntuNext)
		}
		return []Problem{{Field: FieldBranch, Reason: reason, Fix: fmt.Sprintf("write branch: %q", next)}}
	case b.ubuntu == ubuntuOpenOnly && !o.Open:
		return []Problem{{Field: FieldModules,
			Reason: fmt.Sprintf("Ubuntu has no proprietary modules of %d-server: their packages install the open ones", b.Number),
			Fix:    fmt.Sprintf("write modules: Open, or branch: %q", DefaultBranch)}}
	}
	return nil
}

// ubuntuFlavour is the part of the package names for branch and modules:
// "580-server-open".
func ubuntuFlavour(o Order) string {
	if o.Open {
		return o.Branch + "-server-open"
	}
	return o.Branch + "-server"
}

// ubuntuInstall are the packages of Ubuntu's pre-built, signed modules and of the driver
// without a display, for one running kernel. No kernel module is compiled and nothing has
// to be rebooted. nvidia-modprobe makes /dev/nvidia-uvm. nvidia-fabricmanager is never installed: it is for whole boards.
// Source: Ubuntu Server documentation, "NVIDIA drivers installation".
func ubuntuInstall(o Order, kernel string) (Install, error) {
	if strings.HasSuffix(kernel, "-kvm") {
		return Install{}, fmt.Errorf("kernel %s has no pre-built NVIDIA modules: Ubuntu builds none for its kvm kernels; use an image with the generic kernel, such as the standard cloud image", kernel)
	}
	flavour, branch := ubuntuFlavour(o), o.Branch+"-server"
	in := Install{
		Manager:  Apt,
		Packages: []string{"linux-modules-nvidia-" + flavour + "-" + kernel, "nvidia-headless-no-dkms-" + flavour, "nvidia-utils-" + branch, "nvidia-modprobe"},
		Hold:     []string{"linux-image-*", "linux-modules-*", "linux-headers-*", "linux-generic*", "linux-virtual*", "linux-objects-nvidia-*", "linux-signatures-nvidia-*", "nvidia-*", "libnvidia-*"},
		Files:    []File{aptNoUpgrades},
	}
	if o.Version != "" {
		in.Files = append(in.Files, File{Path: "/etc/apt/preferences.d/gpuworker-nvidia", Mode: 0o644, Content: strings.Join([]string{
			"# Written by gpuworker: the driver has exactly the declared version.",
			fmt.Sprintf("Package: nvidia-*-%s* libnvidia-*-%s*", branch, branch),
			fmt.Sprintf("Pin: version %s-*", o.Version),
			"Pin-Priority: 1001", "",
		}, "\n")})
	}
	return in, nil
}

// aptNoUpgrades keeps unattended-upgrades away from driver and kernel: a driver library
// that is upgraded under a loaded module fails with "Driver/library version mismatch".
var aptNoUpgrades = File{Path: "/etc/apt/apt.conf.d/52gpuworker-nvidia", Mode: 0o644, Content: `// Written by gpuworker: driver and kernel are upgraded together, and never by themselves.
Unattended-Upgrade::Package-Blacklist {
  "^nvidia-";
  "^libnvidia-";
  "^linux-";
};
`}
