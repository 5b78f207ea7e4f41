package pve

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Version is the version of the server.
type Version struct {
	Version string `json:"version" required:""` // "9.1.4"
	Release string `json:"release"`             // "9.1"
	RepoID  string `json:"repoid"`
}

// AtLeast compares with a version such as 8, 4. A version that cannot be read
// is older than all.
func (v Version) AtLeast(major, minor int) bool {
	first, rest, _ := strings.Cut(v.Version, ".")
	second, _, _ := strings.Cut(rest, ".")
	haveMajor, err := strconv.Atoi(first)
	if err != nil {
		return false
	}
	haveMinor, _ := strconv.Atoi(second)
	return haveMajor > major || haveMajor == major && haveMinor >= minor
}

// Version asks for the version of the node that is talked to.
func (c *Client) Version(ctx context.Context) (Version, error) {
	var v Version
	err := c.do(ctx, get("/version"), &v)
	return v, err
}

// Permissions are the privileges of a user or token: for each path those it
// has there, and whether they go on to the paths below. Presence is possession:
// the value false only says that the privilege ends at that path.
type Permissions map[string]map[string]bool

// Has reports whether a privilege is held on a path. For a path that is not
// listed the nearest listed one above it decides, as the server lists every
// path that has an entry of its own in the access control list.
func (p Permissions) Has(path, privilege string) bool {
	if here, listed := p[path]; listed {
		_, held := here[privilege]
		return held
	}
	for path != "/" && path != "" {
		path = path[:strings.LastIndex(path, "/")]
		if path == "" {
			path = "/"
		}
		if above, listed := p[path]; listed {
			return above[privilege]
		}
	}
	return false
}

// Permissions asks what the caller itself may do. A token with privilege
// separation has only what was given to it.
func (c *Client) Permissions(ctx context.Context) (Permissions, error) {
	var p Permissions
	err := c.do(ctx, get("/access/permissions"), &p)
	return p, err
}

// PermissionsAt asks what the caller may do at one path; the server works out
// what is inherited.
func (c *Client) PermissionsAt(ctx context.Context, path string) (Permissions, error) {
	var p Permissions
	err := c.do(ctx, get("/access/permissions").with("path", path), &p)
	return p, err
}

// ClusterStatus is the cluster as its nodes see it.
type ClusterStatus struct {
	Name    string // empty for a single node that is in no cluster
	Quorate bool   // without it nothing can be changed; true for a single node
	Nodes   []ClusterNode
}

// ClusterNode is a member of the cluster.
type ClusterNode struct {
	Name   string `json:"name"`
	ID     int    `json:"nodeid"` // 0 for a single node
	IP     string `json:"ip"`
	Online bool   `json:"online"`
	Local  bool   `json:"local"` // the node that is talked to
}

// ClusterStatus asks for the members of the cluster. Needs Sys.Audit on /.
func (c *Client) ClusterStatus(ctx context.Context) (ClusterStatus, error) {
	var list []struct {
		Type    string `json:"type" required:""`
		Name    string `json:"name" required:""`
		Quorate bool   `json:"quorate"`
		ID      int    `json:"nodeid"`
		IP      string `json:"ip"`
		Online  bool   `json:"online"`
		Local   bool   `json:"local"`
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
			status.Nodes = append(status.Nodes, ClusterNode{Name: l.Name, ID: l.ID, IP: l.IP, Online: l.Online, Local: l.Local})
		}
	}
	return status, nil
}

// Resource is an entry of the cluster's list of everything. The list is made
// of what the nodes last reported: a VM that has just been made may lack its
// figures, and Status is "unknown" until its node has reported.
type Resource struct {
	ID         string  `json:"id" required:""`   // "qemu/101", "node/pve1", "storage/pve1/local"
	Type       string  `json:"type" required:""` // "qemu", "lxc", "node", "storage", "pool", "network" …
	Node       string  `json:"node"`
	Status     string  `json:"status"` // "running", "stopped", "online", "available", "unknown" …
	VMID       int     `json:"vmid"`
	Name       string  `json:"name"`
	Tags       string  `json:"tags"` // separated by ";"
	Lock       string  `json:"lock"`
	Pool       string  `json:"pool"`
	Template   bool    `json:"template"`
	Uptime     int64   `json:"uptime"` // seconds
	CPU        float64 `json:"cpu"`    // share of MaxCPU that is used
	MaxCPU     float64 `json:"maxcpu"`
	Mem        int64   `json:"mem"` // bytes, as all below
	MaxMem     int64   `json:"maxmem"`
	Disk       int64   `json:"disk"`
	MaxDisk    int64   `json:"maxdisk"`
	Storage    string  `json:"storage"`
	PluginType string  `json:"plugintype"` // "dir", "lvmthin", "nfs" …
	Content    string  `json:"content"`    // "images,rootdir"
	Shared     bool    `json:"shared"`
}

// TagList splits the tags.
func (r Resource) TagList() []string { return splitTags(r.Tags) }

// splitTags takes the separators that Proxmox itself takes.
func splitTags(tags string) []string {
	return strings.FieldsFunc(tags, func(r rune) bool { return strings.ContainsRune(";, \t\n", r) })
}

// Resources lists everything of the cluster that the caller may see, or what
// is of one type: "vm", "storage", "node" or "sdn". What the caller has no
// audit privilege for is silently missing.
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

// NextID asks for the lowest free VMID, or whether the given one is free, which
// is Exists when it is not. It reserves nothing: only making a VM does.
func (c *Client) NextID(ctx context.Context, vmid int) (int, error) {
	var id int
	err := c.do(ctx, get("/cluster/nextid").withInt("vmid", vmid), &id)
	return id, err
}
