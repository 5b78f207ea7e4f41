// Package memory is an in-memory hypervisor for tests. It differs from Proxmox VE in
// every capability: it chooses identifiers, shows no IOMMU groups, has no register of
// cards, gives a VM its host when it is started, takes a seed ISO, and communicates
// with guests by values. Only tests import it.
//
// A Cluster is the hypervisor: its hosts, its VMs and its tasks, which take
// simulated time. A Backend is the connection of one engine to it; several may be
// opened on one Cluster.
package memory
