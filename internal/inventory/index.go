package inventory

import (
	"slices"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// index finds hosts, VMs and claims of a snapshot by name. It is made at the first
// lookup, and again when the snapshot has grown since.
type index struct {
	hosts     map[string]*Host
	residents map[string][]*VM
	vms       map[string]*VM
	claims    map[pci.CardRef]*Claim
	size      [3]int
}

func (s *Snapshot) size() [3]int { return [3]int{len(s.Hosts), len(s.VMs), len(s.Claims)} }

func (s *Snapshot) lookup() *index {
	if i := s.index.Load(); i != nil && i.size == s.size() {
		return i
	}
	i := &index{
		hosts: make(map[string]*Host, len(s.Hosts)), residents: make(map[string][]*VM, len(s.Hosts)), vms: make(map[string]*VM, len(s.VMs)),
		claims: make(map[pci.CardRef]*Claim, len(s.Claims)), size: s.size(),
	}
	for n := range s.Hosts {
		i.hosts[s.Hosts[n].Name] = &s.Hosts[n]
	}
	for n := range s.VMs {
		i.vms[s.VMs[n].ID] = &s.VMs[n]
		home := s.VMs[n].Home()
		i.residents[home] = append(i.residents[home], &s.VMs[n])
	}
	for n := range slices.Backward(s.Claims) { // the first of several wins
		i.claims[s.Claims[n].Card] = &s.Claims[n]
	}
	s.index.Store(i)
	return i
}
