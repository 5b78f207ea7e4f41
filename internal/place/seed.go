package place

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// seedSpace is the space for the two images of one worker, in bytes: a seed with
// gpuworker-guest has some 10 MiB.
const seedSpace = 64 * mib

// TemplateFor is Template for one worker. A worker with an image of its own needs no
// cloud-init drive of its template.
func (r *Capacity) TemplateFor(w Requirements, host *inventory.Host) (*inventory.VM, []finding.Finding) {
	template, findings := r.templates.find(w.Template, host)
	if w.Seed {
		findings = slices.DeleteFunc(slices.Clone(findings), func(f finding.Finding) bool { return f.ID == finding.TemplateNoCloudInit })
	}
	return unlessBlocked(template, findings)
}

// unlessBlocked is the template, or nil when a finding blocks it.
func unlessBlocked(template *inventory.VM, findings []finding.Finding) (*inventory.VM, []finding.Finding) {
	if blocking, _ := Split(findings); len(blocking) > 0 {
		return nil, findings
	}
	return template, findings
}

// CheckSeedStorage checks whether the host has a storage for the image of a worker's seed,
// and whether it is active, takes ISO images and has space. There is no finding for a
// worker without an image.
func CheckSeedStorage(s *inventory.Snapshot, h *inventory.Host, w Requirements) []finding.Finding {
	name := s.Capabilities.SeedStorage
	if !w.Seed || name == "" {
		return nil
	}
	return []finding.Finding{checkSeedStorage(s, h, name)}
}

func checkSeedStorage(s *inventory.Snapshot, h *inventory.Host, name string) finding.Finding {
	f := finding.New(finding.SeedStorage, finding.Fail, at(s, h.Name))
	storage := h.Storage(name)
	if storage == nil {
		if f, is := unreadable(s, h, "storages"); is {
			return f
		}
		f.Reason = fmt.Sprintf("the host has no storage %s for the ISO image of the seed; it has %s", name, storageNames(h))
		f.Fix = s.Advise(inventory.NameISOStorage, inventory.Subject{Storage: name})
		return f
	}
	switch {
	case !storage.Active:
		f.Reason = fmt.Sprintf("storage %s, which is for the ISO image of the seed, is not active on the host", name)
		f.Fix = on(h.Name, s.Advise(inventory.ActivateStorage, inventory.Subject{}))
	case !storage.Has("iso"):
		f.Reason = fmt.Sprintf("storage %s, which is for the ISO image of the seed, does not take ISO images, only %s", name, cmp.Or(strings.Join(storage.Content, ", "), "nothing"))
		f.Fix = s.Advise(inventory.AddISOContent, inventory.Subject{Storage: name, Content: strings.Join(slices.Concat(storage.Content, []string{"iso"}), ",")})
	case storage.Total > 0 && storage.Free < seedSpace:
		f.Reason = fmt.Sprintf("storage %s, which is for the ISO image of the seed, has %s free, %s is needed", name, phrase.Bytes(max(storage.Free, 0)), phrase.Bytes(seedSpace))
		f.Fix = "free space on it, or name another storage for the images of seeds"
	default:
		f.Verdict, f.Reason = finding.Pass, fmt.Sprintf("storage %s takes ISO images, %s free", name, phrase.Bytes(storage.Free))
	}
	return f
}
