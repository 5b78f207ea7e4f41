// Package strangers tests the simulator with Proxmox VE clients of other projects. It
// is a separate module, so that these clients do not become dependencies of gpuworker.
package strangers
