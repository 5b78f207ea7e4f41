// Package hostcapture copies the part of a Linux host that matters for handing
// out its GPUs into one text archive, without what is secret or personal: serial
// numbers, MAC addresses, UUIDs, names of VMs, and whatever is no part of the
// question. A user's bug report becomes a fixture that reads like the host.
package hostcapture
