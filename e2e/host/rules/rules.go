// Package rules describes how the Linux kernel reacts to writes to a PCI device's
// driver_override and to a driver's bind, unbind and new_id: the error, and the drivers
// afterwards. The test in e2e/host runs the rules on a real kernel; the tests of
// sysfsim run the same rules on the simulated one.
//
// Seen on Linux 6.1.192 (Debian 12). The sources are drivers/base/bus.c,
// drivers/base/dd.c and drivers/pci/pci-driver.c.
package rules

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// Kernel is a real or simulated kernel.
type Kernel interface {
	hosttree.Reader
	// Write writes to an attribute; an error is a syscall.Errno, or fs.ErrNotExist.
	Write(ctx context.Context, name string, data []byte) error
}

// Devices are the devices that the rules need: a card with a display and a sound
// function, each on its own driver, and a second display of the same model and driver,
// in a group of its own.
type Devices struct {
	Display, Sound, Second string // addresses
	DisplayDriver          string
	SoundDriver            string
	ID                     string // of the displays, "10de 1eb8"; no driver of the table but DisplayDriver matches it
}

// Rule is one write and its effect. The rules of a list are run in order: each begins
// with the state in which the previous one ended.
type Rule struct {
	Says  string
	Name  string // below sys/bus/pci
	Text  string
	Errno syscall.Errno // 0: no error
	Then  []State
}

// State is the state of a function.
type State struct {
	BDF, Driver, Override string
	Node                  bool // /dev/vfio/N of its group exists
}

const (
	vfio   = "vfio-pci"
	absent = "0000:99:00.0" // no such device
	clear  = "\n"
)

// Rules are the rules for a host with an IOMMU. At the end, its state is as before.
func Rules(w Devices) []Rule {
	return slices.Concat(w.mistakes(), w.overrides(), w.moving(), w.seconds())
}

// WithoutIOMMU are the rules for a host without an IOMMU.
func WithoutIOMMU(w Devices) []Rule {
	display := func(driver, override string) []State { return []State{{w.Display, driver, override, false}} }
	return slices.Concat(w.mistakes(), w.overrides(), []Rule{
		{"the display gets an override", override(w.Display), vfio, 0, display(w.DisplayDriver, vfio)},
		{"it leaves its driver", driver(w.DisplayDriver, "unbind"), w.Display, 0, display("", vfio)},
		{"vfio-pci refuses a device without a group, and the override stays", driver(vfio, "bind"), w.Display, syscall.EINVAL, display("", vfio)},
		{"probing returns no error although the driver refused", "drivers_probe", w.Display, 0, display("", vfio)},
		{"the override is cleared", override(w.Display), clear, 0, display("", "")},
		{"it has its own driver again", "drivers_probe", w.Display, 0, display(w.DisplayDriver, "")},
	})
}

func driver(name, verb string) string { return "drivers/" + name + "/" + verb }
func override(bdf string) string      { return "devices/" + bdf + "/driver_override" }

// mistakes are writes that change nothing.
func (w Devices) mistakes() []Rule {
	same := []State{{w.Display, w.DisplayDriver, "", false}}
	return []Rule{
		{"unbind refuses a device that another driver has", driver(vfio, "unbind"), w.Display, syscall.ENODEV, same},
		{"unbind refuses a device that does not exist", driver(vfio, "unbind"), absent, syscall.ENODEV, same},
		{"bind refuses a device that the driver does not match, whoever has it", driver(vfio, "bind"), w.Display, syscall.ENODEV, same},
		{"bind refuses a device that does not exist", driver(vfio, "bind"), absent, syscall.ENODEV, same},
		{"bind refuses a device that the driver has", driver(w.DisplayDriver, "bind"), w.Display, syscall.EBUSY, same},
		{"a driver that is not loaded has no files", driver("gpuworker-none", "bind"), w.Display, syscall.ENOENT, same},
		{"probing a device that has a driver does nothing", "drivers_probe", w.Display, 0, same},
		{"probing a device that does not exist is an error", "drivers_probe", absent, syscall.ENODEV, same},
		{"a device that does not exist has no override", override(absent), vfio, syscall.ENOENT, same},
	}
}

func (w Devices) overrides() []Rule {
	is := func(text string) []State { return []State{{w.Display, w.DisplayDriver, text, false}} }
	return []Rule{
		{"an override of a bound device changes no driver", override(w.Display), vfio + "\n", 0, is(vfio)},
		{"its line feed is not part of it", override(w.Display), vfio, 0, is(vfio)},
		{"writing nothing changes nothing", override(w.Display), "", 0, is(vfio)},
		{"bind refuses a device that another driver has, though the override names this one", driver(vfio, "bind"), w.Display, syscall.EBUSY, is(vfio)},
		{"probing does not take it from its driver either", "drivers_probe", w.Display, 0, is(vfio)},
		{"an override may name a driver that does not exist", override(w.Display), "gpuworker-none", 0, is("gpuworker-none")},
		{"an override that fills a page is refused", override(w.Display), strings.Repeat("x", 4095), syscall.EINVAL, is("gpuworker-none")},
		{"a line feed clears it", override(w.Display), clear, 0, is("")},
	}
}

