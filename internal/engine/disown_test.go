package engine_test

import (
	"context"
	"maps"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

func disown(name string) command {
	return func(ctx context.Context, e testEngine) error {
		plans, err := e.ask(ctx, plan.Request{Verb: plan.DisownWorkers, Workers: []string{name}})
		if err == nil {
			_, err = e.Apply(ctx, plans, engine.ApplyOptions{})
		}
		return err
	}
}

// isDisowned fails the test unless the worker's VM is as it was, without our marks,
// and can be started again.
func (l *lab) isDisowned(worker string) {
	l.t.Helper()
	for id, vm := range l.sim.State().VMs {
		if vm.Name != worker {
			continue
		}
		if strings.Contains(vm.Config["tags"], "gpuworker") || strings.Contains(vm.Config["description"], "gpuworker") {
			l.t.Errorf("marks are left: %q, %q", vm.Config["tags"], vm.Config["description"])
		}
		ctx, root := context.Background(), l.root()
		l.await(root.Stop(ctx, vm.Host, id))
		l.await(root.Start(ctx, vm.Host, id, 0))
		return
	}
	l.t.Errorf("the VM of %s is gone", worker)
}

// TestDisownLeavesTheVMAsItIs: its configuration except tags and note stays, so it can
// start with its card, and it can be adopted again.
func TestDisownLeavesTheVMAsItIs(t *testing.T) {
	for _, parked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, made(t, solo))
			ctx := context.Background()
			if parked {
				l.must(park("gpu-1")(ctx, l.engine("ops@desk", solo, nil)))
			}
			id := l.vmid("gpu-1")
			was := l.sim.State().VMs[id]
			l.must(disown("gpu-1")(ctx, l.engine("ops@desk", solo, nil)))
			is := l.sim.State().VMs[id]
			strip := func(vm pvesim.VMState) map[string]string {
				config := maps.Clone(vm.Config)
				delete(config, "tags")
				delete(config, "description")
				return config
			}
			if is.Running != was.Running || !maps.Equal(strip(is), strip(was)) {
				t.Errorf("it was\n%v\nand is\n%v", was, is)
			}
			for _, option := range []string{"tags", "description"} {
				if text, left := is.Config[option]; left { // nobody wrote more into them
					t.Errorf("%s is left, as %q", option, text)
				}
			}
			for name, mapping := range l.sim.State().Mappings {
				if strings.Contains(mapping.Description, "gpuworker:") {
					t.Errorf("mapping %s has a claim: %s", name, mapping.Description)
				}
			}
			l.isDisowned("gpu-1")
			l.must(adopt(id, "gpu-1")(ctx, l.engine("ops@desk", solo, nil)))
			l.whole()
			l.only("gpu-1")
		})
	}
}
