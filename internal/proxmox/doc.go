// Package proxmox is the Proxmox VE backend: it observes a cluster as an
// inventory.Snapshot and changes it as an apply.Target, by way of package pve.
//
// What is special to Proxmox stays here: claims live in the descriptions of PCI
// resource mappings (claim.go), identity is proven by one read of a VM's
// pending configuration and kept by its digest (identity.go), and everything
// about hostpciN is in passthrough.go.
package proxmox
