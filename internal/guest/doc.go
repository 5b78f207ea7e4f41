// Package guest is what the engine and gpuworker-guest, the program in the VM, tell each
// other: the orders that the engine puts into the guest, and the status that the program
// writes. Neither has a secret.
//
// The status is written inside a VM that other people control. To the engine it is
// untrusted: ParseStatus bounds its size and cleans its texts.
package guest

// Files in the guest.
const (
	OrdersFile  = "/etc/gpuworker/orders.json"
	StatusFile  = "/var/lib/gpuworker/status.json"
	LogFile     = "/var/log/gpuworker-guest.log"
	MarkerFile  = "/var/lib/gpuworker/template.json" // in a sealed template, and in its clones
	ProgramFile = "/usr/local/sbin/gpuworker-guest"
)

// Version is the version of the form of Orders and Status. A new one is needed only when
// an older reader would do harm.
const Version = 1
