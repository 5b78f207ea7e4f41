package look

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/guest/nvidia"
	"github.com/gpuworker/gpuworker/internal/guest/run"
	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Guest is everything that is read from a guest.
type Guest struct {
	UUID   Text   // SMBIOS UUID, which only root may read
	BootID string // of this start of the kernel
	OS     string // "ubuntu 24.04"
	Family Family
	Name   string // "Ubuntu 24.04.3 LTS"
	Kernel string // release of the running one

	OrdersFile Text
	Orders     *guest.Orders // nil without orders, or when they cannot be read
	OrdersErr  error         // of parsing them
	StatusFile Text
	Status     *guest.Status // nil when there is none, or it cannot be read
	MarkerFile Text
	Template   *guest.Template
	MachineID  Text
	CattleID   Text
	CloudInit  CloudInit

	GPUs    []GPU // NVIDIA's, by address
	GPUsErr error // the devices could not be listed

	Modules  Modules
	Version  Text // of the loaded driver
	Driver   *guest.Driver
	Params   Text
	Library  string     // version of libnvidia-ml.so.1; "" when not known
	SMI      run.Result // of nvidia-smi -L; the zero Result when no driver is loaded
	Listed   []nvidia.GPU
	Devices  map[string]bool // the names in /dev that begin with nvidia
	DevErr   error           // /dev could not be listed
	Secure   SecureBoot
	Log      Text // the kernel's
	Packages Packages
	Updates  Updates
	Toolkit  Presence
}

// GPU is an NVIDIA GPU of the guest.
type GPU struct {
	BDF    pci.BDF
	ID     pci.ID
	Model  string
	Driver string // of the kernel; "" for none
	UUID   string // "" when not known
}

// Family is a family of distributions with one package manager.
type Family string

// The families.
const (
	Debian       Family = "debian" // Debian and Ubuntu: apt
	RedHat       Family = "rhel"   // RHEL, Rocky, Alma: dnf
	OtherFamily  Family = ""
	smiTimeout          = time.Minute // it can hang when the firmware of the card does not answer
	queryTimeout        = time.Minute
)

// Presence says whether something is there.
type Presence string

// The values of Presence.
const (
	There   Presence = "there"
	Missing Presence = "missing"
	Unknown Presence = "unknown"
)

// SMI is the command that lists the GPUs of the driver.
var SMI = run.Command{Name: "nvidia-smi", Args: []string{"-L"}, Timeout: smiTimeout}

// Options are inputs besides the tree.
type Options struct {
	// KernelLog is the log of the running kernel, nil for that of the tree.
	KernelLog []byte
}

// Read reads a guest.
func Read(ctx context.Context, tree hosttree.Reader, runner run.Runner, o Options) *Guest {
	g := &Guest{
		UUID:   read(tree, "sys/class/dmi/id/product_uuid"),
		BootID: read(tree, "proc/sys/kernel/random/boot_id").Value(),
		Kernel: kernelRelease(read(tree, "proc/sys/kernel/osrelease")),

		MachineID: read(tree, "etc/machine-id"),
		CattleID:  read(tree, "etc/rancher/agent/cattle-id"),
		CloudInit: readCloudInit(tree),
		Secure:    readSecureBoot(tree),
		Log:       kernelLog(tree, o.KernelLog),
		Toolkit:   readToolkit(tree),
	}
	g.readSystem(tree)
	g.readOurs(tree)
	g.readDriver(ctx, tree, runner)
	g.readGPUs(tree)
	g.Packages = readPackages(ctx, tree, runner, g.Family)
	g.Updates = readUpdates(tree, g.Family, g.Packages)
	return g
}

// kernelRelease is the release of the running kernel. It becomes part of file names.
func kernelRelease(file Text) string {
	release := file.Value()
	if strings.ContainsAny(release, "/ \t\n") || len(release) > 128 {
		return ""
	}
	return release
}

// readSystem reads os-release(5).
func (g *Guest) readSystem(tree hosttree.Reader) {
	file := read(tree, "etc/os-release")
	if !file.OK() { // a link that leads out of the root is not followed
		file = read(tree, "usr/lib/os-release")
	}
	values := map[string]string{}
	for line := range strings.Lines(file.Body) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[key] = strings.Trim(value, `"'`)
	}
	g.Name = values["PRETTY_NAME"]
	g.OS = strings.TrimSpace(values["ID"] + " " + values["VERSION_ID"])
	for _, id := range append([]string{values["ID"]}, strings.Fields(values["ID_LIKE"])...) {
		switch {
		case id == "debian" || id == "ubuntu":
			g.Family = Debian
		case (id == "rhel" || id == "fedora") && g.Family == "":
			g.Family = RedHat
		}
	}
}

// readOurs reads our own files.
func (g *Guest) readOurs(tree hosttree.Reader) {
	name := func(file string) string { return strings.TrimPrefix(file, "/") }
	if g.OrdersFile = read(tree, name(guest.OrdersFile)); g.OrdersFile.OK() {
		g.Orders, g.OrdersErr = guest.ParseOrders([]byte(g.OrdersFile.Body))
	}
	if g.StatusFile = read(tree, name(guest.StatusFile)); g.StatusFile.OK() {
		g.Status, _ = guest.ParseStatus([]byte(g.StatusFile.Body)) // a damaged one is written again
	}
	if g.MarkerFile = read(tree, name(guest.MarkerFile)); g.MarkerFile.OK() {
		template, err := guest.ParseTemplate([]byte(g.MarkerFile.Body))
		if g.Template = template; err != nil {
			g.MarkerFile.Err = err
		}
	}
}

// readGPUs reads the NVIDIA GPUs, and adds what the driver knows about them.
func (g *Guest) readGPUs(tree hosttree.Reader) {
	host, err := hostpci.Read(tree)
	if err != nil {
		g.GPUsErr = err
		return
	}
	information := readInformation(tree)
	for i := range host.Functions {
		f := &host.Functions[i]
		if f.ID.Vendor != pci.VendorNVIDIA || !f.Class.IsDisplay() {
			continue
		}
		seen := information[f.BDF]
		g.GPUs = append(g.GPUs, GPU{BDF: f.BDF, ID: f.ID, Model: seen.Model, Driver: f.Driver, UUID: seen.UUID})
	}
	if len(g.GPUs) == 1 && len(g.Listed) == 1 { // nvidia-smi -L names no address
		g.GPUs[0].UUID, g.GPUs[0].Model = g.Listed[0].UUID, g.Listed[0].Model
	}
}

// Seen lists the GPUs for the status.
func (g *Guest) Seen() []guest.SeenGPU {
	seen := []guest.SeenGPU{}
	for _, gpu := range g.GPUs {
		seen = append(seen, guest.SeenGPU{BDF: gpu.BDF.String(), ID: gpu.ID.String(), Model: gpu.Model, UUID: gpu.UUID})
	}
	return seen
}

// DeviceFiles lists the names in /dev that the driver made.
func (g *Guest) DeviceFiles() []string { return slices.Sorted(maps.Keys(g.Devices)) }
