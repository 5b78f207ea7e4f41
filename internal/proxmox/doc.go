// Package proxmox is the Proxmox VE backend: it observes a cluster as an
// inventory.Snapshot and changes it as a hypervisor.Target, using package pve.
//
// Everything specific to Proxmox stays here. Claims are stored in the descriptions
// of PCI resource mappings (claim.go). A VM's identity is proven by one read of its
// pending configuration, and writes carry the digest of that read (identity.go).
// Everything about hostpciN is in passthrough.go.
package proxmox
