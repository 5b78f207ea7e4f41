package pve

import (
	"context"
	"time"
)

// CloneOptions are the options of a clone. For empty ones, the server's defaults apply.
type CloneOptions struct {
	NewID       int // required; the clone itself reserves it
	Name        string
	Description string
	// Full copies the disks. Otherwise a template becomes a linked clone, and other VMs
	// are copied in full.
	Full    bool
	Storage string // full clones only
	Target  string // another node; the source's storage must be shared
	Pool    string
}

// Clone creates a VM from a template or VM; node is that of the source. Exists means
// that NewID is in use. In a race of two clones, this may also be the error of the
// task. Until the task ends, the new VM is locked and has neither name nor tags.
func (c *Client) Clone(ctx context.Context, node string, vmid int, o CloneOptions) (Task, error) {
	call := post("/nodes/{}/qemu/{}/clone", node, vmid).at(node, vmid).
		withInt("newid", o.NewID).with("name", o.Name).with("description", o.Description).
		withFlag("full", o.Full).with("storage", o.Storage).
		with("target", o.Target).with("pool", o.Pool)
	call.clones = true
	return c.start(ctx, call)
}

// Resize enlarges a disk: size is "32G", or "+8G" to add. Disks cannot shrink. A wrong
// disk or size is an error of the task. With a digest, it fails with Changed if the
// configuration was changed since.
func (c *Client) Resize(ctx context.Context, node string, vmid int, disk, size, digest string) (Task, error) {
	return c.start(ctx, put("/nodes/{}/qemu/{}/resize", node, vmid).at(node, vmid).
		with("disk", disk).with("size", size).with("digest", digest))
}

// VMStatus is the state of a VM.
type VMStatus struct {
	VMID     int    `json:"vmid" required:""`
	Name     string `json:"name"`
	Status   string `json:"status" required:""` // "running" or "stopped"
	Template bool   `json:"template"`
	Uptime   int64  `json:"uptime"` // seconds
}

// Running reports whether the VM is running.
func (s VMStatus) Running() bool { return s.Status == "running" }

// VMStatus returns the state of a VM. Needs VM.Audit.
func (c *Client) VMStatus(ctx context.Context, node string, vmid int) (VMStatus, error) {
	var s VMStatus
	err := c.do(ctx, get("/nodes/{}/qemu/{}/status/current", node, vmid).at(node, vmid), &s)
	return s, err
}

// VMs lists the VMs of a node with their current state, while the list of Resources
// may be some seconds old. VMs without VM.Audit are left out.
func (c *Client) VMs(ctx context.Context, node string) ([]VMStatus, error) {
	var list []VMStatus
	err := c.do(ctx, get("/nodes/{}/qemu", node).at(node, 0), &list)
	return list, err
}

// Start starts a VM. With a timeout of 0 the server chooses one, depending on memory
// and passed-through devices. If the VM is already running or a device is in use, the
// task fails. A failed start may leave the VM running: check VMStatus. Needs
// VM.PowerMgmt.
func (c *Client) Start(ctx context.Context, node string, vmid int, timeout time.Duration) (Task, error) {
	return c.start(ctx, power("start", node, vmid).withSeconds("timeout", timeout))
}

// Stop switches a VM off at once. Stopping a stopped VM succeeds.
func (c *Client) Stop(ctx context.Context, node string, vmid int) (Task, error) {
	return c.start(ctx, power("stop", node, vmid))
}

// ShutdownOptions are the options of a shutdown.
type ShutdownOptions struct {
	Timeout   time.Duration // 0 means the server's default
	ForceStop bool          // switch off after the timeout
}

// Shutdown asks the guest to shut down. The VM is locked until the task ends.
func (c *Client) Shutdown(ctx context.Context, node string, vmid int, o ShutdownOptions) (Task, error) {
	return c.start(ctx, power("shutdown", node, vmid).
		withSeconds("timeout", o.Timeout).withFlag("forceStop", o.ForceStop))
}

func power(verb, node string, vmid int) *call {
	return post("/nodes/{}/qemu/{}/status/{}", node, vmid, verb).at(node, vmid)
}

// DestroyOptions are the options of Destroy.
type DestroyOptions struct {
	Purge bool // also remove the VM from backup jobs, replication and HA
}

// Destroy deletes a VM and its disks. The server accepts no digest here. So prove the
// identity of the VM first, by an UpdateConfig with the digest that was read. Needs
// VM.Allocate.
func (c *Client) Destroy(ctx context.Context, node string, vmid int, o DestroyOptions) (Task, error) {
	return c.start(ctx, del("/nodes/{}/qemu/{}", node, vmid).at(node, vmid).withFlag("purge", o.Purge))
}
