package check

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/phrase"
	"github.com/gpuworker/gpuworker/internal/place"
	"github.com/gpuworker/gpuworker/internal/planner"
)

// vms checks the existing VMs: unverified and unreadable ones are reported. An
// unreadable VM that the plan has reported, since it may be a worker, is not repeated.
func (c *checker) vms() {
	ours, silent := 0, map[string][]string{}
	for i := range c.world.VMs {
		vm := &c.world.VMs[i]
		switch ownership, why := vm.Ownership(); {
		case vm.Unreadable != "" && c.reported(finding.VMUnreadable, vm.ID):
		case vm.Unreadable != "" && c.silent(vm.Host):
			silent[vm.Host] = append(silent[vm.Host], place.VMName(vm))
		case vm.Unreadable != "":
			c.add(unreadable(c.world, vm))
		case ownership == inventory.Unverified:
			c.add(planner.UnverifiedVM(c.world, vm, why))
		case ownership == inventory.Ours:
			ours++
		}
	}
	for _, host := range slices.Sorted(maps.Keys(silent)) {
		c.add(silentHost(c.world, host, silent[host]))
	}
	c.add(finding.New(finding.VMIdentity, finding.Pass, fault.Place{Hypervisor: c.world.Hypervisor}).WithReason(fmt.Sprintf("%d of %d VMs are proven to be ours", ours, len(c.world.VMs))))
}

// reported reports whether there is already a finding of this kind about a VM.
func (c *checker) reported(id finding.ID, vm string) bool {
	return slices.ContainsFunc(c.found, func(f finding.Finding) bool { return f.ID == id && f.Layer == finding.LayerVM && f.Where.VM == vm })
}

// silent reports whether the host does not answer, so that nothing of it can be read.
func (c *checker) silent(host string) bool {
	h := c.world.Host(host)
	return h == nil || !h.Online
}

// silentHost is one finding for all VMs of a host that does not answer.
func silentHost(world *inventory.Snapshot, host string, vms []string) finding.Finding {
	return finding.New(finding.VMUnreadable, finding.Unknown, fault.Place{Hypervisor: world.Hypervisor, Host: host}).
		WithReason(fmt.Sprintf("the host does not answer, so it is not known which cards its VMs hold: %s", phrase.Several(vms))).
		WithFix("bring host " + host + " back, then run the same command again")
}

func unreadable(world *inventory.Snapshot, vm *inventory.VM) finding.Finding {
	return finding.New(finding.VMUnreadable, finding.Unknown, fault.Place{Hypervisor: world.Hypervisor, Host: vm.Home(), VM: vm.ID}).
		WithReason(fmt.Sprintf("%s cannot be read, so it is not known which cards it holds: %s", place.VMName(vm), vm.Unreadable)).
		WithFix(world.Advise(inventory.SeeVMs, inventory.Subject{}))
}
