package sysfsim

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// ErrPowerLost is the error of every call between a power loss and the next Reboot.
var ErrPowerLost = errors.New("the power is gone")

// Host is a tree that behaves like the kernel of one host. It implements
// hosttree.Reader and is safe for concurrent use.
type Host struct {
	mu      sync.Mutex
	tree    *hosttree.Archive
	table   []Driver
	devices []*device // by address
	loaded  []string  // drivers, in the order of loading
	atBoot  []string  // drivers that the distribution loads at boot
	absent  map[string]bool
	dynamic map[string][]pci.ID
	faults  []*Fault
	writes  []Write
	off     bool
	boots   int
	hung    int
}

// Write is a requested write.
type Write struct{ Name, Data string }

// String is the write in the form of a shell.
func (w Write) String() string { return fmt.Sprintf("%s > %s", strings.TrimSpace(w.Data), w.Name) }

// New makes a host from a tree. The drivers in sys/bus/pci/drivers of the tree are
// loaded, now and after each Reboot.
func New(tree *hosttree.Archive) *Host {
	h := &Host{tree: tree, table: Drivers(), dynamic: map[string][]pci.ID{}, absent: map[string]bool{}}
	names, _ := tree.ReadDir(devicesDir)
	for _, bdf := range names {
		h.devices = append(h.devices, h.device(bdf))
	}
	drivers, _ := tree.ReadDir(driversDir)
	slices.SortStableFunc(drivers, func(a, b string) int { return h.rank(a) - h.rank(b) })
	for _, driver := range drivers {
		h.register(driver) // devices that are bound in the tree stay bound
	}
	h.atBoot = slices.Clone(h.loaded)
	h.bootID()
	return h
}

// Parse makes a host from the text of an archive.
func Parse(text []byte) (*Host, error) {
	tree, err := hosttree.Parse(text)
	if err != nil {
		return nil, err
	}
	return New(tree), nil
}

// rank is a driver's position in the table, so that the order is always the same.
func (h *Host) rank(driver string) int {
	if i := slices.IndexFunc(h.table, func(t Driver) bool { return t.Name == driver }); i >= 0 {
		return i
	}
	return len(h.table)
}

func (h *Host) device(bdf string) *device {
	at := path.Join(devicesDir, bdf)
	number := func(name string) uint64 {
		data, _ := h.tree.ReadFile(path.Join(at, name))
		n, _ := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(string(data)), "0x"), 16, 32)
		return n
	}
	d := &device{bdf: bdf, id: pci.ID{Vendor: uint16(number("vendor")), Device: uint16(number("device"))}, class: pci.Class(number("class"))}
	if group, err := h.tree.Readlink(path.Join(at, "iommu_group")); err == nil {
		d.group = path.Base(group)
	}
	if driver, err := h.tree.Readlink(path.Join(at, "driver")); err == nil {
		d.driver = path.Base(driver)
	}
	if data, err := h.tree.ReadFile(path.Join(at, "driver_override")); err == nil {
		d.override = strings.TrimSuffix(strings.TrimSpace(string(data)), "(null)")
	}
	h.showOverride(d)
	return d
}

func (h *Host) showOverride(d *device) {
	text := d.override
	if text == "" {
		text = "(null)"
	}
	h.tree.WriteFile(path.Join(devicesDir, d.bdf, "driver_override"), []byte(text+"\n"))
}

func (h *Host) bootID() {
	h.boots++
	h.tree.WriteFile("proc/sys/kernel/random/boot_id", fmt.Appendf(nil, "%08d-0000-4000-8000-000000000000\n", h.boots))
}

func (h *Host) find(bdf string) *device {
	i := slices.IndexFunc(h.devices, func(d *device) bool { return d.bdf == bdf })
	if i < 0 {
		return nil
	}
	return h.devices[i]
}

// ReadFile implements hosttree.Reader.
func (h *Host) ReadFile(name string) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.off {
		return nil, ErrPowerLost
	}
	if path.Base(name) == "driver_override" {
		if d := h.find(path.Base(path.Dir(name))); d != nil && d.locked {
			h.hung++ // in a real kernel the reader would hang
			return nil, &fs.PathError{Op: "read", Path: name, Err: syscall.EDEADLK}
		}
	}
	return h.tree.ReadFile(name)
}

// ReadDir implements hosttree.Reader.
func (h *Host) ReadDir(name string) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.off {
		return nil, ErrPowerLost
	}
	return h.tree.ReadDir(name)
}

// Readlink implements hosttree.Reader.
func (h *Host) Readlink(name string) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.off {
		return "", ErrPowerLost
	}
	return h.tree.Readlink(name)
}

// Tree returns the tree itself, for adding files that do not belong to PCI.
func (h *Host) Tree() *hosttree.Archive { return h.tree }

// Writes returns all requested writes since the start.
func (h *Host) Writes() []Write {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.writes)
}

// HungReads counts the reads that would hang in a real kernel.
func (h *Host) HungReads() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hung
}

// Driver is the driver of a function; "" for none.
func (h *Host) Driver(bdf string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d := h.find(bdf); d != nil {
		return d.driver
	}
	return ""
}

// Override is the driver_override of a function; "" for none.
func (h *Host) Override(bdf string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d := h.find(bdf); d != nil {
		return d.override
	}
	return ""
}

// Use sets whether a process has a function open, so that its unbind waits.
func (h *Host) Use(bdf string, inUse bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.find(bdf).inUse = inUse
}

// Forget removes a module from the disk, so that modprobe does not find it.
func (h *Host) Forget(driver string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.absent[driver] = true
}

// Modprobe loads the driver with this name or this module.
func (h *Host) Modprobe(name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.off {
		return ErrPowerLost
	}
	i := slices.IndexFunc(h.table, func(t Driver) bool {
		return t.Name == name || strings.ReplaceAll(t.module(), "-", "_") == strings.ReplaceAll(name, "-", "_")
	})
	if i < 0 || h.absent[h.table[i].Name] {
		return fmt.Errorf("modprobe: FATAL: Module %s not found", name)
	}
	h.load(h.table[i].Name)
	return nil
}

// PowerLoss simulates a power loss: until Reboot every call fails.
func (h *Host) PowerLoss() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.off = true
}

// Reboot restarts the host. Overrides, dynamic IDs, hangs and bindings are lost. early
// runs before the distribution's drivers are loaded, like an initramfs; it may be nil,
// and may call the Host.
func (h *Host) Reboot(early func()) {
	h.mu.Lock()
	h.off = false
	for _, driver := range h.loaded {
		h.tree.Remove(path.Join(driversDir, driver))
	}
	for _, d := range h.devices {
		if d.driver != "" {
			h.detach(d)
		}
		d.inUse, d.locked, d.override = false, false, ""
		h.showOverride(d)
	}
	h.tree.Remove("dev/vfio")
	h.loaded, h.dynamic, h.faults = nil, map[string][]pci.ID{}, nil
	h.bootID()
	h.mu.Unlock()
	if early != nil {
		early()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, driver := range h.atBoot {
		h.load(driver)
	}
}
