// Package strangers judges the simulator by clients that others wrote: what
// they take for Proxmox VE must work for them here. It is a module of its own
// because these clients, and what they need, are no dependencies of gpuworker.
package strangers
