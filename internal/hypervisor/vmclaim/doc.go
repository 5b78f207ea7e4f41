// Package vmclaim decides about claims where a hypervisor has no register of cards
// that is written atomically. A claim is then a word in the note of the VM that
// wants the card, and any number of VMs may carry it at once.
//
// What makes it safe is an order. Whoever wants a card first writes its claim and
// only then looks at all other VMs. Of two who want one card, at least the one
// that wrote second sees the other's claim, whatever the order of all single reads
// and writes. Who sees another's claim takes its own out again, waits for a random
// time and tries anew. Neither clock nor name decides between two: both may yield,
// both may never hold.
//
// The card itself is written by compare-and-swap, against what was read of the
// VM before all others were looked at: that proves that the claim stood all the
// time. From then on the claim is never withdrawn; others yield to it.
//
// A backend reads and writes; here is only what to do next. All of it is pure.
package vmclaim
