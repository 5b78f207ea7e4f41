// Package pci reads what a Linux host shows of its PCI devices: functions,
// IOMMU groups, drivers, memory windows, links, power, and who holds a card. It
// reads a tree (package hosttree), so that a captured host reads like a live
// one, and it writes nothing.
//
// One odd device never hides the others: what could not be read of a function is
// in its Unreadable, and the rest is there.
//
// Sources: Documentation/ABI/testing/sysfs-bus-pci and
// Documentation/PCI/sysfs-pci.rst of the kernel, proc(5).
package pci
