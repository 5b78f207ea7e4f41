// Package bind gives a GPU of this host to vfio-pci, so that a virtual
// machine can have it, and gives it back to the host's own drivers.
//
// One call makes a card bound or free. What is to be done is computed from what
// is seen (remaining) and from the journal, which holds what was there before:
// the driver and the override of each function. After each step the host is
// looked at again, and a step that changed nothing is an error. So a run that
// was killed, or cut off from power, is taken up by the next one: it computes
// what remains. The journal is on the disk before anything is touched.
//
// All functions of the card move and only those, by driver_override and never by
// new_id, which would take a second card of the same make too. Every write goes
// to the kernel from a process of its own, since some writes never return: the
// journal then says that the card is stuck until the host is rebooted, and
// nobody tries again.
//
// For the next boot there is one file for each card, with its fingerprint. A
// script in the initramfs, and udev later, compares the fingerprint before it
// writes the override: a card that moved to another address never makes the boot
// take somebody else's disk.
package bind
