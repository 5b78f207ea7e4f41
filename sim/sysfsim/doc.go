// Package sysfsim is the PCI part of sysfs that behaves like the kernel when it
// is written to: driver_override, bind, unbind, drivers_probe and new_id move
// drivers, with the errors and the silences of the real one. It is a tree in
// memory (hosttree.Archive), made from a captured host or by its builders.
//
// What a write does is from drivers/base/bus.c, drivers/base/dd.c,
// drivers/pci/pci-driver.c and drivers/vfio of Linux 6.x:
//
//   - bind: ENODEV when there is no such device or the driver does not match it
//     (an override of another driver is such a case), EBUSY when it has a driver.
//   - unbind: ENODEV when the device is not on this driver; it waits for as long
//     as somebody uses the device, and cannot be killed.
//   - drivers_probe: says nothing when no driver matched.
//   - driver_override: survives everything but a reboot; a line feed clears it.
//   - new_id: EEXIST for what the driver matches already, otherwise it takes
//     every unbound device of that make, the twin included.
//   - A device whose unbind hangs is locked: whoever reads or writes its
//     driver_override hangs too. The links to its driver are gone already.
//
// A test holds it to the rules that e2e/host proves in a real kernel.
//
// Faults are data: an error, silence, a hang or a power loss at the n-th write
// or at a path. After a power loss the tree stays as it is until Reboot.
package sysfsim
