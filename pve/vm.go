package pve

import (
	"context"
	"time"
)

// CloneOptions say how to clone. What is empty is left to the server.
type CloneOptions struct {
	NewID       int // required; making it is what reserves it
	Name        string
	Description string
	// Full copies the disks. Otherwise a template is cloned by linking, and a
	// VM that is no template in full.
	Full    bool
	Storage string // full clones only
	Target  string // another node; the source's storage must be shared
	Pool    string
}

// Clone makes a VM from a template or VM; node is the one that has the source.
// Exists means that NewID is taken, which also a task can find when two race.
// Until the task ends the new VM has a lock and neither name nor tags.
func (c *Client) Clone(ctx context.Context, node string, vmid int, o CloneOptions) (Task, error) {
	call := post("/nodes/{}/qemu/{}/clone", node, vmid).at(node, vmid).
		withInt("newid", o.NewID).with("name", o.Name).with("description", o.Description).
		withFlag("full", o.Full).with("storage", o.Storage).
		with("target", o.Target).with("pool", o.Pool)
	call.clones = true
	return c.start(ctx, call)
}

// Resize makes a disk larger: size is "32G", or "+8G" to add. Disks cannot
// shrink. A wrong disk or size fails in the task. With the digest of a
// configuration that was read, it fails with Changed when that is another now.
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

// Running reports whether QEMU runs for the VM.
func (s VMStatus) Running() bool { return s.Status == "running" }

// VMStatus asks for the state of a VM. Needs VM.Audit.
func (c *Client) VMStatus(ctx context.Context, node string, vmid int) (VMStatus, error) {
	var s VMStatus
	err := c.do(ctx, get("/nodes/{}/qemu/{}/status/current", node, vmid).at(node, vmid), &s)
	return s, err
}

// VMs lists the VMs of a node as they are now, while the list of Resources may
// lag by some seconds. VMs without VM.Audit are left out.
func (c *Client) VMs(ctx context.Context, node string) ([]VMStatus, error) {
	var list []VMStatus
	err := c.do(ctx, get("/nodes/{}/qemu", node).at(node, 0), &list)
	return list, err
}

// Start starts a VM. A timeout of 0 leaves it to the server, which allows for
// memory and passed-through devices. That the VM runs already or a device is in
// use is found by the task. A start that fails may leave the VM running: ask
// VMStatus. Needs VM.PowerMgmt.
func (c *Client) Start(ctx context.Context, node string, vmid int, timeout time.Duration) (Task, error) {
	return c.start(ctx, power("start", node, vmid).withSeconds("timeout", timeout))
}

// Stop switches a VM off at once. Stopping a stopped one ends well.
func (c *Client) Stop(ctx context.Context, node string, vmid int) (Task, error) {
	return c.start(ctx, power("stop", node, vmid))
}

// ShutdownOptions say how patient a shutdown is.
type ShutdownOptions struct {
	Timeout   time.Duration // the server's when 0
	ForceStop bool          // switch off when it does not go down in time
}

// Shutdown asks the guest to go down. The VM is locked until the task ends.
func (c *Client) Shutdown(ctx context.Context, node string, vmid int, o ShutdownOptions) (Task, error) {
	return c.start(ctx, power("shutdown", node, vmid).
		withSeconds("timeout", o.Timeout).withFlag("forceStop", o.ForceStop))
}

func power(verb, node string, vmid int) *call {
	return post("/nodes/{}/qemu/{}/status/{}", node, vmid, verb).at(node, vmid)
}

// DestroyOptions say what goes with a VM.
type DestroyOptions struct {
	Purge bool // also from backup jobs, replication and HA
}

// Destroy deletes a VM and its disks. The server takes no digest here: prove
// the identity of the VM first, by an UpdateConfig with the digest that was
// read. Needs VM.Allocate.
func (c *Client) Destroy(ctx context.Context, node string, vmid int, o DestroyOptions) (Task, error) {
	return c.start(ctx, del("/nodes/{}/qemu/{}", node, vmid).at(node, vmid).withFlag("purge", o.Purge))
}
