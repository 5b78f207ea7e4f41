package pool

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/phrase"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/worker"
)

// vm is the VM of a worker.
type vm struct{ worker, uuid string }

// mayBeDestroyed returns an error when the state has semi-persistent workers and does not
// allow to destroy all of them.
func (p *pool) mayBeDestroyed() error {
	var vms []vm
	if p.semiPersistent() {
		for _, name := range inOrder(p.workers) {
			vms = append(vms, vm{name, p.workers[name].UUID})
		}
	}
	return p.allows(vms)
}

// allows returns an error when the state does not name all of these VMs.
func (p *pool) allows(vms []vm) error {
	var missing []string
	for _, one := range vms {
		if !slices.Contains(p.allowed, one.uuid) {
			missing = append(missing, one.String())
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &fault.Error{
		Kind: fault.Refused, Why: "semi-persistent workers are destroyed only when a person names their VMs; the state does not name " + phrase.And(missing),
		Fix: fmt.Sprintf("to destroy all workers, first apply %s; to keep the VMs and only forget the pool, use removed { lifecycle { destroy = false } }; "+
			"without Terraform: %s", allowing(vms), deleting(vms)),
	}
}

func (v vm) String() string { return fmt.Sprintf("%s (VM %s)", v.worker, v.uuid) }

// allowing is the attribute that allows to destroy these VMs.
func allowing(vms []vm) string {
	var quoted []string
	for _, one := range vms {
		quoted = append(quoted, fmt.Sprintf("%q", one.uuid))
	}
	return "allow_destroy_uuids = [" + strings.Join(quoted, ", ") + "]"
}

// deleting is the command that destroys these workers.
func deleting(vms []vm) string {
	var names []any
	for _, one := range vms {
		names = append(names, one.worker)
	}
	return shell.Command("gpuworker delete"+strings.Repeat(" %s", len(names)), names...)
}

// inOrder are the names of workers, gpu-2 before gpu-10.
func inOrder[V any](workers map[string]V) []string {
	return slices.SortedFunc(maps.Keys(workers), func(a, b string) int {
		if len(a) != len(b) && strings.TrimRight(a, "0123456789") == strings.TrimRight(b, "0123456789") {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
}

// toDelete are the workers of the pool that have a VM or a claim, and those of the state:
// one that cannot be seen now is then not forgotten but refused.
func (p *pool) toDelete(d *engine.Decision) []string {
	names := map[string]bool{}
	for name := range p.workers {
		names[name] = true
	}
	for seen := range firstOfEach(d) {
		if seen.VM != nil || seen.Record != nil && seen.Action != plan.Create || seen.Claimed != nil {
			names[seen.Name] = true
		}
	}
	return inOrder(names)
}

// acceptDelete refuses to destroy a semi-persistent VM that the state does not name.
func (p *pool) acceptDelete(plans engine.Plans) error {
	var vms []vm
	for _, one := range plans.Plans {
		for w := range one.Workers() {
			switch {
			case w.Action == plan.Refuse:
				return worker.Refusal(&engine.Decided{Worker: *w})
			case w.Ref != nil && (p.semiPersistent() || worker.IsPermanent(w.Record)):
				vms = append(vms, vm{w.Name, w.Ref.UUID})
			}
		}
	}
	return p.allows(vms)
}
