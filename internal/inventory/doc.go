// Package inventory has the observed world as plain data: hosts, cards, VMs,
// templates, storages and claims of one hypervisor at one moment. Backends fill it
// in; all other packages only read it.
package inventory
