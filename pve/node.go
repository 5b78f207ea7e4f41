package pve

import (
	"context"
)

// Node is an entry of the list of nodes.
type Node struct {
	Name   string `json:"node" required:""`
	Status string `json:"status" required:""` // "online", "offline" or "unknown"
}

// Nodes lists the nodes.
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	var list []Node
	err := c.do(ctx, get("/nodes"), &list)
	return list, err
}

// NodeStatus is the status of a node.
type NodeStatus struct {
	Uptime int64     // seconds since it booted
	Memory MemoryUse // of the host
	CPUs   int       // threads
}

// MemoryUse is in bytes.
type MemoryUse struct {
	Total int64 `json:"total"`
	Used  int64 `json:"used"`
}

// NodeStatus returns the status of a node. Needs Sys.Audit on the node.
func (c *Client) NodeStatus(ctx context.Context, node string) (NodeStatus, error) {
	var w struct {
		Uptime  int64     `json:"uptime"`
		Memory  MemoryUse `json:"memory"`
		CPUInfo struct {
			CPUs int `json:"cpus"`
		} `json:"cpuinfo"`
	}
	err := c.do(ctx, get("/nodes/{}/status", node).at(node, 0), &w)
	return NodeStatus{Uptime: w.Uptime, Memory: w.Memory, CPUs: w.CPUInfo.CPUs}, err
}

// PCIDevice is a function of a PCI device, with the unchanged texts of the server.
type PCIDevice struct {
	ID              string `json:"id" required:""`     // "0000:03:00.0"
	Class           string `json:"class" required:""`  // "0x030200"
	Vendor          string `json:"vendor" required:""` // "0x10de"
	Device          string `json:"device" required:""` // "0x1eb8"
	VendorName      string `json:"vendor_name"`
	DeviceName      string `json:"device_name"` // "TU104GL [Tesla T4]"
	SubsystemVendor string `json:"subsystem_vendor"`
	SubsystemDevice string `json:"subsystem_device"`
	// IOMMUGroup is -1 when the function is in no group. If it is -1 for all functions,
	// the IOMMU is off.
	IOMMUGroup int `json:"iommugroup" default:"-1"`
}

// PCIDevices lists all PCI functions of a node, including bridges, so that IOMMU groups
// are complete. The API does not return the kernel driver of a function. Needs
// Sys.Audit or Sys.Modify on /.
func (c *Client) PCIDevices(ctx context.Context, node string) ([]PCIDevice, error) {
	call := get("/nodes/{}/hardware/pci", node).at(node, 0)
	// Without this empty list, the server leaves out memory controllers, bridges and
	// processors.
	call.query.Set("pci-class-blacklist", "")
	var list []PCIDevice
	err := c.do(ctx, call, &list)
	return list, err
}

// Network is a configured network interface of a node.
type Network struct {
	Interface string `json:"iface" required:""`
	Type      string `json:"type" required:""` // "bridge", "OVSBridge", "eth", "bond", "vlan" …
	VLANAware bool   `json:"bridge_vlan_aware"`
}

// Networks lists the interfaces of a node. Needs Sys.Audit on the node, except for
// bridges that the caller may use.
func (c *Client) Networks(ctx context.Context, node string) ([]Network, error) {
	var list []Network
	err := c.do(ctx, get("/nodes/{}/network", node).at(node, 0), &list)
	return list, err
}
