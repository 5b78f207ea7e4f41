// Package capture copies the parts of a Linux host that matter for GPU passthrough
// into one text archive. Secret and personal data is left out: serial numbers,
// network addresses, UUIDs, names of hosts and VMs. Of files that people write,
// only the known settings are kept. A user's bug report so becomes a test fixture
// that can be read like the host itself.
package capture
