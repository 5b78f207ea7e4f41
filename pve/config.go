package pve

import (
	"context"
	"slices"
	"strings"
)

// VMConfig is the configuration of a VM, option by option as text.
type VMConfig struct {
	Digest  string
	Options map[string]string
}

// PendingConfig is the configuration of a VM with what waits for its next
// start.
type PendingConfig struct {
	Digest  string // of the configuration, for ConfigUpdate
	Options map[string]PendingOption
}

// PendingOption is one option: the value that the VM runs with and the change
// that waits. A new option has no value, an unchanged one nothing pending.
type PendingOption struct {
	Value      string
	HasValue   bool
	Pending    string
	HasPending bool
	Delete     bool // it will be gone
}

// Current is the value that counts now.
func (p PendingConfig) Current(option string) (string, bool) {
	o := p.Options[option]
	return o.Value, o.HasValue
}

// Next is the value that counts after the next stop and start.
func (p PendingConfig) Next(option string) (string, bool) {
	switch o := p.Options[option]; {
	case o.HasPending:
		return o.Pending, true
	case o.Delete:
		return "", false
	default:
		return o.Value, o.HasValue
	}
}

// Waiting lists the options with a change that waits for the next start.
func (p PendingConfig) Waiting() []string {
	var names []string
	for name, o := range p.Options {
		if o.HasPending || o.Delete {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Pending reads the configuration: what is current, what waits for the next
// start, and the digest, all of one moment. Needs VM.Audit.
func (c *Client) Pending(ctx context.Context, node string, vmid int) (PendingConfig, error) {
	call := get("/nodes/{}/qemu/{}/pending", node, vmid).at(node, vmid)
	var list []struct {
		Key     string  `json:"key" required:""`
		Value   *string `json:"value"`
		Pending *string `json:"pending"`
		Delete  int     `json:"delete"` // 2 when forced
	}
	if err := c.do(ctx, call, &list); err != nil {
		return PendingConfig{}, err
	}
	config := PendingConfig{Options: make(map[string]PendingOption, len(list))}
	for _, l := range list {
		o := PendingOption{HasValue: l.Value != nil, HasPending: l.Pending != nil, Delete: l.Delete != 0}
		if o.HasValue {
			o.Value = *l.Value
		}
		if o.HasPending {
			o.Pending = *l.Pending
		}
		config.Options[l.Key] = o
	}
	config.Digest = config.Options["digest"].Value
	delete(config.Options, "digest")
	return config, nil
}

// Config reads the configuration: as it will be at the next start, or as it is
// now when current is true. Pending tells both. Needs VM.Audit.
func (c *Client) Config(ctx context.Context, node string, vmid int, current bool) (VMConfig, error) {
	call := get("/nodes/{}/qemu/{}/config", node, vmid).at(node, vmid).withFlag("current", current)
	var options map[string]string
	if err := c.do(ctx, call, &options); err != nil {
		return VMConfig{}, err
	}
	digest := options["digest"]
	delete(options, "digest")
	return VMConfig{Digest: digest, Options: options}, nil
}

// ConfigUpdate is a change of a VM's configuration. With a Digest it fails with
// Changed when the configuration was changed since that digest was read.
//
// The server writes options one by one: an update that fails may have been
// carried out in part. On a running VM much is taken as pending only.
type ConfigUpdate struct {
	Digest string
	Set    map[string]string
	Delete []string // options to remove; one that is not set is no error
	Revert []string // pending changes to take back
}

// UpdateConfig changes the configuration and waits until it is written.
func (c *Client) UpdateConfig(ctx context.Context, node string, vmid int, up ConfigUpdate) error {
	call := put("/nodes/{}/qemu/{}/config", node, vmid).at(node, vmid)
	if err := up.fill(call); err != nil {
		return err
	}
	return c.do(ctx, call, nil)
}

// UpdateConfigAsync changes the configuration in a task, which is the zero Task
// when the server did it at once. Some checks are made in the task only, and
// fail there.
func (c *Client) UpdateConfigAsync(ctx context.Context, node string, vmid int, up ConfigUpdate) (Task, error) {
	call := post("/nodes/{}/qemu/{}/config", node, vmid).at(node, vmid)
	if err := up.fill(call); err != nil {
		return Task{}, err
	}
	return c.startMaybe(ctx, call)
}

// hidden are options whose values are secrets.
var hidden = []string{"cipassword"}

func (up ConfigUpdate) fill(call *call) error {
	if len(up.Set)+len(up.Delete)+len(up.Revert) == 0 {
		return call.invalid("the update changes nothing; nothing was sent")
	}
	for name, value := range up.Set {
		call.form.Set(name, value) // also when it is empty
		if slices.Contains(hidden, name) {
			call.secrets = append(call.secrets, value)
		}
	}
	call.with("delete", strings.Join(up.Delete, ",")).
		with("revert", strings.Join(up.Revert, ",")).
		with("digest", up.Digest)
	return nil
}
