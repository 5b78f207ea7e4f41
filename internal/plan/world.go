package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
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
//   - of each host: whether it is online, its IOMMU, its PCI devices and their
//     groups, its bridges, the presence of its storages, what could not be read;
//   - all claims;
//   - of the VMs: those that are ours or look like it, that hold cards, that
//     cannot be read, that are templates, that have a number of our range or a
//     name that begins like that of a pool's worker: identity, host, power, lock,
//     tags, configuration.
//
// It leaves out what changes by itself: memory and disk usage, addresses and
// guest agents. Those are judged anew by the steps themselves.
func World(in Input) string {
	print := worldPrint{Hosts: []hostPrint{}, VMs: []vmPrint{}, Claims: in.Snapshot.Claims}
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
	Hosts  []hostPrint
	VMs    []vmPrint
	Claims []inventory.Claim
}

type hostPrint struct {
	Name     string
	Online   bool
	IOMMU    inventory.State
	Devices  []pci.Device
	Bridges  []inventory.Bridge
	Storages []storagePrint
	Gaps     []string
	Refused  []string `json:",omitempty"` // what the host itself says against cards
}

type storagePrint struct {
	Name           string
	Shared, Active bool
	Content        []string
}

func printHost(h *inventory.Host) hostPrint {
	p := hostPrint{Name: h.Name, Online: h.Online, IOMMU: h.IOMMU, Devices: h.Devices, Bridges: h.Bridges}
	for _, s := range h.Storages {
		p.Storages = append(p.Storages, storagePrint{s.Name, s.Shared, s.Active, s.Content})
	}
	for _, g := range h.Gaps {
		p.Gaps = append(p.Gaps, g.What)
	}
	if h.Facts != nil {
		p.Refused = refusedByHost(h.Facts)
	}
	return p
}

func refusedByHost(facts *inventory.Facts) []string {
	var refused []string
	say := func(where string, findings []finding.Finding) {
		for _, f := range findings {
			if f.Verdict == finding.Fail || f.Verdict == finding.Unknown {
				refused = append(refused, fmt.Sprint(where, f.ID, f.Verdict))
			}
		}
	}
	say("", facts.Findings)
	for _, card := range facts.Cards {
		say(card.Slot.String(), card.Findings)
	}
	return refused
}

type vmPrint struct {
	VMID                          int
	Host, Name, UUID, Lock        string
	Template, Running, Unreadable bool
	CloudInit, StuckClone         bool
	Tags                          []string
	Record                        *inventory.Record
	Cards                         []inventory.Attachment
	Machine, Applied              inventory.Machine
	BootDisk                      string
}

func printVM(vm *inventory.VM) vmPrint {
	return vmPrint{
		VMID: vm.VMID, Host: vm.Host, Name: vm.Name, UUID: vm.UUID, Lock: vm.Lock,
		Template: vm.Template, Running: vm.Running, Unreadable: vm.Unreadable != "",
		CloudInit: vm.CloudInit, StuckClone: vm.StuckClone, Tags: slices.Sorted(slices.Values(vm.Tags)),
		Record: vm.Record, Cards: vm.Cards, Machine: vm.Machine, Applied: vm.Applied, BootDisk: vm.BootDisk,
	}
}

// concerns tells whether anything about the VM can change a plan.
func concerns(in Input, vm *inventory.VM) bool {
	ownership, _ := vm.Ownership()
	numbers := in.vmids()
	switch {
	case ownership != inventory.Foreign, len(vm.Cards) > 0, vm.Unreadable != "", vm.Template:
		return true
	case vm.VMID >= numbers.First && vm.VMID <= numbers.Last:
		return true
	}
	return slices.ContainsFunc(in.Pools, func(p v1alpha1.WorkerPool) bool { return strings.HasPrefix(vm.Name, p.Name+"-") })
}
