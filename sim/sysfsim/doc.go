// Package sysfsim simulates the PCI part of sysfs. Writes to driver_override, bind,
// unbind, drivers_probe and new_id change drivers like in the kernel, with the same
// errors, and without an error where the kernel returns none. It is a tree in memory
// (hosttree.Archive), made from a captured host or by the builders in this package.
//
// The behavior follows drivers/base/bus.c, drivers/base/dd.c,
// drivers/pci/pci-driver.c and drivers/vfio of Linux 6.x:
//
//   - bind: ENODEV when there is no such device or the driver does not match it
//     (for example because the override names another driver), EBUSY when it has a
//     driver.
//   - unbind: ENODEV when the device is not on this driver. It waits while the device
//     is in use, and cannot be killed.
//   - drivers_probe: returns no error when no driver matches.
//   - driver_override: stays until a reboot; a line feed clears it.
//   - new_id: EEXIST for an ID that the driver already matches. Otherwise the driver
//     takes every unbound device of that model.
//   - A device whose unbind hangs is locked: reading or writing its driver_override
//     hangs too. The links to its driver are already gone.
//
// A test checks it against the rules that e2e/host runs on a real kernel.
//
// Faults are data: an error, an ignored write, a hang or a power loss at the n-th
// write or at a path. After a power loss the tree does not change until Reboot.
package sysfsim
