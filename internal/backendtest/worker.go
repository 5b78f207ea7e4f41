package backendtest

import (
	"context"
	"fmt"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// worker is a worker that engines make, change and destroy.
type worker struct {
	record  inventory.Record
	ref     inventory.VMRef
	machine inventory.Machine
	card    *inventory.Card  // nil for a plain worker
	seen    inventory.Record // the claim when the plan was made
}

// worker declares a worker of a pool; n makes the UUID of its VM. Where the hypervisor
// does not choose identifiers, it gets a free one.
func (e *engine) worker(name, pool string, n int) *worker {
	e.Helper()
	w := &worker{machine: e.set.Machine}
	w.record = inventory.Record{
		Version: inventory.RecordVersion, WorkerKey: inventory.WorkerKey{Worker: name, Pool: pool, KubeCluster: "rke2"}, Lifecycle: "SemiPersistent",
		UUID: fmt.Sprintf("5e0f0000-0000-4000-8000-%012x", n), Host: e.set.Host, Template: e.set.Template.Name, By: e.by,
	}
	if !e.can.ChoosesIDs {
		e.takeID(w)
	}
	w.ref = inventory.VMRef{Host: w.record.Host, ID: w.record.VM, Name: name, UUID: w.record.UUID}
	return w
}

// gpuWorker declares a worker with the card of the setting.
func (e *engine) gpuWorker(name string, n int) *worker {
	e.Helper()
	w := e.worker(name, "gpu", n)
	w.card = &inventory.Card{Ref: e.set.Card, PCIe: true, ROMBar: true}
	w.record.Card = e.set.Card
	w.machine.Protection = true
	return w
}

func (e *engine) takeID(w *worker) {
	e.Helper()
	taken := map[string]bool{}
	if s, err := e.b.Observe(context.Background(), hypervisor.Scope{Cards: true}); err == nil {
		for i := range s.Claims { // a claim names the VM that it is for
			taken[s.Claims[i].Record.VM] = true
		}
	}
	id, err := e.b.FreeID(context.Background(), taken)
	if err != nil {
		e.Fatal(err)
	}
	w.record.VM = id
}

// The methods of a backend.
var (
	claim = call{"claim", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return e.b.Claim(ctx, w.ref, w.record, w.seen, h)
	}}
	release = call{"release", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return e.b.Release(ctx, w.record, e.set.Card, h)
	}}
	clone = call{"clone", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		order := hypervisor.CloneOrder{Record: w.record, Template: e.set.Template, TargetStorage: e.set.Storage, TargetHost: e.set.Host}
		id, wait, err := e.b.Clone(ctx, order, h)
		if wait == nil && err == nil {
			if id == "" {
				e.Errorf("clone: it is done, and its VM has no identifier")
			}
			w.ref.ID = id
		}
		return wait, err
	}}
	configure = call{"configure", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return e.b.Configure(ctx, w.ref, w.record, w.machine, h)
	}}
	attach = call{"attach", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return e.b.Attach(ctx, w.ref, w.record, *w.card, h)
	}}
	start = call{"start", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return e.b.Start(ctx, w.ref, h)
	}}
	stop = call{"stop", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return e.b.Stop(ctx, w.ref, h)
	}}
	agent = call{"agent", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		addresses, wait, err := e.b.Agent(ctx, w.ref, h)
		if wait == nil && err == nil && len(addresses) == 0 {
			e.Errorf("agent: it is done, and the guest has no address")
		}
		return wait, err
	}}
	adopt = call{"adopt", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return e.b.Adopt(ctx, w.ref, w.record, h)
	}}
	setRecord = call{"set the record", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return e.b.SetRecord(ctx, w.ref, w.record, h)
	}}
	park = call{"park", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return e.b.SetParked(ctx, w.ref, true, h)
	}}
	unpark = call{"unpark", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return e.b.SetParked(ctx, w.ref, false, h)
	}}
	disown = call{"disown", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return e.b.Disown(ctx, w.ref, h)
	}}
	unprotect = call{"unprotect", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return e.b.Unprotect(ctx, w.ref, h)
	}}
	destroy = call{"destroy", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return e.b.Destroy(ctx, w.ref, h)
	}}
)

// making are the calls that make and configure a worker's VM and claim its card: the
// claim comes first where there is a register, else last.
func (s *scenario) making(w *worker) []call {
	switch {
	case w.card == nil:
		return []call{clone, configure}
	case s.can.ClaimsInVM:
		return []call{clone, configure, claim}
	}
	return []call{claim, clone, configure}
}

// running are the calls that make a complete, running worker.
func (s *scenario) running(w *worker) []call {
	calls := s.making(w)
	if w.card != nil {
		calls = append(calls, attach)
	}
	return append(calls, setFirst, start, agent, setClean)
}

// ending are the calls that delete a worker.
func (s *scenario) ending(w *worker) []call {
	calls := []call{unprotect, stop, removeSeeds, destroy}
	if w.card != nil {
		calls = append(calls, release)
	}
	return calls
}
