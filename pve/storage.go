package pve

import (
	"context"
	"strings"
)

// Storage is the state of a storage on one node.
type Storage struct {
	Name    string `json:"storage" required:""`
	Type    string `json:"type" required:""` // "dir", "lvmthin", "nfs", "rbd" …
	Content string `json:"content"`          // "images,rootdir", unordered
	Shared  bool   `json:"shared"`
	Enabled bool   `json:"enabled"`
	Active  bool   `json:"active"`
	Total   int64  `json:"total"` // bytes
	Avail   int64  `json:"avail"`
}

// Storages lists the storages of a node that the caller may see.
func (c *Client) Storages(ctx context.Context, node string) ([]Storage, error) {
	var list []Storage
	err := c.do(ctx, get("/nodes/{}/storage", node).at(node, 0), &list)
	return list, err
}

// Volume is a file or disk on a storage.
type Volume struct {
	ID      string `json:"volid" required:""` // "local:iso/debian-13.iso", "local-lvm:vm-101-disk-0"
	Content string `json:"content"`
	Format  string `json:"format"` // "raw", "qcow2", "iso" …
	Size    int64  `json:"size"`   // bytes
	Used    int64  `json:"used"`
	VMID    int    `json:"vmid"`   // the VM in its name; 0 for none
	Parent  string `json:"parent"` // the base of a linked clone
	Created int64  `json:"ctime"`  // seconds since 1970
}

// StorageContent lists the volumes of a storage; content "" lists all kinds.
// Needs Datastore.Audit or Datastore.AllocateSpace on the storage.
func (c *Client) StorageContent(ctx context.Context, node, storage, content string) ([]Volume, error) {
	var list []Volume
	err := c.do(ctx, get("/nodes/{}/storage/{}/content", node, storage).at(node, 0).with("content", content), &list)
	return list, err
}

// VolumeInfo is what the storage says about one volume.
type VolumeInfo struct {
	Path   string `json:"path" required:""` // on the node
	Format string `json:"format"`
	Size   int64  `json:"size"` // bytes
	Used   int64  `json:"used"`
}

// VolumeInfo looks at one volume, "local:iso/seed.iso". If there is none, the error is
// NotFound with What "volume". For an ISO image it needs Datastore.Audit or
// Datastore.AllocateSpace on the storage.
func (c *Client) VolumeInfo(ctx context.Context, node, volid string) (VolumeInfo, error) {
	var info VolumeInfo
	storage, _, found := strings.Cut(volid, ":")
	call := get("/nodes/{}/storage/{}/content/{}", node, storage, slashed(volid)).at(node, 0)
	if !found {
		return VolumeInfo{}, call.invalid(noStorageInName)
	}
	err := c.do(ctx, call, &info)
	return info, err
}

const noStorageInName = "the name of a volume must include its storage, such as local:iso/seed.iso; nothing was sent"

// DeleteVolume deletes a volume, "local:iso/seed.iso". For a missing volume the task
// succeeds. The server does not check whether a VM uses the volume. Needs
// Datastore.Allocate on the storage.
func (c *Client) DeleteVolume(ctx context.Context, node, volid string) (Task, error) {
	storage, _, found := strings.Cut(volid, ":")
	call := del("/nodes/{}/storage/{}/content/{}", node, storage, slashed(volid)).at(node, 0)
	if !found {
		return Task{}, call.invalid(noStorageInName)
	}
	return c.startMaybe(ctx, call)
}
