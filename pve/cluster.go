package pve

import (
	"context"
	"fmt"
	"strings"
)

// Version is the version of the server.
type Version struct {
	Version string `json:"version" required:""` // "9.1.4"
}

// Version returns the version of the node of the endpoint.
func (c *Client) Version(ctx context.Context) (Version, error) {
	var v Version
	err := c.do(ctx, get("/version"), &v)
	return v, err
}

// Permissions are the privileges of a user or token by path. If a privilege is in the
// map, the user has it, also with the value false. The value says whether it is
// inherited by the paths below.
type Permissions map[string]map[string]bool

// PermissionsAt returns the caller's privileges at one path, including inherited ones.
func (c *Client) PermissionsAt(ctx context.Context, path string) (Permissions, error) {
	var p Permissions
	err := c.do(ctx, get("/access/permissions").with("path", path), &p)
	return p, err
}

// ClusterStatus is the cluster as its nodes see it.
type ClusterStatus struct {
	Name    string // empty for a single node without a cluster
	Quorate bool   // without quorum nothing can be changed; true for a single node
	Nodes   []ClusterNode
}

// ClusterNode is a member of the cluster.
type ClusterNode struct {
	Name   string `json:"name"`
	Online bool   `json:"online"`
}

// ClusterStatus returns the members of the cluster. Needs Sys.Audit on /.
func (c *Client) ClusterStatus(ctx context.Context) (ClusterStatus, error) {
	var list []struct {
		Type    string `json:"type" required:""`
		Name    string `json:"name" required:""`
		Quorate bool   `json:"quorate"`
		Online  bool   `json:"online"`
	}
	if err := c.do(ctx, get("/cluster/status"), &list); err != nil {
		return ClusterStatus{}, err
	}
	status := ClusterStatus{Quorate: true}
	for _, l := range list {
		switch l.Type {
		case "cluster":
			status.Name, status.Quorate = l.Name, l.Quorate
		case "node":
			status.Nodes = append(status.Nodes, ClusterNode{Name: l.Name, Online: l.Online})
		}
	}
	return status, nil
}

// Resource is an entry of the cluster's list of all objects. The list contains the
// last reports of the nodes: a new VM may lack its figures, and its Status is
// "unknown" until its node has reported.
type Resource struct {
	ID       string `json:"id" required:""`   // "qemu/101", "node/pve1", "storage/pve1/local"
	Type     string `json:"type" required:""` // "qemu", "lxc", "node", "storage", "pool", "network" …
	Node     string `json:"node"`
	Status   string `json:"status"` // "running", "stopped", "online", "available", "unknown" …
	VMID     int    `json:"vmid"`
	Name     string `json:"name"`
	Tags     string `json:"tags"` // separated by ";"
	Lock     string `json:"lock"`
	Template bool   `json:"template"`
}

// TagList splits the tags at the separators that Proxmox itself accepts.
func (r Resource) TagList() []string {
	return strings.FieldsFunc(r.Tags, func(r rune) bool { return strings.ContainsRune(";, \t\n", r) })
}

// Resources lists all objects of the cluster, or those of one type: "vm", "storage",
// "node" or "sdn". Objects without an audit privilege of the caller are silently left
// out.
func (c *Client) Resources(ctx context.Context, kind string) ([]Resource, error) {
	call := get("/cluster/resources").with("type", kind)
	var list []Resource
	if err := c.do(ctx, call, &list); err != nil {
		return nil, err
	}
	for _, r := range list {
		if (r.Type == "qemu" || r.Type == "lxc") && (r.VMID == 0 || r.Node == "") {
			return nil, call.fail(Unknown, fmt.Sprintf("cannot read the answer: the VM %q has no number or no node", clip(r.ID, 60)), nil)
		}
	}
	return list, nil
}
