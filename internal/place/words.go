package place

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

const mib = 1 << 20

// VMName writes identifier and name of a VM: `VM 204 "vdi-7"`.
func VMName(vm *inventory.VM) string {
	if vm.Name == "" {
		return fmt.Sprintf("VM %s", vm.ID)
	}
	return fmt.Sprintf("VM %s %q", vm.ID, vm.Name)
}

// UnreadableFix is the fix for a VM that cannot be read.
func UnreadableFix(s *inventory.Snapshot, vm *inventory.VM) string {
	if host := s.Host(vm.Host); host == nil || !host.Online {
		return "bring host " + vm.Host + " back, then run the same command again"
	}
	return s.Advise(inventory.SeeVMs, inventory.Subject{})
}

// ownerWords says who owns a VM and whether it runs: "not ours, running".
func ownerWords(vm *inventory.VM) string {
	words := "not ours"
	switch ownership, why := vm.Ownership(); ownership {
	case inventory.Ours, inventory.Unmarked:
		words = "worker " + vm.Record.Worker + " of pool " + vm.Record.Pool
	case inventory.Unverified:
		words = "looks like ours, but " + why
	case inventory.Foreign:
	}
	if vm.Running {
		return words + ", running"
	}
	return words + ", stopped"
}

// functionName names a function like lspci, but shorter: "0000:42:00.0 I350 Gigabit
// Network Connection (network controller)".
func functionName(f pci.Function) string {
	name := f.ShortName()
	if name == f.ID.String() {
		return fmt.Sprintf("%s %s (%s)", f.BDF, f.Class.Noun(), f.ID)
	}
	return fmt.Sprintf("%s %s (%s)", f.BDF, name, f.Class.Noun())
}

// gpuList names the GPUs of a host, for advice.
func gpuList(h *inventory.Host) string {
	var names []string
	for _, d := range h.GPUs() {
		gpu, _ := d.GPU()
		names = append(names, gpu.BDF.String()+" "+gpu.ShortName())
	}
	if len(names) == 0 {
		return "no NVIDIA GPU"
	}
	return strings.Join(names, ", ")
}

// gpuModels names the kinds of GPUs of a host: "5 × Tesla T4, 1 × A2".
func gpuModels(h *inventory.Host) string {
	number := map[string]int{}
	var models []string
	for _, d := range h.GPUs() {
		gpu, _ := d.GPU()
		if number[gpu.ShortName()]++; number[gpu.ShortName()] == 1 {
			models = append(models, gpu.ShortName())
		}
	}
	for i, model := range models {
		models[i] = fmt.Sprintf("%d × %s", number[model], model)
	}
	return cmp.Or(strings.Join(models, ", "), "no NVIDIA GPU")
}

// on is advice to run a command on a host.
func on(host, command string) string { return command + "   (on " + host + ")" }

// at is a place on a host.
func at(s *inventory.Snapshot, host string) fault.Place {
	return fault.Place{Hypervisor: s.Hypervisor, Host: host}
}

func atCard(s *inventory.Snapshot, host string, d pci.Device) fault.Place {
	where := at(s, host)
	where.Card = d.Address()
	return where
}

func atVM(s *inventory.Snapshot, vm *inventory.VM) fault.Place {
	where := at(s, vm.Home())
	where.VM = vm.ID
	return where
}

// Split splits findings into those that block and notes; it leaves out passes.
func Split(findings []finding.Finding) (blocking, notes []finding.Finding) {
	for _, f := range findings {
		switch {
		case f.Blocks():
			blocking = append(blocking, f)
		case f.Verdict != finding.Pass:
			notes = append(notes, f)
		}
	}
	return blocking, notes
}

// sortRefusals joins refusals and sorts them by rank.
func sortRefusals(all ...[]finding.Finding) []finding.Finding {
	n := 0
	for _, refusals := range all {
		n += len(refusals)
	}
	sorted := make([]finding.Finding, 0, n)
	for _, rank := range finding.Ranks {
		for _, refusals := range all {
			for i := range refusals {
				if refusals[i].Rank() == rank {
					sorted = append(sorted, refusals[i])
				}
			}
		}
	}
	return sorted
}
