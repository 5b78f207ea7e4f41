// Package pci reads the PCI devices of a Linux host: functions, IOMMU groups,
// drivers, memory windows, links, power, and the processes and VMs that use a card.
// It reads a tree (package hosttree), so that it works the same on a captured host
// and on a live one. It writes nothing.
//
// An unreadable device does not hide the others. Attributes that could not be read
// are listed in Function.Unreadable; the others are filled in.
//
// Sources: Documentation/ABI/testing/sysfs-bus-pci and
// Documentation/PCI/sysfs-pci.rst of the kernel, proc(5).
package pci
