package planner

import (
	"slices"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// fingerprint is a hash of everything that a plan depends on: with the same
// fingerprint, the same documents lead to the same decisions. It covers
//
//   - missing privileges, whether the version is supported, the capabilities,
//     whether the hypervisor takes changes, and whether the resource pool exists;
//   - of each host: whether it is online, its size, IOMMU, PCI devices and groups,
//     bridges, storages, what could not be read, and its host facts;
//   - all claims;
//   - identity, host, power, lock, tags and configuration of the VMs that matter:
//     ours and those that look like ours, holders of cards, unreadable VMs,
//     templates, VMs with a number of our range, and VMs whose name begins like that
//     of a pool's worker.
//
// It leaves out values that change all the time: memory and disk usage, addresses
// and guest agents. The steps check those themselves.
func fingerprint(in Input) string {
	world := in.Snapshot
	head := worldPrint{Supported: world.Supported, Capabilities: world.Capabilities, Frozen: world.Frozen != nil, LacksPool: world.MissingPool}
	for _, right := range world.Missing {
		right.For = "" // words
		head.Lacks = append(head.Lacks, right)
	}
	d := newDigest(head)
	addList(d, "Hosts", world.Hosts, func(h *inventory.Host) any { return printHost(h) })
	pools := poolNames(in)
	addList(d, "VMs", world.VMs, func(vm *inventory.VM) any {
		if concerns(pools, vm) {
			return printVM(vm)
		}
		return nil
	})
	if world.Claims == nil {
		d.write(`,"Claims":null`) // not an empty list, so that existing fingerprints stay valid
	} else {
		addList(d, "Claims", world.Claims, func(claim *inventory.Claim) any { return claim })
	}
	return d.end()
}

// worldPrint is the part of the fingerprint besides hosts, VMs and claims.
type worldPrint struct {
	Supported    bool
	Capabilities inventory.Capabilities
	Frozen       bool   `json:",omitempty"`
	LacksPool    string `json:",omitempty"`
	Lacks        []inventory.Right
}

type hostPrint struct {
	Name     string
	Online   bool
	Skipped  bool `json:"Passed,omitempty"`
	CPUs     int
	Memory   int64 // bytes
	IOMMU    inventory.State
	Devices  []pci.Device
	Bridges  []inventory.Bridge
	Storages []storagePrint
	Gaps     []string
	Facts    *factsPrint `json:",omitempty"`
}

type storagePrint struct {
	Name                  string
	Shared, Active, Known bool // Known: its size can be read
	Content               []string
}

// factsPrint are the facts of a host. Not asked, no answer and no problem give
// three different fingerprints.
type factsPrint struct {
	Missing bool
	Old     bool
	Host    []factPrint
	Cards   []cardPrint
}

type cardPrint struct {
	Slot   pci.Slot
	ID     pci.ID
	Driver string
	Facts  []factPrint
}

type factPrint struct {
	ID      finding.ID
	Verdict finding.Verdict
	Layer   finding.Layer
	Reason  string
}

func printHost(h *inventory.Host) *hostPrint {
	p := &hostPrint{
		Name: h.Name, Online: h.Online, Skipped: h.Skipped, CPUs: h.CPUs, Memory: h.MemoryTotal, IOMMU: h.IOMMU,
		Devices: h.Devices, Bridges: h.Bridges, Facts: printFacts(h.Facts),
	}
	for _, s := range h.Storages {
		p.Storages = append(p.Storages, storagePrint{s.Name, s.Shared, s.Active, s.Total > 0, s.Content})
	}
	for _, g := range h.Gaps {
		p.Gaps = append(p.Gaps, g.What)
	}
	return p
}

func printFacts(facts *inventory.Facts) *factsPrint {
	if facts == nil {
		return nil
	}
	p := &factsPrint{Missing: facts.Missing != "", Old: facts.Old != "", Host: printFindings(facts.Findings)}
	for _, c := range facts.Cards {
		p.Cards = append(p.Cards, cardPrint{c.Slot, c.ID, c.Driver, printFindings(c.Findings)})
	}
	return p
}

// printFindings leaves out passes, which have no effect on placement either.
func printFindings(findings []finding.Finding) []factPrint {
	var print []factPrint
	for _, f := range findings {
		if f.Verdict != finding.Pass {
			print = append(print, factPrint{f.ID, f.Verdict, f.Layer, f.Reason})
		}
	}
	return print
}

type vmPrint struct {
	ID                            string
	Host, Name, UUID              string
	State                         inventory.VMState
	Locked                        string
	Template, Running, Unreadable bool
	CloudInit, FromRange          bool
	Seed                          inventory.SeedState `json:",omitempty"`
	Tags                          []string
	Record                        *inventory.Record
	RecordProblem                 string `json:",omitempty"`
	Cards                         []inventory.Attachment
	Machine, Applied              inventory.Machine
	BootDisk                      string
	Storages                      []string `json:",omitempty"`
}

func printVM(vm *inventory.VM) *vmPrint {
	return &vmPrint{
		ID: vm.ID, Host: vm.Host, Name: vm.Name, UUID: vm.UUID, State: vm.State, Locked: vm.Locked,
		Template: vm.Template, Running: vm.Running, Unreadable: vm.Unreadable != "",
		CloudInit: vm.CloudInit, FromRange: vm.FromRange, Seed: vm.Seed, Tags: slices.Sorted(slices.Values(vm.Tags)),
		Record: vm.Record, RecordProblem: vm.RecordProblem, Cards: vm.Cards, Machine: vm.Machine, Applied: vm.Applied, BootDisk: vm.BootDisk,
		Storages: vm.Storages,
	}
}

// poolNames are the names of all pools.
func poolNames(in Input) map[string]bool {
	names := map[string]bool{}
	for i := range in.Pools {
		names[in.Pools[i].Name] = true
	}
	return names
}

// concerns reports whether the VM can change a plan.
func concerns(pools map[string]bool, vm *inventory.VM) bool {
	ownership, _ := vm.Ownership()
	switch {
	case ownership != inventory.Foreign, len(vm.Cards) > 0, vm.Unreadable != "", vm.Template:
		return true
	case vm.FromRange:
		return true
	}
	for i, letter := range vm.Name { // the name may begin with POOL-
		if letter == '-' && pools[vm.Name[:i]] {
			return true
		}
	}
	return false
}
