package v1alpha1

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gpuworker/gpuworker/internal/fieldpath"
)

// workerNames are the names of workers that pools give. One name is for one worker
// of a KubeCluster, and for one VM of a hypervisor.
type workerNames struct {
	taken map[nameIn]*Field
	pools map[string]int // pools that number their workers, by name
}

type nameIn struct{ where, name string }

func (d *Documents) workerNames() *workerNames {
	names := &workerNames{taken: map[nameIn]*Field{}, pools: map[string]int{}}
	for i, p := range d.Pools() {
		if len(p.Spec.Names) == 0 {
			names.pools[p.Name] = i
		}
	}
	return names
}

// workerNames judges the names that the pool's workers have or get.
func (o *object) workerNames(p *WorkerPool, names *workerNames) {
	if len(p.Spec.Names) == 0 {
		o.lengthOfNames(p)
		return
	}
	if size, written := p.Size(), len(p.Spec.Names); size != written {
		what := "replicas"
		if p.IsGPU() {
			what = "cards"
		}
		o.errorf("spec.names", "%d for %d %s; write one for each", written, size, what)
	}
	o.distinct("spec.names", p.Spec.Names, func(string) string { return "" })
	for i, name := range p.Spec.Names {
		path := fieldpath.Item("spec.names", i)
		o.label(path, name)
		if other := names.give(o, path, p, name); other != nil {
			o.clash(path, other, "worker %s is of another pool already; two VMs or KubeNodes cannot have one name", name)
		}
	}
}

// lengthOfNames wants room for the longest POOL-n, which is a host name and the
// name of a KubeNode.
func (o *object) lengthOfNames(p *WorkerPool) {
	longest := p.WorkerName(max(p.Size(), 1))
	if len(p.Name) <= validation.DNS1123LabelMaxLength && len(longest) > validation.DNS1123LabelMaxLength {
		o.errorf("metadata.name", "is too long for its workers: %s has %d characters, and %d is the limit; take %d away",
			longest, len(longest), validation.DNS1123LabelMaxLength, len(longest)-validation.DNS1123LabelMaxLength)
	}
}

// give gives a worker of a pool its name; the result is the field of another pool
// that gives it too, nil when none does.
func (n *workerNames) give(o *object, path string, p *WorkerPool, name string) *Field {
	places := []nameIn{{"hypervisor " + p.Spec.Hypervisor, name}}
	if p.Spec.KubeCluster != "" {
		places = append(places, nameIn{"cluster " + p.Spec.KubeCluster, name})
	}
	for _, place := range places {
		if first := n.taken[place]; first != nil && first.Index != o.document.Index {
			return first
		}
		n.taken[place] = o.field(path)
	}
	at := strings.LastIndexByte(name, '-')
	if at < 0 {
		return nil
	}
	index, found := n.pools[name[:at]]
	if !found {
		return nil
	}
	other := &o.docs.WorkerPools[index]
	meets := other.Spec.Hypervisor == p.Spec.Hypervisor || p.Spec.KubeCluster != "" && other.Spec.KubeCluster == p.Spec.KubeCluster
	if number := other.WorkerNumber(name); meets && number > 0 && number <= other.Size() {
		return &Field{Kind: KindWorkerPool, Index: index, Name: other.Name, Path: "metadata.name"}
	}
	return nil
}
