package pvesim

import (
	"cmp"
	"fmt"
	"slices"
)

// Continued returns the world with the VMs and mappings of a state, so that many tests
// can begin with the end of one long test. VMs that the world does not have get this
// guest. Changes of hosts, logins and uploaded files are not included, and neither are
// tasks and damage. A VM that is locked, starting, or has snapshots is an error.
func (w World) Continued(s State, guest Guest) (World, error) {
	guests := map[int]Guest{}
	for _, vm := range w.VMs {
		guests[vm.ID] = vm.Guest
	}
	w.VMs, w.Mappings = nil, nil
	for _, vm := range s.VMs {
		if vm.Lock != "" || vm.Starting || vm.Busy || len(vm.Snapshots) > 0 {
			return World{}, fmt.Errorf("VM %d is locked, starting or has snapshots: it cannot be continued", vm.ID)
		}
		is, known := guests[vm.ID]
		if !known {
			is = guest
		}
		w.VMs = append(w.VMs, VM{
			ID: vm.ID, Host: vm.Host, Pool: vm.Pool, HA: vm.HA, Running: vm.Running, Guest: is,
			Config: values(vm.Config), Pending: values(vm.Pending), Deleting: vm.Deleting,
		})
	}
	for _, m := range s.Mappings {
		w.Mappings = append(w.Mappings, Mapping(m))
	}
	slices.SortFunc(w.VMs, func(a, b VM) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(w.Mappings, func(a, b Mapping) int { return cmp.Compare(a.ID, b.ID) })
	return w, nil
}

func values(options map[string]string) map[string]any {
	out := make(map[string]any, len(options))
	for key, value := range options {
		out[key] = value
	}
	return out
}
