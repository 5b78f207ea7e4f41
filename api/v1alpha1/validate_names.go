package v1alpha1

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gpuworker/gpuworker/internal/fieldpath"
)

// workerNames are the names of all workers. A name must be unique in a KubeCluster and on
// a hypervisor.
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

// workerNames checks the names of the pool's workers.
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
		if other := names.add(o, path, p, name); other != nil {
			o.conflict(path, other, "another pool has a worker %s too; two VMs or KubeNodes cannot have the same name", name)
		}
	}
}

// lengthOfNames checks that the longest POOL-n is a valid host name and KubeNode name.
func (o *object) lengthOfNames(p *WorkerPool) {
	longest := p.WorkerName(max(p.Size(), 1))
	if len(p.Name) <= validation.DNS1123LabelMaxLength && len(longest) > validation.DNS1123LabelMaxLength {
		o.errorf("metadata.name", "is too long for its workers: %s has %d characters, but the limit is %d; make it %d shorter",
			longest, len(longest), validation.DNS1123LabelMaxLength, len(longest)-validation.DNS1123LabelMaxLength)
	}
}

// add records the name of a worker. It returns the field of another pool that has the
// same name, nil for none.
func (n *workerNames) add(o *object, path string, p *WorkerPool, name string) *Field {
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
