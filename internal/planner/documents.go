package planner

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
	kubeClusters map[string]bool

	names  workerNames
	others workerNames      // of pools on other hypervisors; see Input
	beside map[poolKey]bool // see Input
	second bool
}

func documentsOf(in Input) *documents {
	d := &documents{
		byKey: map[poolKey]*v1alpha1.WorkerPool{}, kubeClusters: map[string]bool{},
		names: newWorkerNames(), others: newWorkerNames(), beside: map[poolKey]bool{}, second: in.Second,
	}
	for i := range in.Pools {
		if pool := &in.Pools[i]; in.Hypervisor == nil || pool.Spec.Hypervisor == in.Hypervisor.Name {
			d.add(pool)
		}
	}
	for _, name := range in.KubeClusters {
		d.kubeClusters[name] = true
	}
	for i := range in.Pools {
		if in.Pools[i].Spec.KubeCluster == "" {
			d.kubeClusters[""] = true // workers that join nothing are spoken of too
		}
	}
	for _, pool := range in.Others {
		d.others.add(pool)
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
	d.names.add(pool)
}

// workerNames find the pool that a worker's name is of.
type workerNames struct {
	numbered map[string]*v1alpha1.WorkerPool // pools that number their workers, by their own name
	named    map[string]*v1alpha1.WorkerPool // pools that name them, by worker
}

func newWorkerNames() workerNames {
	return workerNames{map[string]*v1alpha1.WorkerPool{}, map[string]*v1alpha1.WorkerPool{}}
}

// add takes the names of a pool; of several pools with one name the first is found.
func (n workerNames) add(pool *v1alpha1.WorkerPool) {
	if len(pool.Spec.Names) == 0 && n.numbered[pool.Name] == nil {
		n.numbered[pool.Name] = pool
	}
	for _, worker := range pool.Spec.Names {
		if n.named[worker] == nil {
			n.named[worker] = pool
		}
	}
}

// poolOf is the pool that a worker's name is of, and its number there; nil when it
// is of none.
func (n workerNames) poolOf(worker string) (pool *v1alpha1.WorkerPool, number int) {
	if pool = n.named[worker]; pool == nil {
		name, _ := splitName(worker)
		if pool = n.numbered[name]; pool == nil {
			return nil, 0
		}
	}
	return pool, pool.WorkerNumber(worker)
}

// pool finds the pool that a record speaks of; nil when none is declared.
func (d *documents) pool(r *inventory.Record) *v1alpha1.WorkerPool {
	return d.byKey[poolKey{r.Pool, r.KubeCluster}]
}

// poolOf finds the declared pool that a worker's name belongs to, and its number
// there; nil when none does.
func (d *documents) poolOf(worker string) (pool *v1alpha1.WorkerPool, number int) {
	return d.names.poolOf(worker)
}

// numberOf is the number of a worker in its pool, as far as its name tells; 0 when
// it does not.
func (d *documents) numberOf(worker inventory.WorkerKey) int {
	if pool := d.byKey[poolKey{worker.Pool, worker.KubeCluster}]; pool != nil {
		return pool.WorkerNumber(worker.Worker)
	}
	if name, n := splitName(worker.Worker); name == worker.Pool {
		return n
	}
	return 0
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
	other, _ := d.others.poolOf(worker)
	here, _ := d.poolOf(worker)
	return other != nil && here == nil
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

// IsWorkerOf reports whether a name is that of a worker of the pool.
func IsWorkerOf(pool *v1alpha1.WorkerPool, name string) bool { return pool.WorkerNumber(name) > 0 }
