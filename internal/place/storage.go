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

// Volume is the space that a new VM needs on a storage.
type Volume struct {
	Storage string
	Bytes   int64
}

// Volumes are the volumes that a clone of the template needs: a full clone needs its
// whole disk, a linked clone only the growth of the disk.
func Volumes(w Requirements, template *inventory.VM) []Volume {
	home, size := template.Machine.Storage, max(w.DiskMiB, template.Machine.DiskMiB)
	if w.Template.Clone == v1alpha1.CloneFull {
		return []Volume{{cmp.Or(w.Storage, home), int64(size) * mib}}
	}
	volumes := []Volume{{home, int64(size-template.Machine.DiskMiB) * mib}}
	if w.Storage != "" && w.Storage != home {
		volumes = append(volumes, Volume{w.Storage, 0}) // EFI variables
	}
	return volumes
}

// CheckReach checks whether a clone of the template can be made on the host: on
// another host than the template's, only on storage that both share (PVE::API2::Qemu,
// clone_vm). Capacity.Template checks the template's own storage.
func CheckReach(s *inventory.Snapshot, h *inventory.Host, w Requirements, template *inventory.VM) []finding.Finding {
	full := w.Template.Clone == v1alpha1.CloneFull && w.Storage != ""
	storage := h.Storage(w.Storage)
	if !full || template.Host == h.Name || storage == nil || storage.Shared {
		return nil
	}
	f := finding.New(finding.StorageLocal, finding.Fail, at(s, h.Name))
	f.Reason = fmt.Sprintf("template %s is on %s, and a full clone on another host needs shared storage: %s is local to each host", VMName(template), template.Host, storage.Name)
	shared := "name a shared storage in spec.machine.disk.storage"
	if names := sharedStorages(h); len(names) > 0 {
		shared = fmt.Sprintf("set spec.machine.disk.storage to one that is shared (%s)", strings.Join(names, ", "))
	}
	f.Fix = fmt.Sprintf("%s, make a copy of the template on %s, or allow %s alone in spec.hosts", shared, h.Name, template.Host)
	return []finding.Finding{f}
}

// sharedStorages are the storages of the host for clones of templates on other hosts.
func sharedStorages(h *inventory.Host) []string {
	var names []string
	for i := range h.Storages {
		if s := &h.Storages[i]; s.Shared && s.Active && s.Has("images") {
			names = append(names, s.Name)
		}
	}
	return names
}

// CheckStorage checks whether the host has the storage, and whether it is active, takes
// VM disks and has space for the volume. allocated are the bytes that the plan has
// allocated there before.
func CheckStorage(s *inventory.Snapshot, h *inventory.Host, need Volume, allocated int64) finding.Finding {
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
	free := storage.Free - allocated
	switch {
	case !storage.Active:
		f.Reason = fmt.Sprintf("storage %s is not active on the host", storage.Name)
		f.Fix = on(h.Name, s.Advise(inventory.ActivateStorage, inventory.Subject{}))
	case !storage.Has("images"):
		f.ID = finding.StorageContent
		f.Reason = fmt.Sprintf("storage %s does not take VM disks, only %s", storage.Name, cmp.Or(strings.Join(storage.Content, ", "), "nothing"))
		f.Fix = s.Advise(inventory.AddContent, inventory.Subject{Storage: storage.Name, Content: strings.Join(slices.Concat(storage.Content, []string{"images"}), ",")})
	case storage.Total == 0 && need.Bytes > 0:
		f.ID, f.Verdict = finding.StorageFull, finding.Unknown
		f.Reason = fmt.Sprintf("storage %s does not report its size", storage.Name)
	case free < need.Bytes:
		f.ID = finding.StorageFull
		f.Reason = fmt.Sprintf("storage %s has %s free, %s is needed", storage.Name, phrase.Bytes(max(free, 0)), phrase.Bytes(need.Bytes))
		if allocated > 0 {
			f.Reason += fmt.Sprintf(" (%s planned for other workers)", phrase.Bytes(allocated))
		}
		f.Fix = "free space on it, choose another storage, or declare a smaller disk"
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
