package bootstrap

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/guest"
)

// Worker is what the seed of one VM is made from.
type Worker struct {
	Name string // of worker, VM and host
	// UUID is the SMBIOS UUID of the VM. It is the instance-id of cloud-init and must
	// never change: cloud-init treats another one as a new machine, with new SSH host
	// keys and a new network configuration.
	UUID string
	// OS is the guest's release; "" when the document does not name it.
	OS driver.OS
	// NICs are the network cards. Without any, there is no network-config, and the image
	// decides: cloud images use DHCP on their first network card.
	NICs    []NIC
	DNS     v1alpha1.DNS
	Access  v1alpha1.Access
	Orders  guest.Orders
	Program Source
	Parts   v1alpha1.CloudInit
}

// NIC is a network card of a VM. VLANs belong to the hypervisor, the guest sees none.
type NIC struct {
	MAC     string // "bc:24:11:00:00:01"
	Address string // with prefix length, "192.0.2.21/24"; "" for DHCP
	Gateway string // the default route; "" for none, or that of DHCP
}

// Source is how gpuworker-guest reaches the guest.
type Source struct {
	Delivery v1alpha1.Delivery
	// Builds are the builds of the program, one for each architecture that the guest may
	// have. With delivery Template or URL there are none.
	Builds []Build
	// Download is for delivery URL only.
	Download v1alpha1.Download
}

// Build is gpuworker-guest for one architecture.
type Build struct {
	Arch   string // as Go names it: "amd64", "arm64"
	SHA256 string
	Data   []byte // needed with delivery SeedISO only
}

// FileName is the name of a build on the ISO and in a release.
func (b Build) FileName() string { return "gpuworker-guest-linux-" + b.Arch }

// NewBuild returns the build with this content.
func NewBuild(arch string, data []byte) Build {
	sum := sha256.Sum256(data)
	return Build{Arch: arch, SHA256: hex.EncodeToString(sum[:]), Data: data}
}

var (
	uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	userForm = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
	macForm  = regexp.MustCompile(`^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$`)
	sumForm  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// check refuses what the validation of the documents and the backend should have
// refused, or cannot know.
func (w Worker) check() error {
	switch {
	case !nameForm.MatchString(w.Name):
		return w.invalid("%q cannot be the host name of a guest", w.Name)
	case !uuidForm.MatchString(w.UUID):
		return w.invalid("%q is not the UUID of a VM in lower case", w.UUID)
	case w.Orders.UUID != w.UUID || w.Orders.Worker != w.Name:
		return w.invalid("the orders are for worker %q with UUID %q", w.Orders.Worker, w.Orders.UUID)
	case w.Access.User != "" && !userForm.MatchString(w.Access.User):
		return w.invalid("%q is not a user name", w.Access.User)
	case w.Parts.AptMirror != "" && w.OS.IsRHEL():
		return w.invalid("spec.bootstrap.cloudInit.aptMirror has no effect on %s, which has no apt; write a file under /etc/yum.repos.d with writeFiles", w.OS)
	}
	for _, f := range w.Parts.WriteFiles {
		if why := v1alpha1.ReservedPath(f.Path); why != "" {
			return w.invalid("the file %q cannot be written: %s", f.Path, why)
		}
	}
	for _, command := range w.Parts.RunCommands {
		if strings.ContainsRune(command, 0) {
			return w.invalid("a command has a NUL character, which no command can have")
		}
	}
	return w.checkNICs()
}

func (w Worker) checkNICs() error {
	for i, nic := range w.NICs {
		if !macForm.MatchString(nic.MAC) {
			return w.invalid("network card %d has no MAC address (%q), and networks are matched by it, never by a guessed name", i, nic.MAC)
		}
		if nic.Address != "" {
			if _, err := netip.ParsePrefix(nic.Address); err != nil {
				return w.invalid("network card %d: %q is not an address with prefix length", i, nic.Address)
			}
		}
		if nic.Gateway != "" {
			if _, err := netip.ParseAddr(nic.Gateway); err != nil {
				return w.invalid("network card %d: %q is not the address of a gateway", i, nic.Gateway)
			}
		}
	}
	return nil
}

func (w Worker) checkProgram() error {
	p := w.Program
	switch p.Delivery {
	case v1alpha1.DeliveryTemplate:
		return nil
	case v1alpha1.DeliveryURL:
		if !sumForm.MatchString(p.Download.SHA256) || p.Download.URL == "" {
			return w.invalid("delivery URL needs url and sha256 of gpuworker-guest")
		}
		return nil
	case v1alpha1.DeliverySeedISO, v1alpha1.DeliveryGuestAgent:
	default:
		return w.invalid("%q is no way to deliver gpuworker-guest", p.Delivery)
	}
	if len(p.Builds) == 0 {
		return w.invalid("there is no build of gpuworker-guest to deliver")
	}
	seen := map[string]bool{}
	for _, b := range p.Builds {
		switch {
		case machineNames[b.Arch] == "" || seen[b.Arch]:
			return w.invalid("gpuworker-guest for %q is not known, or there twice", b.Arch)
		case !sumForm.MatchString(b.SHA256):
			return w.invalid("%s has no SHA-256 checksum", b.FileName())
		case p.Delivery == v1alpha1.DeliverySeedISO && NewBuild(b.Arch, b.Data).SHA256 != b.SHA256:
			return w.invalid("%s has another checksum than %s: it was changed, or is from another release", b.FileName(), b.SHA256)
		}
		seen[b.Arch] = true
	}
	return nil
}

func (w Worker) invalid(format string, args ...any) error {
	return &fault.Error{Kind: fault.Invalid, Doing: "render the seed of worker " + w.Name, Why: fmt.Sprintf(format, args...)}
}
