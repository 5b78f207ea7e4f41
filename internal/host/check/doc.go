// Package check checks whether a Linux host is ready to pass its GPUs through to
// virtual machines, and if not, which layer prevents it. It reads a tree (package
// hosttree), so that it works the same on a captured host and on a live one. It
// changes nothing.
//
// Three rules make its verdicts reliable. It tests effects, not settings: if the
// IOMMU works, it is on, whatever the command line says. What could not be read is
// Unknown and never Pass. "Now" and "after the next reboot" are two verdicts,
// because manual changes are lost at a reboot, and changes on disk take effect
// only then.
//
// The order is that of the layers: firmware, kernel, modules, group, owner,
// window, reset, memory, identity, VM. The layers above the first one that fails
// are listed as not evaluated, because their findings would only distract.
//
// The conditions, their texts and their fixes are described by the pages of
// package finding, with their sources.
package check
