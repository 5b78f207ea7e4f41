// Package vmclaim decides about claims where a hypervisor has no register of cards
// with atomic writes. A claim is then a word in the note of the VM for the card, and
// several VMs may have it at the same time.
//
// The order of writes and reads makes it safe. A worker first writes its claim, and
// only then reads all other VMs. When two workers claim the same card, at least the
// one that wrote second sees the claim of the other, in whatever order the single
// reads and writes happen. A worker that sees another claim withdraws its own, pauses
// for a random time and tries again. Neither time nor name decides: both may yield,
// but both may never hold the card.
//
// The card itself is attached by compare-and-swap, against the configuration of the
// VM that was read before all other VMs: this proves that the claim was there all the
// time. From then on the claim is never withdrawn, and others yield to it.
//
// A backend reads and writes. This package only decides the next action; it is pure.
package vmclaim
