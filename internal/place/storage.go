package place

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// Volume is room that a new VM takes on a storage.
type Volume struct {
	Storage string
	Bytes   int64
}

// Volumes are what a clone of the template takes: all of its disk when it is a
// full one, the growth alone when it is linked.
func Volumes(w Requirements, template *inventory.VM) []Volume {
	home, wanted := template.Machine.Storage, max(w.DiskMiB, template.Machine.DiskMiB)
	if w.Template.Clone == v1alpha1.CloneFull {
		return []Volume{{cmp.Or(w.Storage, home), int64(wanted) * mib}}
	}
	volumes := []Volume{{home, int64(wanted-template.Machine.DiskMiB) * mib}}
	if w.Storage != "" && w.Storage != home {
		volumes = append(volumes, Volume{w.Storage, 0}) // EFI variables
	}
	return volumes
}

// CheckReach finds what keeps a clone of the template from going where it is to go:
// to another host only onto storage that both share (PVE::API2::Qemu, clone_vm).
// Whether the template's own storage is shared is the question of Capacity.Template.
func CheckReach(s *inventory.Snapshot, h *inventory.Host, w Requirements, template *inventory.VM) []finding.Finding {
	full := w.Template.Clone == v1alpha1.CloneFull && w.Storage != ""
	storage := h.Storage(w.Storage)
	if !full || template.Host == h.Name || storage == nil || storage.Shared {
		return nil
	}
	f := finding.New(finding.StorageLocal, finding.Fail, at(s, h.Name))
	f.Reason = fmt.Sprintf("template %s is on %s, and a full clone goes to another host on shared storage only: %s is local to each host", VMName(template), template.Host, storage.Name)
	shared := "name a shared storage in spec.machine.disk.storage"
	if names := sharedStorages(h); len(names) > 0 {
		shared = fmt.Sprintf("set spec.machine.disk.storage to one that is shared (%s)", strings.Join(names, ", "))
	}
	f.Fix = fmt.Sprintf("%s, make a copy of the template on %s, or allow %s alone in spec.hosts", shared, h.Name, template.Host)
	return []finding.Finding{f}
}

// sharedStorages are the storages of the host that a clone from another host may go to.
func sharedStorages(h *inventory.Host) []string {
	var names []string
	for i := range h.Storages {
		if s := &h.Storages[i]; s.Shared && s.Active && s.Has("images") {
			names = append(names, s.Name)
		}
	}
	return names
}

// CheckStorage judges whether the host has the storage, working, for disks, and
// with room for need bytes beside those that the plan promised already.
func CheckStorage(s *inventory.Snapshot, h *inventory.Host, need Volume, promised int64) finding.Finding {
	f := finding.New(finding.StorageMissing, finding.Fail, at(s, h.Name))
	storage := h.Storage(need.Storage)
	if storage == nil {
		if f, is := unreadable(s, h, "storages"); is {
			return f
		}
		f.Reason = fmt.Sprintf("the host has no storage %s; it has %s", cmp.Or(need.Storage, "(unnamed)"), storageNames(h))
		f.Fix = "correct spec.machine.disk.storage, or allow the storage on this host"
		return f
	}
	free := storage.Free - promised
	switch {
	case !storage.Active:
		f.Reason = fmt.Sprintf("storage %s is not active on the host", storage.Name)
		f.Fix = on(h.Name, s.Advise(inventory.ActivateStorage, inventory.Subject{}))
	case !storage.Has("images"):
		f.ID = finding.StorageContent
		f.Reason = fmt.Sprintf("storage %s takes no disks of VMs, only %s", storage.Name, cmp.Or(strings.Join(storage.Content, ", "), "nothing"))
		f.Fix = s.Advise(inventory.AddContent, inventory.Subject{Storage: storage.Name, Content: strings.Join(slices.Concat(storage.Content, []string{"images"}), ",")})
	case storage.Total == 0 && need.Bytes > 0:
		f.ID, f.Verdict = finding.StorageFull, finding.Unknown
		f.Reason = fmt.Sprintf("storage %s does not tell how much room it has", storage.Name)
	case free < need.Bytes:
		f.ID = finding.StorageFull
		f.Reason = fmt.Sprintf("storage %s has %s free, %s is needed", storage.Name, phrase.Bytes(max(free, 0)), phrase.Bytes(need.Bytes))
		if promised > 0 {
			f.Reason += fmt.Sprintf(" (%s are promised in this plan)", phrase.Bytes(promised))
		}
		f.Fix = "make room, choose another storage, or a smaller disk"
	default:
		f.ID, f.Verdict = finding.StorageFull, finding.Pass
		f.Reason = fmt.Sprintf("storage %s, %s free", storage.Name, phrase.Bytes(storage.Free))
	}
	return f
}

func storageNames(h *inventory.Host) string {
	var names []string
	for _, s := range h.Storages {
		names = append(names, s.Name)
	}
	return cmp.Or(strings.Join(names, ", "), "none")
}
