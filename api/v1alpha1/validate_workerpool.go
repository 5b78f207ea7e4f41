package v1alpha1

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gpuworker/gpuworker/internal/fieldpath"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

func (v *validator) pools() {
	names, cards, addresses := make(uniqueNames), make(takenCards), make(takenAddresses)
	workers := v.docs.workerNames()
	hypervisors, kubeClusters := v.docs.names(KindHypervisor), v.docs.names(KindKubeCluster)
	for i, p := range v.docs.Pools() {
		o := v.object(KindWorkerPool, i, p.Name)
		names.check(o, p.Name)
		o.reference("spec.hypervisor", KindHypervisor, p.Spec.Hypervisor, hypervisors)
		if p.Spec.KubeCluster != "" {
			o.reference("spec.kubeCluster", KindKubeCluster, p.Spec.KubeCluster, kubeClusters)
		}
		o.size(p)
		o.workerNames(p, workers)
		o.lifecycle(&p.Spec)
		o.distinct("spec.hosts", p.Spec.Hosts, hostProblem)
		o.gpus(p, cards)
		o.template("spec.template", p)
		o.machine("spec.machine", p.Spec)
		o.driver("spec.driver", p)
		o.networks("spec.networks", p, addresses)
		o.dns("spec.dns", p.Spec.DNS)
		o.proxmoxWorkers("spec.proxmox", p)
		o.access("spec.access", p.Spec.Access)
		o.nodeLabels("spec.labels", p)
		o.noKubeNode("spec.taints", p, len(p.Spec.Taints))
		o.taints("spec.taints", p.Spec.Taints)
	}
}

// names lists the names of all documents of a kind.
func (d *Documents) names(kind string) []string {
	var names []string
	switch kind {
	case KindHypervisor:
		for _, h := range d.Hypervisors {
			names = append(names, h.Name)
		}
	case KindKubeCluster:
		for _, k := range d.KubeClusters {
			names = append(names, k.Name)
		}
	}
	return names
}

// size checks the number of workers, which comes from gpus or from replicas. With neither,
// the pool is empty, for example because its last card was removed.
func (o *object) size(p *WorkerPool) {
	replicas := p.Spec.Replicas
	switch {
	case p.IsGPU() && replicas != nil:
		o.errorf("spec.replicas", "a pool has gpus or replicas, not both; with gpus there is one worker for each card")
	case p.IsGPU():
	case replicas == nil && len(p.Spec.Names) > 0:
	case replicas == nil:
		o.warnf("spec", "the pool is empty, it has no gpus, replicas or names: %s", o.fateOfWorkers(p))
	case *replicas < 0:
		o.errorf("spec.replicas", "%d is not a number of workers; write 0 or more", *replicas)
	case *replicas == 0:
		o.warnf("spec.replicas", "0 means no workers: %s", o.fateOfWorkers(p))
	}
}

// fateOfWorkers says what happens to the existing workers of an empty pool.
func (o *object) fateOfWorkers(p *WorkerPool) string {
	if p.Spec.Lifecycle == Ephemeral {
		return "the next apply destroys the existing workers"
	}
	return "the existing workers stay until a person names them in a command"
}

func (o *object) lifecycle(spec *WorkerPoolSpec) {
	oneOf(o, "spec.lifecycle", spec.Lifecycle, SemiPersistent, Ephemeral)
	if spec.Lifecycle == Ephemeral && len(spec.GPUs) > 0 {
		o.errorf("spec.lifecycle", "a pool with gpus cannot be Ephemeral: a GPU worker holds a card, and a replacement would wait for this card. Write SemiPersistent, or leave it out")
	}
}

// hostProblem requires the short name of a Proxmox host (API schema, pve-node).
func hostProblem(name string) string {
	switch {
	case name == "":
		return "is empty; write the name of a host"
	case hostForm.MatchString(name) && len(name) <= validation.DNS1123LabelMaxLength:
		return ""
	case strings.Contains(name, ".") && hostForm.MatchString(name[:strings.Index(name, ".")]):
		return fmt.Sprintf("%s is not the name of a host; Proxmox uses short host names, write %q", phrase.Quote(name), name[:strings.Index(name, ".")])
	}
	return phrase.Quote(name) + " is not the name of a host; it has letters, digits and hyphens inside"
}

var hostForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)

