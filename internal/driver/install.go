package driver

import (
	"fmt"
	"regexp"
	"strings"
)

// Manager is a package manager.
type Manager string

// The package managers.
const (
	Apt Manager = "apt"
	Dnf Manager = "dnf"
)

// File is a file to write in the guest.
type File struct {
	Path    string
	Mode    uint32
	Content string
}

// Install is what gpuworker-guest does for the strategy Packages, in the order of the
// fields. All of it may be repeated.
type Install struct {
	Manager Manager
	Files   []File // repository, pins and limits of upgrades: before anything is installed
	// Stream is a module stream of dnf to enable first, "nvidia-driver:580"; "" for none.
	Stream string
	// Packages are installed in one transaction, without recommended ones.
	Packages []string
	// Hold are glob patterns of package names: the installed packages that match are held
	// (apt-mark hold, dnf versionlock add), so that no upgrade takes the modules from the
	// running kernel, or the library from the loaded module.
	Hold []string
}

// kernelForm is the form of a kernel release, which becomes a part of package names.
var kernelForm = regexp.MustCompile(`^[0-9][A-Za-z0-9._+~-]{0,127}$`)

// toolkit is the package of the container toolkit in the repositories of NVIDIA.
const toolkit = "nvidia-container-toolkit"

// PackagesFor returns what the order means for a guest of this release with this running
// kernel, "6.8.0-45-generic". The error says what is missing and what to do.
func PackagesFor(o Order, os OS, kernel string) (Install, error) {
	if o.Strategy != Packages {
		return Install{}, fmt.Errorf("the driver strategy is %s, which installs no packages", o.Strategy)
	}
	if !kernelForm.MatchString(kernel) {
		return Install{}, fmt.Errorf("%q is not the release of a kernel", kernel)
	}
	if o.Branch == "" || !IsBranch(o.Branch) || o.Version != "" && !IsVersion(o.Version) {
		return Install{}, fmt.Errorf("the order has branch %q and version %q, which name no driver", o.Branch, o.Version)
	}
	for _, p := range CheckGuest(o, os) {
		if p.Kind == Impossible {
			return Install{}, fmt.Errorf("spec.%s: %s", p.Field, p)
		}
	}
	in, err := ubuntuInstall(o, kernel)
	if os.family() == rhel {
		in, err = rhelInstall(o, kernel)
	}
	if err != nil {
		return Install{}, err
	}
	if o.Toolkit {
		in.Packages = append(in.Packages, toolkit)
	}
	in.Files = append(RepositoryFiles(o, in.Manager), in.Files...)
	return in, nil
}

// RepositoryFiles are the files that make the package manager use the repository of the
// order; none without one.
func RepositoryFiles(o Order, manager Manager) []File {
	if o.Repository == "" {
		return nil
	}
	keyFile, path := "/etc/apt/keyrings/gpuworker-driver.asc", "/etc/apt/sources.list.d/gpuworker-driver.sources"
	if manager == Dnf {
		keyFile, path = "/etc/pki/rpm-gpg/RPM-GPG-KEY-gpuworker-driver", "/etc/yum.repos.d/gpuworker-driver.repo"
	}
	lines := aptSource(o)
	if manager == Dnf {
		lines = []string{"[gpuworker-driver]", "name=NVIDIA driver, declared in spec.driver.repository", "baseurl=" + o.Repository, "enabled=1", "gpgcheck=1"}
	}
	var files []File
	if o.RepositoryKey != "" {
		files = append(files, File{Path: keyFile, Mode: 0o644, Content: strings.TrimSpace(o.RepositoryKey) + "\n"})
		if manager == Dnf {
			lines = append(lines, "gpgkey=file://"+keyFile)
		} else {
			lines = append(lines, "Signed-By: "+keyFile)
		}
	}
	return append(files, File{Path: path, Mode: 0o644, Content: "# Written by gpuworker.\n" + strings.Join(lines, "\n") + "\n"})
}

// aptSource is the repository in the format deb822 (man sources.list).
func aptSource(o Order) []string {
	words := strings.Fields(o.Repository)
	lines := []string{"Types: deb", "URIs: " + words[0]}
	if len(words) > 1 {
		lines = append(lines, "Suites: "+strings.ReplaceAll(words[1], ",", " "))
	}
	if len(words) > 2 {
		lines = append(lines, "Components: "+strings.Join(words[2:], " "))
	}
	return lines
}
