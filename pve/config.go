package pve

import (
	"context"
	"slices"
	"strings"
)

// PendingConfig is the configuration of a VM with the changes that are pending for
// its next start.
type PendingConfig struct {
	Digest  string // of the configuration, for ConfigUpdate
	Options map[string]PendingOption
}

// PendingOption is one option: its current value and its pending change. A new option
// has no value, an unchanged one has no pending change.
type PendingOption struct {
	Value      string
	HasValue   bool
	Pending    string
	HasPending bool
	Delete     bool // it will be removed
}

// Pending reads the configuration: the current values, the pending changes, and the
// digest, consistently in one call. Needs VM.Audit.
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

// ConfigUpdate is a change of a VM's configuration. With a Digest it fails with
// Changed when the configuration was changed since that digest was read.
//
// The server writes options one by one: an update that fails may have been carried out
// in part. On a running VM many changes only become pending.
type ConfigUpdate struct {
	Digest string
	Set    map[string]string
	Delete []string // options to remove; an option that is not set is not an error
}

// UpdateConfig changes the configuration and waits until it is written.
func (c *Client) UpdateConfig(ctx context.Context, node string, vmid int, up ConfigUpdate) error {
	call := put("/nodes/{}/qemu/{}/config", node, vmid).at(node, vmid)
	if err := up.fill(call); err != nil {
		return err
	}
	return c.do(ctx, call, nil)
}

// hidden are options whose values are secrets.
var hidden = []string{"cipassword"}

func (up ConfigUpdate) fill(call *call) error {
	if len(up.Set)+len(up.Delete) == 0 {
		return call.invalid("the update changes nothing; nothing was sent")
	}
	for name, value := range up.Set {
		call.form.Set(name, value) // also when it is empty
		if slices.Contains(hidden, name) {
			call.secrets = append(call.secrets, value)
		}
	}
	call.with("delete", strings.Join(up.Delete, ",")).
		with("digest", up.Digest)
	return nil
}
