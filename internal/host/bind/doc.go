// Package bind binds a GPU of this host to vfio-pci, so that a virtual machine
// can use it, and returns it to the host's own drivers.
//
// One call brings a card to one of two states: bound or free. The steps are
// computed from the current state of the host (remaining) and from the journal,
// which records the previous driver and override of each function. The journal
// is on the disk before the first change. After each step the host is read
// again; a step that changed nothing is an error. After a kill or a power loss
// the next run computes the remaining steps and continues.
//
// All functions of the card are moved, and no others: with driver_override,
// never with new_id, which would also take a second card of the same model.
// Each write to the kernel is made by a separate process, because some writes
// never return. The journal then records that the card is stuck until the host
// is rebooted, and no run tries again before that.
//
// To bind at boot, there is one file for each card, with its fingerprint. A
// script in the initramfs, and later udev, compares the fingerprint before it
// writes the override. So if another device has the address of the card at that
// boot, for example a disk, the script does not touch it.
package bind
