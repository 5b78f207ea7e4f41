// Package inventory is the observed world as plain data: hosts, cards, VMs,
// templates, storages and claims of one hypervisor at one moment. Backends fill
// it in, place and plan read it, and nobody changes it.
package inventory
