package sysfsim

import (
	"context"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// Fault makes a write fail, hang or have no effect.
type Fault struct {
	// Nth limits the fault to the n-th write that fits Path and Data, counted from when
	// the fault was added; 0 means every such write. A write for which an earlier fault
	// happens is not counted.
	Nth int
	// Path limits it to files whose name ends with this, Data to writes of exactly this
	// text; blanks and line feeds around the written text are ignored. "" means any.
	Path, Data string
	// Times is the number of times that it happens; 0 means always.
	Times int
	// Err is the error of the write: a syscall.Errno. If none of Err, Hang,
	// PowerLoss and After is set, the write reports success but has no effect.
	Err error
	// Hang makes the write wait until its context ends; the device stays locked.
	Hang bool
	// PowerLoss causes a power loss at this write.
	PowerLoss bool
	// After: the fault happens after the write has taken effect.
	After bool

	seen, done int
}

// AddFault adds a fault. If several fit a write, the first one happens.
func (h *Host) AddFault(f Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = append(h.faults, &f)
}

// Repair removes all faults. Hanging writes still hang.
func (h *Host) Repair() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = nil
}

func (h *Host) fault(w Write) *Fault {
	for _, f := range h.faults {
		if !strings.HasSuffix(w.Name, f.Path) || f.Data != "" && strings.TrimSpace(w.Data) != f.Data {
			continue
		}
		f.seen++
		if f.Nth != 0 && f.seen != f.Nth || f.Times != 0 && f.done >= f.Times {
			continue
		}
		f.done++
		return f
	}
	return nil
}

// Write writes to an attribute of sysfs. It returns the context's error if the
// simulated kernel did not answer before the context ended.
func (h *Host) Write(ctx context.Context, name string, data []byte) error {
	hang, err := h.write(Write{name, string(data)})
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if err != nil && err != ErrPowerLost { //nolint:errorlint // it is never wrapped here
		return &fs.PathError{Op: "write", Path: name, Err: err}
	}
	return err
}

func (h *Host) write(w Write) (hang bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.off {
		return false, ErrPowerLost
	}
	h.writes = append(h.writes, w)
	f := h.fault(w)
	if f == nil {
		return h.store(w)
	}
	if f.After {
		_, _ = h.store(w)
	}
	switch {
	case f.PowerLoss:
		h.off = true
		return false, ErrPowerLost
	case f.Hang:
		h.lockDeviceOf(w)
		return true, nil
	}
	return false, f.Err
}

// lockDeviceOf locks the device of a write that hangs. bind and unbind name it in the
// data, driver_override in the path.
func (h *Host) lockDeviceOf(w Write) {
	for _, bdf := range []string{strings.TrimSpace(w.Data), path.Base(path.Dir(w.Name))} {
		if d := h.find(bdf); d != nil {
			h.lockDevice(d, path.Base(w.Name) == "unbind")
		}
	}
}

// lockDevice locks a device. An unbind removes the links to the driver before it calls
// the driver. So during a hanging unbind, sysfs shows no driver although the driver still
// has the device.
func (h *Host) lockDevice(d *device, unbinding bool) {
	d.locked = true
	if unbinding && d.driver != "" {
		h.tree.Remove(path.Join(h.real(d), "driver"))
		h.tree.Remove(path.Join(driversDir, d.driver, d.bdf))
	}
}

// store applies a write.
func (h *Host) store(w Write) (hang bool, err error) {
	real, err := h.tree.Resolve(w.Name)
	if err != nil {
		return false, err
	}
	if w.Data == "" {
		return false, nil // an empty write does not reach the attribute
	}
	text := strings.TrimRight(w.Data, "\n")
	dir, attribute := path.Split(real)
	dir = path.Clean(dir)
	switch {
	case real == "sys/bus/pci/drivers_probe":
		return h.probeDevice(text)
	case real == "sys/bus/pci/rescan":
		return false, nil // all devices are already present
	case attribute == "driver_override":
		return h.setOverride(path.Base(dir), w.Data)
	case path.Dir(dir) != driversDir:
		return false, syscall.EACCES
	}
	driver := path.Base(dir)
	switch attribute {
	case "bind":
		return h.bind(driver, text)
	case "unbind":
		return h.unbind(driver, text)
	case "new_id":
		return false, h.newID(driver, text)
	case "remove_id":
		return false, h.removeID(driver, text)
	}
	return false, syscall.EACCES
}

// pageSize is the size of a page. The kernel refuses a write of pageSize-1 bytes or more
// to driver_override.
const pageSize = 4096

func (h *Host) setOverride(bdf, data string) (hang bool, err error) {
	d := h.find(bdf)
	switch {
	case d == nil:
		return false, syscall.ENODEV
	case len(data) >= pageSize-1:
		return false, syscall.EINVAL
	case d.locked:
		return true, nil
	}
	d.override, _, _ = strings.Cut(data, "\n")
	h.showOverride(d)
	return false, nil
}

func (h *Host) bind(driver, bdf string) (hang bool, err error) {
	d := h.find(bdf)
	switch {
	case d == nil || !h.matches(driver, d):
		return false, syscall.ENODEV
	case d.locked:
		return true, nil
	}
	return false, h.probe(driver, d)
}

func (h *Host) unbind(driver, bdf string) (hang bool, err error) {
	d := h.find(bdf)
	switch {
	case d == nil || d.driver != driver:
		return false, syscall.ENODEV
	case d.locked:
		return true, nil
	case d.inUse:
		h.lockDevice(d, true)
		return true, nil
	}
	h.detach(d)
	return false, nil
}

func (h *Host) probeDevice(bdf string) (hang bool, err error) {
	d := h.find(bdf)
	switch {
	case d == nil:
		return false, syscall.ENODEV
	case d.locked && d.driver == "": // with a driver, the kernel returns before it takes the lock
		return true, nil
	}
	h.attach(d)
	return false, nil
}

// newID adds an ID, written as "10de 1eb8", to a driver, and binds the free devices that
// match.
func (h *Host) newID(driver, text string) error {
	id, err := parseID(text)
	if err != nil {
		return err
	}
	if slices.Contains(h.dynamic[driver], id) {
		return syscall.EEXIST
	}
	h.dynamic[driver] = append(h.dynamic[driver], id)
	for _, d := range h.devices {
		if d.driver == "" && !d.locked && h.matches(driver, d) {
			_ = h.probe(driver, d)
		}
	}
	return nil
}

// removeID removes an ID; devices that were bound because of it stay bound.
func (h *Host) removeID(driver, text string) error {
	id, err := parseID(text)
	if err != nil {
		return err
	}
	i := slices.Index(h.dynamic[driver], id)
	if i < 0 {
		return syscall.ENODEV
	}
	h.dynamic[driver] = slices.Delete(h.dynamic[driver], i, i+1)
	return nil
}

// parseID reads "10de 1eb8".
func parseID(text string) (pci.ID, error) {
	fields := strings.Fields(text)
	if len(fields) < 2 {
		return pci.ID{}, syscall.EINVAL
	}
	id, err := pci.ParseID(fields[0] + ":" + fields[1])
	if err != nil {
		return pci.ID{}, syscall.EINVAL
	}
	return id, nil
}
