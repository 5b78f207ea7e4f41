package place

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// templates finds the template for each host of a world. For each declared template
// it searches the VMs once and judges each host once.
type templates struct {
	world *inventory.Snapshot
	fit   map[templateName]*fitting
}

// templateName is a declared template as a comparable value.
type templateName struct {
	name, id, tags string
}

// fitting are the VMs that match a declared template.
type fitting struct {
	templates []*inventory.VM
	others    []*inventory.VM            // that are not templates
	here      map[string][]*inventory.VM // templates by host
	found     map[string]foundTemplate   // by host
}

type foundTemplate struct {
	template *inventory.VM
	findings []finding.Finding
}

func (t *templates) find(needs v1alpha1.Template, h *inventory.Host) (*inventory.VM, []finding.Finding) {
	fit := t.fitting(needs)
	found, known := fit.found[h.Name]
	if !known {
		found.template, found.findings = fit.find(t.world, needs, h)
		found.findings = slices.Clip(found.findings) // so that append copies
		fit.found[h.Name] = found
	}
	return found.template, found.findings
}

func (t *templates) fitting(needs v1alpha1.Template) *fitting {
	name := templateName{needs.Name, needs.ID, strings.Join(needs.Tags, "\n")}
	if t.fit[name] == nil {
		fit := &fitting{here: map[string][]*inventory.VM{}, found: map[string]foundTemplate{}}
		for i := range t.world.VMs {
			fit.add(needs, &t.world.VMs[i])
		}
		t.fit[name] = fit
	}
	return t.fit[name]
}

func (f *fitting) add(needs v1alpha1.Template, vm *inventory.VM) {
	switch {
	case !isTemplate(needs, vm):
	case !vm.Template:
		f.others = append(f.others, vm)
	default:
		f.templates = append(f.templates, vm)
		f.here[vm.Host] = append(f.here[vm.Host], vm)
	}
}

// find returns the one template that fits, even when a finding about it blocks.
func (f *fitting) find(s *inventory.Snapshot, needs v1alpha1.Template, h *inventory.Host) (*inventory.VM, []finding.Finding) {
	candidates, onOtherHosts := f.here[h.Name], []*inventory.VM(nil)
	if len(candidates) == 0 {
		for _, vm := range f.templates {
			if sharedWith(s, vm, h) {
				candidates = append(candidates, vm)
			} else {
				onOtherHosts = append(onOtherHosts, vm)
			}
		}
	}
	problem := finding.New(finding.TemplateMissing, finding.Fail, at(s, h.Name))
	switch {
	case len(candidates) > 1:
		problem.ID = finding.TemplateAmbiguous
		problem.Reason = fmt.Sprintf("%d templates %s fit: %s", len(candidates), templateWords(needs), vmList(candidates))
		problem.Fix = "name one by spec.template.id, or give it a name or a tag of its own"
		return nil, []finding.Finding{problem}
	case len(candidates) == 0:
		problem.Reason, problem.Fix = noTemplate(s, needs, h, onOtherHosts, f.others)
		return nil, []finding.Finding{problem}
	}
	return candidates[0], checkTemplate(s, candidates[0])
}
