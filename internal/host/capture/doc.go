// Package capture copies the part of a Linux host that matters for handing
// out its GPUs into one text archive, without what is secret or personal: serial
// numbers, network addresses, UUIDs, names of hosts and VMs, and whatever is no
// part of the question: of files that people write only what is understood is kept. A user's bug report becomes a fixture that reads like the host.
package capture
