package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// World is the fingerprint of what a plan depends on: the same print means that
// the same documents lead to the same decisions. It covers
//
//   - the privileges that the login lacks, whether the version is known, what the
//     hypervisor can do, whether anything can be changed at all, and whether the
//     resource pool exists;
//   - of each host: whether it is online, its size, its IOMMU, its PCI devices and
//     their groups, its bridges, the presence of its storages, what could not be
//     read, and what it says of itself, lost or not;
//   - all claims;
//   - of the VMs: those that are ours or look like it, that hold cards, that
//     cannot be read, that are templates, that have a number of our range or a
//     name that begins like that of a pool's worker: identity, host, power, lock,
//     tags, configuration.
//
// It leaves out what changes by itself: memory and disk usage, addresses and
// guest agents. Those are judged anew by the steps themselves.
func World(in Input) string {
	print := worldPrint{
		Supported: in.Snapshot.Supported, Capabilities: in.Snapshot.Capabilities,
		Frozen: in.Snapshot.Frozen != nil, LacksPool: in.Snapshot.MissingPool, Hosts: []hostPrint{}, VMs: []vmPrint{}, Claims: in.Snapshot.Claims,
	}
	for _, right := range in.Snapshot.Missing {
		right.For = "" // words
		print.Lacks = append(print.Lacks, right)
	}
	for i := range in.Snapshot.Hosts {
		print.Hosts = append(print.Hosts, printHost(&in.Snapshot.Hosts[i]))
	}
	for i := range in.Snapshot.VMs {
		if vm := &in.Snapshot.VMs[i]; concerns(in, vm) {
			print.VMs = append(print.VMs, printVM(vm))
		}
	}
	text, err := json.Marshal(print)
	if err != nil {
		panic("plan: a fingerprint is made of plain values: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])[:12]
}

type worldPrint struct {
	Supported    bool
	Capabilities inventory.Capabilities
	Frozen       bool   `json:",omitempty"`
	LacksPool    string `json:",omitempty"`
	Lacks        []inventory.Right
	Hosts        []hostPrint
	VMs          []vmPrint
	Claims       []inventory.Claim
}

type hostPrint struct {
	Name     string
	Online   bool
	Passed   bool `json:",omitempty"`
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
	Shared, Active, Known bool // Known: its size could be read
	Content               []string
}

// factsPrint is what a host says of itself. That nobody asked it, that it did not
// answer and that all is well are three worlds.
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

func printHost(h *inventory.Host) hostPrint {
	p := hostPrint{
		Name: h.Name, Online: h.Online, Passed: h.Passed, CPUs: h.CPUs, Memory: h.MemoryTotal, IOMMU: h.IOMMU,
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

// printFindings leaves out what is well, as placing does.
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
	Tags                          []string
	Record                        *inventory.Record
	RecordProblem                 string `json:",omitempty"`
	Cards                         []inventory.Attachment
	Machine, Applied              inventory.Machine
	BootDisk                      string
	Storages                      []string `json:",omitempty"`
}

func printVM(vm *inventory.VM) vmPrint {
	return vmPrint{
		ID: vm.ID, Host: vm.Host, Name: vm.Name, UUID: vm.UUID, State: vm.State, Locked: vm.Locked,
		Template: vm.Template, Running: vm.Running, Unreadable: vm.Unreadable != "",
		CloudInit: vm.CloudInit, FromRange: vm.FromRange, Tags: slices.Sorted(slices.Values(vm.Tags)),
		Record: vm.Record, RecordProblem: vm.RecordProblem, Cards: vm.Cards, Machine: vm.Machine, Applied: vm.Applied, BootDisk: vm.BootDisk,
		Storages: vm.Storages,
	}
}

// concerns tells whether anything about the VM can change a plan.
func concerns(in Input, vm *inventory.VM) bool {
	ownership, _ := vm.Ownership()
	switch {
	case ownership != inventory.Foreign, len(vm.Cards) > 0, vm.Unreadable != "", vm.Template:
		return true
	case vm.FromRange:
		return true
	}
	return slices.ContainsFunc(in.Pools, func(p v1alpha1.WorkerPool) bool { return strings.HasPrefix(vm.Name, p.Name+"-") })
}
