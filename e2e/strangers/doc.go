// Package strangers tests the simulator with Proxmox VE clients of other projects, and
// images with another library for them. It is a separate module, so that these do not
// become dependencies of gpuworker.
package strangers
