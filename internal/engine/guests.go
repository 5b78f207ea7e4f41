package engine

import (
	"fmt"
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/bootstrap"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/planner"
)

// guestsOf returns what the guests of a plan are made from. It finds gpuworker-guest before
// anything is changed, if a worker of the plan gets it.
func (e *Engine) guestsOf(documents *v1alpha1.Documents, document *v1alpha1.Hypervisor, p *plan.Plan) (apply.GuestOf, error) {
	if p == nil {
		return nil, nil
	}
	var builds []bootstrap.Build
	if deliversProgram(documents, document, p) {
		var err error
		if builds, err = e.builds(); err != nil {
			return nil, err
		}
	}
	return func(worker inventory.WorkerKey, gpu *guest.GPU, vm *inventory.VM) (bootstrap.Worker, error) {
		pool := poolOf(documents, document, worker)
		if pool == nil {
			return bootstrap.Worker{}, &fault.Error{
				Kind: fault.Invalid, Doing: "make the data for the guest", Where: fault.Place{Hypervisor: document.Name, Worker: worker.Worker},
				Why: "no document declares " + worker.PoolWords(), Fix: "give the document that declares it",
			}
		}
		return bootstrap.WorkerOf(pool, pool.WorkerNumber(worker.Worker), vmFor(pool, gpu, vm), builds, e.options.Version), nil
	}, nil
}

// vmFor is what a document does not say about the VM of a worker.
func vmFor(pool *v1alpha1.WorkerPool, gpu *guest.GPU, vm *inventory.VM) bootstrap.VM {
	made := bootstrap.VM{UUID: vm.UUID, GPU: gpu}
	for _, nic := range vm.Machine.NICs {
		made.MACs = append(made.MACs, nic.MAC)
	}
	var id pci.ID
	if gpu != nil {
		id, _ = pci.ParseID(gpu.ID)
	}
	made.Driver, made.Release = pool.DriverOrder(id), bootstrap.ReleaseOf(string(pool.Spec.Template.OS))
	return made
}

// deliversProgram reports whether a worker of the plan gets gpuworker-guest from here.
func deliversProgram(documents *v1alpha1.Documents, document *v1alpha1.Hypervisor, p *plan.Plan) bool {
	for w := range p.Workers() {
		if w.Record == nil || !slices.Contains(w.Steps, plan.StepSeed) && !slices.Contains(w.Steps, plan.StepDeliver) {
			continue
		}
		pool := poolOf(documents, document, w.Record.WorkerKey)
		if pool != nil && pool.UsesGuestProgram() && slices.Contains([]v1alpha1.Delivery{v1alpha1.DeliverySeedISO, v1alpha1.DeliveryGuestAgent}, pool.Spec.Bootstrap.Delivery) {
			return true
		}
	}
	return false
}

func (e *Engine) builds() ([]bootstrap.Build, error) {
	if e.options.Builds == nil {
		return nil, &fault.Error{Kind: fault.Unsupported, Doing: "find gpuworker-guest", Why: fmt.Sprintf("this front end has no builds of it (%s)", e.options.Version), Fix: "write delivery: Template or URL"}
	}
	return e.options.Builds()
}

// poolOf finds the declared pool of a worker; nil when there is none.
func poolOf(documents *v1alpha1.Documents, document *v1alpha1.Hypervisor, worker inventory.WorkerKey) *v1alpha1.WorkerPool {
	for _, pool := range documents.PoolsOn(document.Name) {
		if pool.Name == worker.Pool && pool.Spec.KubeCluster == worker.KubeCluster && planner.IsWorkerOf(pool, worker.Worker) {
			return pool
		}
	}
	return nil
}