// moving moves a whole card to vfio-pci and back.
func (w Devices) moving() []Rule {
	display := func(driver, override string, node bool) []State {
		return []State{{w.Display, driver, override, node}}
	}
	both := func(d, s string) []State {
		return []State{{w.Display, d, "", true}, {w.Sound, s, "", true}}
	}
	return []Rule{
		{"unbind takes a device from its driver", driver(w.DisplayDriver, "unbind"), w.Display, 0, display("", "", false)},
		{"unbind refuses a device without a driver", driver(w.DisplayDriver, "unbind"), w.Display, syscall.ENODEV, display("", "", false)},
		{"vfio-pci matches nothing by itself", driver(vfio, "bind"), w.Display, syscall.ENODEV, display("", "", false)},
		{"it gets another override", override(w.Display), "gpuworker-none", 0, display("", "gpuworker-none", false)},
		{"bind is refused when the override names another driver", driver(vfio, "bind"), w.Display, syscall.ENODEV, display("", "gpuworker-none", false)},
		{"the same for its original driver", driver(w.DisplayDriver, "bind"), w.Display, syscall.ENODEV, display("", "gpuworker-none", false)},
		{"probing finds no driver and returns no error", "drivers_probe", w.Display, 0, display("", "gpuworker-none", false)},
		{"it gets the override of vfio-pci", override(w.Display), vfio, 0, display("", vfio, false)},
		{"probing binds it, and its group has a node", "drivers_probe", w.Display, 0, display(vfio, vfio, true)},
		{"bind refuses it the second time", driver(vfio, "bind"), w.Display, syscall.EBUSY, display(vfio, vfio, true)},
		{"without its override it stays where it is", override(w.Display), clear, 0, display(vfio, "", true)},
		{"the sound gets an override", override(w.Sound), vfio, 0, []State{{w.Sound, w.SoundDriver, vfio, true}}},
		{"the sound leaves its driver, named with a line feed", driver(w.SoundDriver, "unbind"), w.Sound + "\n", 0, []State{{w.Sound, "", vfio, true}}},
		{"bind takes it", driver(vfio, "bind"), w.Sound + "\n", 0, []State{{w.Sound, vfio, vfio, true}}},
		{"its override is cleared", override(w.Sound), clear, 0, both(vfio, vfio)},
		{"the display leaves vfio-pci, and the group keeps its node for the sound", driver(vfio, "unbind"), w.Display, 0, both("", vfio)},
		{"the sound leaves it too, and the node disappears", driver(vfio, "unbind"), w.Sound, 0, []State{{w.Display, "", "", false}, {w.Sound, "", "", false}}},
		{"probing gives the display its own driver again", "drivers_probe", w.Display, 0, display(w.DisplayDriver, "", false)},
		{"and the sound", "drivers_probe", w.Sound, 0, []State{{w.Sound, w.SoundDriver, "", false}}},
	}
}

// seconds shows why new_id must not be used: it takes other cards of the model too.
func (w Devices) seconds() []Rule {
	all := func(display, second string) []State {
		return []State{{w.Display, display, "", display == vfio}, {w.Second, second, "", second == vfio}}
	}
	own := w.DisplayDriver
	return []Rule{
		{"a new ID takes no device from its driver", driver(vfio, "new_id"), w.ID, 0, all(own, own)},
		{"the same ID a second time is refused", driver(vfio, "new_id"), w.ID, syscall.EEXIST, all(own, own)},
		{"an invalid ID is refused", driver(vfio, "new_id"), "zz", syscall.EINVAL, all(own, own)},
		{"an ID is removed", driver(vfio, "remove_id"), w.ID, 0, all(own, own)},
		{"an unknown ID cannot be removed", driver(vfio, "remove_id"), w.ID, syscall.ENODEV, all(own, own)},
		{"the second card is without a driver", driver(own, "unbind"), w.Second, 0, all(own, "")},
		{"a new ID takes it, although its address was not written", driver(vfio, "new_id"), w.ID, 0, all(own, vfio)},
		{"it keeps vfio-pci when the ID is removed", driver(vfio, "remove_id"), w.ID, 0, all(own, vfio)},
		{"the second card leaves vfio-pci", driver(vfio, "unbind"), w.Second, 0, all(own, "")},
		{"and has its own driver again", "drivers_probe", w.Second, 0, all(own, own)},
	}
}

// Run checks that a kernel follows the rules.
func Run(t *testing.T, k Kernel, rules []Rule) {
	t.Helper()
	for _, rule := range rules {
		errno, err := number(k.Write(t.Context(), "sys/bus/pci/"+rule.Name, []byte(rule.Text)))
		if err != nil {
			t.Fatalf("%s: %v", rule.Says, err)
		}
		if errno != rule.Errno {
			t.Errorf("%s: %q written to %s is answered with %v, not with %v", rule.Says, brief(rule.Text), rule.Name, errno, rule.Errno)
		}
		for _, expected := range rule.Then {
			if got := look(k, expected.BDF); got != expected {
				t.Errorf("%s: afterwards\n%+v, not\n%+v", rule.Says, got, expected)
			}
		}
	}
}

// number returns the error number of an error.
func number(err error) (errno syscall.Errno, other error) {
	switch {
	case errors.As(err, &errno):
		return errno, nil
	case errors.Is(err, fs.ErrNotExist):
		return syscall.ENOENT, nil
	}
	return 0, err
}

func brief(text string) string { return text[:min(len(text), 40)] }

// look returns the current state of a function.
func look(k Kernel, bdf string) State {
	dir := "sys/bus/pci/devices/" + bdf
	s := State{BDF: bdf}
	if target, err := k.Readlink(path.Join(dir, "driver")); err == nil {
		s.Driver = path.Base(target)
	}
	if text, err := k.ReadFile(path.Join(dir, "driver_override")); err == nil && strings.TrimSpace(string(text)) != "(null)" {
		s.Override = strings.TrimSpace(string(text))
	}
	if group, err := k.Readlink(path.Join(dir, "iommu_group")); err == nil {
		nodes, _ := k.ReadDir("dev/vfio")
		s.Node = slices.Contains(nodes, path.Base(group))
	}
	return s
}
