// Package check judges whether a Linux host is ready to give its GPUs to
// virtual machines, and if not, which layer says no. It reads a tree (package
// hosttree), so that a captured host is judged like a live one, and it changes
// nothing.
//
// Three things keep it honest. Effects are tested, not settings: an IOMMU that is
// on is on, whatever the command line says. What could not be seen is Unknown and
// never Pass. And "now" and "after the next reboot" are two verdicts, because
// what was done by hand is gone after a reboot, and what was written to disk is
// not there before one.
//
// The order is that of the layers: firmware, kernel, modules, group, owner,
// window, reset, memory, identity, VM. At the first layer that fails, explaining
// stops: what is above it would only be noise, and is listed as not evaluated.
//
// The conditions, their texts and their remedies are described by the pages of
// package finding, with their sources.
package check
