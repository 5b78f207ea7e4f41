package v1alpha1

// Bootstrap is how a new guest is made a worker at its first boot: from where
// cloud-init reads, how the program gpuworker-guest reaches the guest, and the
// operator's own parts of the cloud-init configuration.
type Bootstrap struct {
	// Seed is from where cloud-init reads: ISO (default; an ISO image that gpuworker
	// makes for each VM, uploads and attaches), or ProxmoxCloudInit (the cloud-init
	// options of Proxmox VE itself, which can set only a user, SSH keys, addresses and
	// DNS).
	// +kubebuilder:validation:Enum=ISO;ProxmoxCloudInit
	// +kubebuilder:default=ISO
	Seed Seed `json:"seed,omitempty"`

	// Delivery is how gpuworker-guest reaches the guest: SeedISO (on the ISO),
	// GuestAgent (written in pieces through the QEMU guest agent), Template (the
	// template has it), or URL (the guest downloads it and checks its SHA-256).
	// Default: SeedISO with seed: ISO, GuestAgent with seed: ProxmoxCloudInit.
	// +kubebuilder:validation:Enum=SeedISO;GuestAgent;Template;URL
	Delivery Delivery `json:"delivery,omitempty"`

	// Download is where the guest gets gpuworker-guest with delivery: URL.
	Download *Download `json:"download,omitempty"`

	// CloudInit are the operator's own parts. They need seed: ISO.
	CloudInit *CloudInit `json:"cloudInit,omitempty"`
}

// Seed is from where cloud-init in the guest reads.
type Seed string

// The seeds.
const (
	SeedISO              Seed = "ISO"
	SeedProxmoxCloudInit Seed = "ProxmoxCloudInit"
)

// Delivery is how gpuworker-guest reaches the guest.
type Delivery string

// The ways.
const (
	DeliverySeedISO    Delivery = "SeedISO"
	DeliveryGuestAgent Delivery = "GuestAgent"
	DeliveryTemplate   Delivery = "Template"
	DeliveryURL        Delivery = "URL"
)

// Download is one file in the network.
type Download struct {
	// URL is the address of gpuworker-guest for the architecture of the guests.
	URL string `json:"url"`
	// SHA256 is the checksum of the file, 64 hexadecimal digits. The guest runs no
	// file with another checksum.
	SHA256 string `json:"sha256"`
}

// CloudInit are the operator's own parts of the cloud-init configuration. They are
// done once, at the first boot, before gpuworker-guest starts.
type CloudInit struct {
	// WriteFiles are files in the guest.
	WriteFiles []GuestFile `json:"writeFiles,omitempty"`

	// Packages are installed by the package manager of the guest.
	Packages []string `json:"packages,omitempty"`

	// RunCommands are command lines for /bin/sh, in order, each in its own shell. They
	// run after the packages are installed, and before gpuworker-guest starts. When the
	// first boot is cut off, all of them run again at the next boot.
	RunCommands []string `json:"runCommands,omitempty"`

	// CACertificates are certificate authorities in PEM that the guest trusts.
	CACertificates []string `json:"caCertificates,omitempty"`

	// Proxy is for the package manager, the commands and gpuworker-guest.
	Proxy Proxy `json:"proxy,omitempty,omitzero"`

	// AptMirror is the URL of the package mirror for Ubuntu and Debian. For RHEL and
	// Rocky Linux write a file under /etc/yum.repos.d instead.
	AptMirror string `json:"aptMirror,omitempty"`

	// NTPServers are the names or addresses of time servers. Default: those of the image.
	NTPServers []string `json:"ntpServers,omitempty"`
}

// GuestFile is one file that cloud-init writes. Do not write a secret into it: a
// document is no place for secrets, and whoever may read the VM or its ISO can read
// the file.
type GuestFile struct {
	// Path is the absolute path of the file.
	Path string `json:"path"`
	// Content is the text of the file.
	Content string `json:"content,omitempty"`
	// Permissions are the mode of the file in octal, as text. Default "0644".
	// +kubebuilder:default="0644"
	Permissions string `json:"permissions,omitempty"`
	// Owner is the owner of the file, "USER" or "USER:GROUP". Default "root:root".
	// +kubebuilder:default="root:root"
	Owner string `json:"owner,omitempty"`
}

// Proxy is how the guest reaches the internet.
type Proxy struct {
	// HTTP is the URL of the proxy for http, without a user name or password.
	HTTP string `json:"http,omitempty"`
	// HTTPS is the URL of the proxy for https. Default: that of http.
	HTTPS string `json:"https,omitempty"`
	// NoProxy are the hosts, domains and networks that are reached without a proxy.
	NoProxy []string `json:"noProxy,omitempty"`
}

// ProgramPath is the path of gpuworker-guest in a guest.
const ProgramPath = "/usr/local/sbin/gpuworker-guest"

// reservedPaths are the files of gpuworker and cloud-init in a guest that an operator's
// part must not write, each with the reason. An entry that ends in "/" is for all files
// below it.
var reservedPaths = []struct{ path, why string }{
	{"/etc/gpuworker/", "gpuworker keeps its orders for the guest there"},
	{"/var/lib/gpuworker/", "gpuworker-guest keeps its status there"},
	{"/var/log/gpuworker-guest.log", "gpuworker-guest writes its log there"},
	{"/run/gpuworker-seed/", "the ISO is mounted there at the first boot"},
	{ProgramPath, "gpuworker-guest itself is there"},
	{"/etc/systemd/system/gpuworker-guest.service", "gpuworker writes this unit"},
	{"/etc/systemd/system/gpuworker-guest.service.d/", "settings there can keep gpuworker-guest from starting"},
	{"/etc/systemd/system/multi-user.target.wants/gpuworker-guest.service", "gpuworker enables this unit"},
	{"/etc/systemd/system/qemu-guest-agent.service.d/50-gpuworker.conf", "gpuworker lets the guest agent run commands there, on RHEL and its rebuilds"},
	{"/etc/apt/apt.conf.d/52gpuworker", "gpuworker keeps unattended upgrades away from driver and kernel there"},
	{"/etc/cloud/", "the ISO of gpuworker is the configuration of cloud-init, and settings there can undo it"},
	{"/var/lib/cloud/", "cloud-init keeps its state there"},
	{"/etc/netplan/50-cloud-init.yaml", "cloud-init writes it from spec.networks"},
	{"/etc/hostname", "cloud-init writes the name of the worker there"},
}

// ReservedPath says why an operator's part must not write a file, "" when it may.
func ReservedPath(path string) (why string) {
	for _, r := range reservedPaths {
		below := r.path[len(r.path)-1] == '/'
		switch {
		case path == r.path, below && path+"/" == r.path:
			return r.why
		case below && len(path) > len(r.path) && path[:len(r.path)] == r.path:
			return r.why
		}
	}
	return ""
}

// UsesSeed reports whether the VMs of the pool get an ISO image as their seed.
func (p *WorkerPool) UsesSeed() bool {
	return p.UsesGuestProgram() && p.Spec.Bootstrap.Seed != SeedProxmoxCloudInit
}

// UsesGuestProgram reports whether gpuworker-guest is used in the guests of the pool.
func (p *WorkerPool) UsesGuestProgram() bool { return p.Spec.Bootstrap != nil }
