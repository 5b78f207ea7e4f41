package planner

import (
	"strconv"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// poolKey identifies a pool, in documents and in records.
type poolKey struct{ pool, kubeCluster string }

func keyOf(pool *v1alpha1.WorkerPool) poolKey { return poolKey{pool.Name, pool.Spec.KubeCluster} }

// documents indexes the documents of an input by name, since they are looked up for
// each worker and VM of the world.
type documents struct {
	pools        []*v1alpha1.WorkerPool // of this hypervisor
	byKey        map[poolKey]*v1alpha1.WorkerPool
	kubeClusters map[string]bool

	names   workerNames
	others  workerNames      // of Input.OtherPools
	aliases map[poolKey]bool // Input.AliasPools
	isAlias bool             // Input.IsAlias
}

func documentsOf(in Input) *documents {
	d := &documents{
		byKey: map[poolKey]*v1alpha1.WorkerPool{}, kubeClusters: map[string]bool{},
		names: newWorkerNames(), others: newWorkerNames(), aliases: map[poolKey]bool{}, isAlias: in.IsAlias,
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
			d.kubeClusters[""] = true // of workers that join no KubeCluster
		}
	}
	for _, pool := range in.OtherPools {
		d.others.add(pool)
	}
	for _, pool := range in.AliasPools {
		d.aliases[keyOf(pool)] = true
	}
	return d
}

// add adds a pool. When several have the same key, byKey has the first.
func (d *documents) add(pool *v1alpha1.WorkerPool) {
	d.pools = append(d.pools, pool)
	if d.byKey[keyOf(pool)] == nil {
		d.byKey[keyOf(pool)] = pool
	}
	d.names.add(pool)
}

// workerNames finds the pool of a worker by the worker's name.
type workerNames struct {
	numbered map[string]*v1alpha1.WorkerPool // pools with numbered workers, by name of the pool
	named    map[string]*v1alpha1.WorkerPool // pools with spec.names, by name of the worker
}

func newWorkerNames() workerNames {
	return workerNames{map[string]*v1alpha1.WorkerPool{}, map[string]*v1alpha1.WorkerPool{}}
}

// add adds the worker names of a pool. The first pool with a name wins.
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

// poolOf finds the pool that has a worker of this name, and the worker's number in
// it; nil when there is none.
func (n workerNames) poolOf(worker string) (pool *v1alpha1.WorkerPool, number int) {
	if pool = n.named[worker]; pool == nil {
		name, _ := splitName(worker)
		if pool = n.numbered[name]; pool == nil {
			return nil, 0
		}
	}
	return pool, pool.WorkerNumber(worker)
}

// pool finds the declared pool of a record; nil when there is none.
func (d *documents) pool(r *inventory.Record) *v1alpha1.WorkerPool {
	return d.byKey[poolKey{r.Pool, r.KubeCluster}]
}

// poolOf finds the declared pool that has a worker of this name, and the worker's
// number in it; nil when there is none.
func (d *documents) poolOf(worker string) (pool *v1alpha1.WorkerPool, number int) {
	return d.names.poolOf(worker)
}

// numberOf is the number of a worker in its pool, taken from its name; 0 when the
// name has none.
func (d *documents) numberOf(worker inventory.WorkerKey) int {
	if pool := d.byKey[poolKey{worker.Pool, worker.KubeCluster}]; pool != nil {
		return pool.WorkerNumber(worker.Worker)
	}
	if name, n := splitName(worker.Worker); name == worker.Pool {
		return n
	}
	return 0
}

// declares reports whether the documents declare the KubeCluster, or none at all.
func (d *documents) declares(kubeCluster string) bool {
	return len(d.kubeClusters) == 0 || d.kubeClusters[kubeCluster]
}

// reportedByAlias reports whether a worker is reported with another Hypervisor
// document of the same endpoint: that one declares its pool, or it comes first and no
// document here declares the pool.
func (d *documents) reportedByAlias(r *inventory.Record) bool {
	return d.aliases[poolKey{r.Pool, r.KubeCluster}] || d.isAlias && d.pool(r) == nil
}

// onOtherHypervisor reports whether a name is that of a worker of a pool on another
// hypervisor, and of no pool here.
func (d *documents) onOtherHypervisor(worker string) bool {
	other, _ := d.others.poolOf(worker)
	here, _ := d.poolOf(worker)
	return other != nil && here == nil
}

// splitName splits POOL-n into pool and number. pool is "" when the name does not
// have this form.
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

// IsWorkerOf reports whether the pool has a worker of this name.
func IsWorkerOf(pool *v1alpha1.WorkerPool, name string) bool { return pool.WorkerNumber(name) > 0 }
