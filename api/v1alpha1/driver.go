package v1alpha1

import (
	"cmp"
	"strings"

	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Driver is the NVIDIA driver of the workers of a pool with gpus. Which branches and
// kernel modules work is decided by the card. docs/drivers.md compares the strategies.
type Driver struct {
	// Strategy is how a worker gets its driver: Preinstalled (it is in the template, and is
	// verified), Packages (pre-built modules and packages are installed at the first boot;
	// no compiler, no reboot), Operator (the NVIDIA GPU Operator installs it after the
	// join), Ansible (somebody else's playbook installs it, and it is verified) or None (no
	// driver).
	// +kubebuilder:validation:Enum=Preinstalled;Packages;Operator;Ansible;None
	Strategy DriverStrategy `json:"strategy"`

	// Branch is the branch of the driver, "580". Default: that of Version; with Packages
	// "580", the last branch for Maxwell, Pascal and Volta. Preinstalled needs Branch or
	// Version.
	Branch string `json:"branch,omitempty"`
	// Version is the exact version of the driver, "580.95.05". Default: any of Branch.
	Version string `json:"version,omitempty"`
	// Modules are the kernel modules: Open (Turing and newer) or Proprietary (up to Hopper).
	// Default: by the card, Open from Turing up; with Packages on RHEL and its rebuilds
	// Proprietary up to Hopper.
	// +kubebuilder:validation:Enum=Open;Proprietary
	Modules DriverModules `json:"modules,omitempty"`

	// Repository is where Packages come from. Default: the repositories of the guest.
	Repository *DriverRepository `json:"repository,omitempty"`
	// ContainerToolkit installs nvidia-container-toolkit too, with strategy Packages, so
	// that the RKE2 or K3s agent finds the NVIDIA runtime when it starts. The package comes
	// from a repository of NVIDIA. Default false.
	ContainerToolkit bool `json:"containerToolkit,omitempty"`
	// DisableNVLink sets the module option NVreg_NvLinkDisable=1, with strategy Packages or
	// Preinstalled. Default: true for a card that is a module of an SXM board, because
	// alone in a VM it waits for its NVLink partners; false for others.
	DisableNVLink *bool `json:"disableNVLink,omitempty"`
}

// DriverStrategy is how a worker gets its driver.
type DriverStrategy string

// The strategies.
const (
	DriverPreinstalled = DriverStrategy(driver.Preinstalled)
	DriverPackages     = DriverStrategy(driver.Packages)
	DriverOperator     = DriverStrategy(driver.Operator)
	DriverAnsible      = DriverStrategy(driver.Ansible)
	DriverNone         = DriverStrategy(driver.None)
)

// needsGuestProgram reports whether gpuworker-guest installs or verifies the driver. The
// strategies Operator and None leave the guest alone.
func (d *Driver) needsGuestProgram() bool {
	return d != nil && (d.Strategy == DriverPreinstalled || d.Strategy == DriverPackages || d.Strategy == DriverAnsible)
}

// DriverModules are the kind of NVIDIA's kernel modules.
type DriverModules string

// The kinds of kernel modules.
const (
	ModulesOpen        = DriverModules(driver.Open)
	ModulesProprietary = DriverModules(driver.Proprietary)
)

// DriverRepository is a package repository with the driver, for example a mirror for
// guests without Internet access.
type DriverRepository struct {
	// URL is the base address, "https://mirror.example.org/ubuntu".
	URL string `json:"url"`
	// Suites are the suites of an apt repository, [noble, noble-updates], or ["./"] for a
	// repository without suites. Default: those two of the guest's release.
	Suites []string `json:"suites,omitempty"`
	// Components are the components of an apt repository. Default: main, restricted and
	// multiverse, which have the driver in Ubuntu, and what it needs.
	Components []string `json:"components,omitempty"`
	// Key is the public key that signs the repository, ASCII-armoured, "-----BEGIN PGP
	// PUBLIC KEY BLOCK-----…". Default: the keys that the guest trusts. Needed on RHEL and
	// its rebuilds.
	Key string `json:"key,omitempty"`
}

// GuestOS is a release of a guest's operating system.
type GuestOS string

// The guest releases.
const (
	Ubuntu2204 = GuestOS(driver.Ubuntu2204)
	Ubuntu2404 = GuestOS(driver.Ubuntu2404)
	Ubuntu2604 = GuestOS(driver.Ubuntu2604)
	Debian12   = GuestOS(driver.Debian12)
	Debian13   = GuestOS(driver.Debian13)
	RHEL9      = GuestOS(driver.RHEL9)
	Rocky9     = GuestOS(driver.Rocky9)
	AlmaLinux9 = GuestOS(driver.AlmaLinux9)
)

// DriverRequest is the driver that the pool declares. Without a driver block it is none.
func (p *WorkerPool) DriverRequest() driver.Request {
	d := p.Spec.Driver
	if d == nil {
		return driver.Request{Strategy: driver.None}
	}
	r := driver.Request{
		Strategy: driver.Strategy(cmp.Or(d.Strategy, DriverNone)), OS: driver.OS(p.Spec.Template.OS),
		Branch: d.Branch, Version: d.Version, Modules: driver.Modules(d.Modules), Toolkit: d.ContainerToolkit,
	}
	if d.Repository != nil {
		r.Repository, r.RepositoryKey = d.Repository.line(r.OS), d.Repository.Key
	}
	if d.DisableNVLink != nil {
		r.NVLink = driver.On
		if *d.DisableNVLink {
			r.NVLink = driver.Off
		}
	}
	return r
}

// DriverOrder is the driver that a worker of the pool with this GPU must have.
func (p *WorkerPool) DriverOrder(gpu pci.ID) driver.Order { return p.DriverRequest().Order(gpu) }

// line is the repository as driver.Order has it.
func (r *DriverRepository) line(os driver.OS) string {
	suites, components := r.Suites, r.Components
	if name := os.Codename(); name != "" && len(suites) == 0 {
		suites = []string{name, name + "-updates"}
	}
	switch {
	case len(suites) == 0: // no apt repository
		return r.URL
	case strings.HasSuffix(suites[0], "/"):
		components = nil
	case len(components) == 0:
		components = []string{"main", "restricted", "multiverse"}
	}
	return strings.Join(append([]string{r.URL, strings.Join(suites, ",")}, components...), " ")
}

// setDriverDefaults leaves open what the card decides.
func setDriverDefaults(d *Driver) {
	if d == nil {
		return
	}
	if d.Branch == "" {
		d.Branch = driver.BranchOf(d.Version)
	}
	if d.Strategy == DriverPackages {
		setDefault(&d.Branch, driver.DefaultBranch)
	}
}
