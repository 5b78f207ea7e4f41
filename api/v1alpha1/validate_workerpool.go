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
	hypervisors, kubeClusters := v.docs.names(KindHypervisor), v.docs.names(KindKubeCluster)
	for i, p := range v.docs.Pools() {
		o := v.object(KindWorkerPool, i, p.Name)
		names.check(o, p.Name)
		o.reference("spec.hypervisor", KindHypervisor, p.Spec.Hypervisor, hypervisors)
		o.reference("spec.kubeCluster", KindKubeCluster, p.Spec.KubeCluster, kubeClusters)
		o.size(p)
		o.workerNames(p)
		o.lifecycle(&p.Spec)
		o.distinct("spec.hosts", p.Spec.Hosts, hostProblem)
		o.gpus(p, cards)
		o.template("spec.template", p.Spec)
		o.machine("spec.machine", p.Spec)
		o.passthrough("spec.passthrough", p.Spec)
		o.network("spec.network", p, addresses)
		o.access("spec.access", p.Spec.Access)
		o.nodeLabels("spec.labels", p)
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

// size wants a number of workers: by gpus or by replicas. With neither the pool is
// empty, as it is when its last card was taken out.
func (o *object) size(p *WorkerPool) {
	replicas := p.Spec.Replicas
	switch {
	case p.IsGPU() && replicas != nil:
		o.errorf("spec.replicas", "a pool has gpus or replicas, never both; with gpus there is one worker for each card")
	case p.IsGPU():
	case replicas == nil:
		o.warnf("spec", "the pool is empty, it has neither gpus nor replicas: %s", o.fateOfOthers(p))
	case *replicas < 0:
		o.errorf("spec.replicas", "%d is not a number of workers; write 0 or more", *replicas)
	case *replicas == 0:
		o.warnf("spec.replicas", "0 means no workers: %s", o.fateOfOthers(p))
	}
}

// fateOfOthers says what becomes of the workers that an empty pool has.
func (o *object) fateOfOthers(p *WorkerPool) string {
	if p.Spec.Lifecycle == Ephemeral {
		return "the next apply destroys the workers that are there"
	}
	return "the workers that are there stay until a person names them in a command"
}

// workerNames wants room for the longest <pool>-<n>, which is a host name and
// the name of a KubeNode.
func (o *object) workerNames(p *WorkerPool) {
	longest := p.WorkerName(max(p.Size(), 1))
	if len(p.Name) <= validation.DNS1123LabelMaxLength && len(longest) > validation.DNS1123LabelMaxLength {
		o.errorf("metadata.name", "is too long for its workers: %s has %d characters, and %d is the limit; take %d away",
			longest, len(longest), validation.DNS1123LabelMaxLength, len(longest)-validation.DNS1123LabelMaxLength)
	}
}

func (o *object) lifecycle(spec *WorkerPoolSpec) {
	oneOf(o, "spec.lifecycle", spec.Lifecycle, SemiPersistent, Ephemeral)
	if spec.Lifecycle == Ephemeral && len(spec.GPUs) > 0 {
		o.errorf("spec.lifecycle", "a pool with gpus cannot be Ephemeral: a GPU worker holds hardware, and its successor would wait for the card that it still has. Write SemiPersistent, or leave it out")
	}
}

// hostProblem wants the short name of a Proxmox host (API schema, pve-node).
func hostProblem(name string) string {
	switch {
	case name == "":
		return "is empty; write the name of a host"
	case hostForm.MatchString(name) && len(name) <= validation.DNS1123LabelMaxLength:
		return ""
	case strings.Contains(name, ".") && hostForm.MatchString(name[:strings.Index(name, ".")]):
		return fmt.Sprintf("%s is not the name of a host; Proxmox knows hosts by their short name, write %q", phrase.Quote(name), name[:strings.Index(name, ".")])
	}
	return phrase.Quote(name) + " is not the name of a host; it has letters, digits and hyphens inside"
}

var hostForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)

func (o *object) template(path string, spec WorkerPoolSpec) {
	t := spec.Template
	var set []string
	if t.Name != "" {
		set = append(set, "name")
	}
	if t.VMID != 0 {
		set = append(set, "vmid")
	}
	if len(t.Tags) > 0 {
		set = append(set, "tags")
	}
	switch len(set) {
	case 0:
		o.errorf(path, "says nothing; write one of name, vmid and tags, for example {name: ubuntu-22.04}")
	case 1:
	default:
		o.errorf(path, "has %s; write only one of them", phrase.And(set))
	}
	if t.Name != "" && !vmNameForm.MatchString(t.Name) {
		o.errorf(fieldpath.Under(path, "name"), "%s cannot be the name of a VM; Proxmox takes letters, digits, and hyphens and dots inside", phrase.Quote(t.Name))
	}
	o.templateVMID(fieldpath.Under(path, "vmid"), t.VMID, spec.Hypervisor)
	o.distinct(fieldpath.Under(path, "tags"), t.Tags, tagProblem)
	oneOf(o, fieldpath.Under(path, "clone"), t.Clone, CloneLinked, CloneFull)
}

// vmNameForm is Proxmox's format dns-name.
var vmNameForm = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)

func (o *object) templateVMID(path string, vmid int, hypervisor string) {
	if vmid == 0 {
		return
	}
	if vmid < lowestVMID || vmid > highestVMID {
		o.errorf(path, "%d is not a VM number; Proxmox takes %d to %d", vmid, lowestVMID, highestVMID)
		return
	}
	h, ok := o.docs.Hypervisor(hypervisor)
	if !ok || h.Spec.Proxmox == nil {
		return
	}
	if r := h.Spec.Proxmox.VMIDs; r.First <= vmid && vmid <= r.Last {
		o.warnf(path, "%d lies in the range that new VMs take their numbers from (%d to %d); keep templates out of it", vmid, r.First, r.Last)
	}
}

// tagProblem wants a tag as Proxmox writes it: it lowers tags unless the
// data centre is set to keep case.
func tagProblem(tag string) string {
	switch {
	case tagForm.MatchString(tag):
		return ""
	case tagForm.MatchString(strings.ToLower(tag)):
		return fmt.Sprintf("%s is not a tag; Proxmox has tags in lower case, write %q", phrase.Quote(tag), strings.ToLower(tag))
	}
	return phrase.Quote(tag) + " is not a tag; it begins with a letter, digit or _, and has those and - + . inside"
}

var tagForm = regexp.MustCompile(`^[a-z0-9_][a-z0-9_\-+.]*$`)

// workerNumbers wants the range of each Hypervisor to be large enough for the
// workers that are declared on it.
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
			o.errorf("spec.proxmox.vmids", "%d to %d is room for %d VMs, and the pools on it declare %d workers (%s); widen the range",
				r.First, r.Last, size, wanted, phrase.Few(parts))
		}
	}
}

// contains reports whether list is empty (no limit) or has the name.
func contains(list []string, name string) bool { return len(list) == 0 || slices.Contains(list, name) }
