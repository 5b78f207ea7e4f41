package driver

import (
	"fmt"
	"strings"
)

// The packages of NVIDIA for RHEL 9 and its rebuilds.
//
// Sources: NVIDIA, Driver Installation Guide and yum-packaging-precompiled-kmod: the
// stream BRANCH of the module nvidia-driver has kmod packages for single kernels; the
// streams BRANCH-dkms and BRANCH-open compile (NVIDIA/yum-packaging-dkms-nvidia). The
// modules are signed by NVIDIA, not by Red Hat (yum-packaging-precompiled-kmod#67). After
// R590 there were none (#68, seen in May 2026).
const lastPrebuiltRHEL = 590

func checkRHEL(o Order, os OS) []Problem {
	var problems []Problem
	add := func(field string, kind Kind, reason, fix string) {
		problems = append(problems, Problem{Field: field, Kind: kind, Reason: reason, Fix: fix})
	}
	if o.Open {
		add(FieldModules, Impossible, fmt.Sprintf("NVIDIA has pre-built packages for %s of the proprietary modules only; those of the open modules compile", os),
			"write modules: Proprietary if the card works with them (up to Hopper), or "+otherStrategies)
	}
	if o.Repository == "" {
		add(FieldRepository, Impossible, fmt.Sprintf("is missing: %s has no packages of NVIDIA's driver", os),
			"write url and key of NVIDIA's repository or of your mirror of it, for example url: https://developer.download.nvidia.com/compute/cuda/repos/rhel9/x86_64/")
	}
	if o.Version == "" {
		add(FieldVersion, Impossible, "is missing: on RHEL it is a part of the packages' names, because there is one for each version and kernel",
			"write a version that your repository has for the kernel of the template, for example 580.95.05")
	}
	if o.number() > lastPrebuiltRHEL {
		add(FieldBranch, Notice, fmt.Sprintf("NVIDIA published no pre-built modules of R%d for RHEL 9 (NVIDIA/yum-packaging-precompiled-kmod#68), so your repository must have its own", o.number()),
			fmt.Sprintf("write branch: %q", DefaultBranch))
	}
	return problems
}

// rhelInstall are NVIDIA's pre-built modules for one running kernel and the driver without
// a display. The name of a kmod package has the version of driver and kernel:
// kmod-nvidia-590.48.01-5.14.0-611.24.1.
func rhelInstall(o Order, kernel string) (Install, error) {
	release, _, found := strings.Cut(kernel, ".el9")
	if !found {
		return Install{}, fmt.Errorf("kernel %s is not a kernel of RHEL 9 or its rebuilds, and NVIDIA has pre-built modules only for those", kernel)
	}
	if o.Version == "" {
		return Install{}, fmt.Errorf("the order names no driver version, which is a part of the packages' names; write spec.driver.version")
	}
	return Install{
		Manager: Dnf, Stream: "nvidia-driver:" + o.Branch,
		Packages: []string{"kmod-nvidia-" + o.Version + "-" + release, "nvidia-driver-cuda-" + o.Version, "python3-dnf-plugin-versionlock"},
		Hold:     []string{"kernel", "kernel-core", "kernel-modules*", "kmod-nvidia-*", "nvidia-*", "libnvidia-*"},
	}, nil
}
