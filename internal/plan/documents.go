package plan

import (
	"strconv"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// poolKey is what makes a record speak of a pool.
type poolKey struct{ pool, kubeCluster string }

func keyOf(pool *v1alpha1.WorkerPool) poolKey { return poolKey{pool.Name, pool.Spec.KubeCluster} }

// documents are those of an input, to be found by name: they are asked for each
// worker and VM of the world.
type documents struct {
	pools        []*v1alpha1.WorkerPool // of this hypervisor
	byKey        map[poolKey]*v1alpha1.WorkerPool
	byName       map[string]*v1alpha1.WorkerPool
	kubeClusters map[string]bool

	onWrongHost map[string]bool  // names of pools; see Input
	beside      map[poolKey]bool // see Input
	second      bool
}

func documentsOf(in Input) *documents {
	d := &documents{
		byKey: map[poolKey]*v1alpha1.WorkerPool{}, byName: map[string]*v1alpha1.WorkerPool{}, kubeClusters: map[string]bool{},
		onWrongHost: map[string]bool{}, beside: map[poolKey]bool{}, second: in.Second,
	}
	for i := range in.Pools {
		if pool := &in.Pools[i]; in.Hypervisor == nil || pool.Spec.Hypervisor == in.Hypervisor.Name {
			d.add(pool)
		}
	}
	for _, name := range in.KubeClusters {
		d.kubeClusters[name] = true
	}
	for _, pool := range in.Others {
		d.onWrongHost[pool.Name] = true
	}
	for _, pool := range in.Beside {
		d.beside[keyOf(pool)] = true
	}
	return d
}

// add takes a pool; of several with one name the first is found.
func (d *documents) add(pool *v1alpha1.WorkerPool) {
	d.pools = append(d.pools, pool)
	if d.byKey[keyOf(pool)] == nil {
		d.byKey[keyOf(pool)] = pool
	}
	if d.byName[pool.Name] == nil {
		d.byName[pool.Name] = pool
	}
}

// pool finds the pool that a record speaks of; nil when none is declared.
func (d *documents) pool(r *inventory.Record) *v1alpha1.WorkerPool {
	return d.byKey[poolKey{r.Pool, r.KubeCluster}]
}

// poolOf finds the declared pool that a worker's name belongs to, and its number
// there; nil when none does.
func (d *documents) poolOf(worker string) (pool *v1alpha1.WorkerPool, number int) {
	name, number := splitName(worker)
	return d.byName[name], number
}

// declares reports whether the documents speak of the KubeCluster.
func (d *documents) declares(kubeCluster string) bool {
	return len(d.kubeClusters) == 0 || d.kubeClusters[kubeCluster]
}

// toldBeside reports whether another Hypervisor document of the same cluster
// answers for a worker: it declares its pool, or comes first and nothing here does.
func (d *documents) toldBeside(r *inventory.Record) bool {
	return d.beside[poolKey{r.Pool, r.KubeCluster}] || d.second && d.pool(r) == nil
}

// meantElsewhere reports whether a name is that of a worker of another
// hypervisor's pool, and of no pool here.
func (d *documents) meantOther(worker string) bool {
	name, _ := splitName(worker)
	return d.onWrongHost[name] && d.byName[name] == nil
}

// splitName takes POOL-n apart. The name of the pool is "" when it is no name of a
// worker.
func splitName(worker string) (pool string, n int) {
	dash := strings.LastIndexByte(worker, '-')
	if dash < 0 {
		return "", 0
	}
	n, err := strconv.Atoi(worker[dash+1:])
	if err != nil || n < 1 || strconv.Itoa(n) != worker[dash+1:] {
		return "", 0
	}
	return worker[:dash], n
}

// numberOf is n of a worker named POOL-n; 0 for any other name.
func numberOf(pool, worker string) int {
	if name, n := splitName(worker); name == pool {
		return n
	}
	return 0
}

// IsWorkerOf reports whether a name is that of a worker of the pool, POOL-n.
func IsWorkerOf(pool *v1alpha1.WorkerPool, name string) bool { return numberOf(pool.Name, name) > 0 }