func (o *object) template(path string, p *WorkerPool) {
	t := p.Spec.Template
	set := t.ways()
	switch {
	case len(set) == 0:
		o.errorf(path, "is empty; write one of name, id and tags, for example {name: ubuntu-22.04}")
	case len(set) > 1:
		o.errorf(path, "has %s; write only one of them", phrase.And(set))
	}
	o.libraryItem(path, p)
	if t.Name != "" && !vmNameForm.MatchString(t.Name) {
		o.errorf(fieldpath.Under(path, "name"), "%s cannot be the name of a VM; Proxmox allows letters, digits, and hyphens and dots inside", phrase.Quote(t.Name))
	}
	o.templateID(fieldpath.Under(path, "id"), p)
	o.distinct(fieldpath.Under(path, "tags"), t.Tags, tagProblem)
	oneOf(o, fieldpath.Under(path, "clone"), t.Clone, CloneLinked, CloneFull)
}

// ways returns the fields by which the template is named.
func (t Template) ways() []string {
	var set []string
	for _, way := range []struct {
		name string
		set  bool
	}{{"name", t.Name != ""}, {"id", t.ID != ""}, {"tags", len(t.Tags) > 0}, {"library and item", t.Library != "" || t.Item != ""}} {
		if way.set {
			set = append(set, way.name)
		}
	}
	return set
}

// libraryItem checks a template of a content library.
func (o *object) libraryItem(path string, p *WorkerPool) {
	t := p.Spec.Template
	proxmox, known := o.onProxmox(p)
	switch {
	case t.Library == "" && t.Item == "":
	case proxmox || !known:
		field := "library"
		if t.Library == "" {
			field = "item"
		}
		o.errorf(fieldpath.Under(path, field), "Proxmox VE has no content libraries; write name, id or tags of a template")
	case t.Library == "":
		o.errorf(fieldpath.Under(path, "library"), "is missing; an item needs its library")
	case t.Item == "":
		o.errorf(fieldpath.Under(path, "item"), "is missing; a library needs an item")
	}
}

// vmNameForm is Proxmox's format dns-name.
var vmNameForm = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)

// templateID requires a VM number, and warns when it is in the range for new VMs.
func (o *object) templateID(path string, p *WorkerPool) {
	id := p.Spec.Template.ID
	h, known := o.docs.Hypervisor(p.Spec.Hypervisor)
	if id == "" || known && h.Spec.Proxmox == nil {
		return
	}
	number, err := strconv.Atoi(id)
	if err != nil || strconv.Itoa(number) != id || number < lowestVMID || number > highestVMID {
		o.errorf(path, "%s is not a VM number; Proxmox allows %d to %d", phrase.Quote(id), lowestVMID, highestVMID)
		return
	}
	if !known {
		return
	}
	if r := h.Spec.Proxmox.VMIDs; r.First <= number && number <= r.Last {
		o.warnf(path, "%d is in the range for the numbers of new VMs (%d to %d); use a number outside of it for templates", number, r.First, r.Last)
	}
}

// tagProblem requires a tag as Proxmox writes it: in lower case, unless the datacenter
// options say otherwise.
func tagProblem(tag string) string {
	switch {
	case tagForm.MatchString(tag):
		return ""
	case tagForm.MatchString(strings.ToLower(tag)):
		return fmt.Sprintf("%s is not a tag; Proxmox writes tags in lower case, write %q", phrase.Quote(tag), strings.ToLower(tag))
	}
	return phrase.Quote(tag) + " is not a tag; it begins with a letter, digit or _, and may also have - + . after that"
}

var tagForm = regexp.MustCompile(`^[a-z0-9_][a-z0-9_\-+.]*$`)

// workerNumbers checks that the range of each Hypervisor is large enough for the workers
// that are declared on it.
func (v *validator) workerNumbers() {
	for i := range v.docs.Hypervisors {
		h := &v.docs.Hypervisors[i]
		if h.Spec.Proxmox == nil || h.Name == "" {
			continue
		}
		r := h.Spec.Proxmox.VMIDs
		size, wanted, parts := r.Last-r.First+1, 0, []string(nil)
		for _, p := range v.docs.PoolsOn(h.Name) {
			wanted += p.Size()
			parts = append(parts, p.Name+" "+strconv.Itoa(p.Size()))
		}
		if r.First > 0 && size > 0 && wanted > size {
			o := v.object(KindHypervisor, i, h.Name)
			o.errorf("spec.proxmox.vmids", "%d to %d are numbers for %d VMs, but the pools on it declare %d workers (%s); widen the range",
				r.First, r.Last, size, wanted, phrase.Several(parts))
		}
	}
}

// contains reports whether list has the name, or is empty, which means no limit.
func contains(list []string, name string) bool { return len(list) == 0 || slices.Contains(list, name) }
