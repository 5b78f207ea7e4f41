package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/bootstrap"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/planner"
	"github.com/gpuworker/gpuworker/internal/status"
)

// guestsOf returns what the guests of a plan are made from. It finds gpuworker-guest before
// anything is changed, if a worker of the plan gets it.
func (e *Engine) guestsOf(documents *v1alpha1.Documents, document *v1alpha1.Hypervisor, p *plan.Plan) (apply.GuestOf, error) {
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
				Kind: fault.NotFound, Doing: "make the data for the guest", Where: fault.Place{Hypervisor: document.Name, Worker: worker.Worker},
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
	builds, err := e.options.Builds()
	if i := slices.IndexFunc(builds, func(b bootstrap.Build) bool { return b.Arch == hypervisorArch }); i >= 0 {
		builds = builds[i : i+1]
	}
	return builds, err
}

// hypervisorArch is the architecture of the hosts of all supported hypervisors, and so of
// their guests. The other builds would only make each seed larger.
const hypervisorArch = "amd64"

// poolOf finds the declared pool of a worker; nil when there is none.
func poolOf(documents *v1alpha1.Documents, document *v1alpha1.Hypervisor, worker inventory.WorkerKey) *v1alpha1.WorkerPool {
	for _, pool := range documents.PoolsOn(document.Name) {
		if pool.Name == worker.Pool && pool.Spec.KubeCluster == worker.KubeCluster && planner.IsWorkerOf(pool, worker.Worker) {
			return pool
		}
	}
	return nil
}

// guestCalls is how many guests are asked at the same time: each agent that does not answer
// blocks a worker of the hypervisor's server for some seconds.
const guestCalls = 16

// askGuests reads the status of gpuworker-guest in all guests of ours whose agent answered.
func (e *Engine) askGuests(ctx context.Context, documents *v1alpha1.Documents, document *v1alpha1.Hypervisor, world *inventory.Snapshot) status.Guests {
	guests := status.Guests{Version: e.options.Version, ByVM: map[string]status.GuestAnswer{}}
	backend, err := e.backend(ctx, documents, document)
	if err != nil {
		return guests
	}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(guestCalls)
	for i := range world.VMs {
		vm := &world.VMs[i]
		if ownership, _ := vm.Ownership(); ownership != inventory.Ours || !vm.Running || vm.Agent != inventory.On || !status.Uses(vm) {
			continue
		}
		group.Go(func() error {
			answer := askGuest(ctx, backend, vm)
			mu.Lock()
			defer mu.Unlock()
			guests.ByVM[vm.ID] = answer
			return nil
		})
	}
	_ = group.Wait() // no call returns an error
	return guests
}

func askGuest(ctx context.Context, backend hypervisor.Backend, vm *inventory.VM) status.GuestAnswer {
	data, err := backend.ReadGuest(ctx, inventory.VMRef{Host: vm.Host, ID: vm.ID, Name: vm.Name, UUID: vm.UUID}, guest.StatusFile, guest.MaxStatus+1)
	switch {
	case fault.Is(err, fault.NotFound):
		return status.GuestAnswer{Problem: "gpuworker-guest has written no status yet"}
	case err != nil:
		return status.GuestAnswer{Problem: err.Error()}
	}
	s, err := guest.ParseStatus(data)
	if err != nil {
		return status.GuestAnswer{Problem: err.Error()}
	}
	return status.GuestAnswer{Status: s}
}
