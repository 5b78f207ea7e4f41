package look

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/guest/run"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// Packages are the installed packages.
type Packages struct {
	Err error // they could not be read
	// Versions are the versions of the installed packages, by name.
	Versions map[string]string
	Held     map[string]bool
	// Unfinished reports whether an installation was cut off.
	Unfinished bool
}

// Installed reports whether a package is installed. dnf also takes a name with a version:
// nvidia-driver-cuda-580.95.05.
func (p Packages) Installed(spec string) bool {
	if _, installed := p.Versions[spec]; installed {
		return true
	}
	for name, version := range p.Versions {
		if rest, ok := strings.CutPrefix(spec, name+"-"); ok && (rest == version || strings.HasPrefix(version, rest+"-")) {
			return true
		}
	}
	return false
}

// rpmQuery lists the packages of RHEL and its relatives that matter here: their database
// is binary.
var rpmQuery = run.Command{
	Name:    "rpm",
	Args:    []string{"-qa", "--qf", `%{NAME} %{VERSION}-%{RELEASE}\n`, "*nvidia*", "kernel*", "dnf-automatic", "*versionlock*"},
	Timeout: queryTimeout,
}

func readPackages(ctx context.Context, tree hosttree.Reader, runner run.Runner, family Family) Packages {
	switch family {
	case Debian:
		file := read(tree, "var/lib/dpkg/status")
		if !file.OK() {
			return Packages{Err: file.Err}
		}
		p := parseDpkg(file.Body)
		// dpkg writes here first, and joins it with status when it ends.
		if pending, err := tree.ReadDir("var/lib/dpkg/updates"); err == nil && len(pending) > 0 {
			p.Unfinished = true
		}
		return p
	case RedHat:
		result := runner.Run(ctx, rpmQuery)
		if !result.OK() {
			return Packages{Err: errors.New(result.Problem(rpmQuery))}
		}
		return parseRPM(result.Output)
	case OtherFamily:
	}
	return Packages{Err: errors.New("this distribution's package database is not known")}
}

// maxPackages limits the number of packages that are read.
const maxPackages = 1 << 16

// parseDpkg reads dpkg's database: paragraphs with the fields Package, Status ("install ok
// installed") and Version.
func parseDpkg(text string) Packages {
	p := Packages{Versions: map[string]string{}, Held: map[string]bool{}}
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		fields := map[string]string{}
		for line := range strings.Lines(paragraph) {
			name, value, ok := strings.Cut(line, ":")
			if ok && (name == "Package" || name == "Status" || name == "Version") {
				fields[name] = strings.TrimSpace(value)
			}
		}
		name, status := fields["Package"], strings.Fields(fields["Status"])
		if name == "" || len(status) != 3 || len(p.Versions) >= maxPackages {
			continue
		}
		if status[0] == "hold" {
			p.Held[name] = true
		}
		switch status[2] {
		case "installed":
			p.Versions[name] = fields["Version"]
		case "not-installed", "config-files":
		default: // unpacked, half-configured, half-installed, triggers-…
			p.Unfinished = true
		}
	}
	return p
}

func parseRPM(text string) Packages {
	p := Packages{Versions: map[string]string{}, Held: map[string]bool{}}
	for line := range strings.Lines(text) {
		name, version, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && len(p.Versions) < maxPackages {
			p.Versions[name] = version
		}
	}
	return p
}

// driverPrefixes and kernelPrefixes begin the names of packages whose update needs a
// restart of the VM.
var (
	driverPrefixes = []string{"nvidia-", "libnvidia-", "linux-modules-nvidia-", "kmod-nvidia"}
	kernelPrefixes = []string{"linux-image-", "linux-modules-", "linux-generic", "linux-virtual", "linux-headers-", "kernel-core", "kernel-modules"}
)

// IsDriver reports whether a package belongs to NVIDIA's driver.
func IsDriver(name string) bool { return hasPrefix(name, driverPrefixes) }

// IsKernel reports whether a package belongs to the kernel.
func IsKernel(name string) bool { return !IsDriver(name) && hasPrefix(name, kernelPrefixes) }

func hasPrefix(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}
