package pool

import (
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/worker"
)

// decided is a worker with VM 9100 on pve1.
func decided(action plan.Action, change ...func(*engine.Decided)) *engine.Decided {
	seen := &engine.Decided{
		Worker: plan.Worker{Name: "w-1", Action: action, Host: "pve1", VM: "9100", Ref: &inventory.VMRef{Host: "pve1", ID: "9100", UUID: "a"}},
		VM:     &inventory.VM{}, State: "Running", Group: pci.NoGroup,
	}
	for _, one := range change {
		one(seen)
	}
	return seen
}

// TestWhatThePlanDidNotShowIsNotDone: the world changed after the plan.
func TestWhatThePlanDidNotShowIsNotDone(t *testing.T) {
	shown := worker.Values{Host: "pve1", VM: "9100", UUID: "a", State: worker.Running, Group: pci.NoGroup}
	undeclared := func(d *engine.Decided) { d.Undeclared, d.Reason = true, "no longer declared" }
	stop := plan.Change{Field: "machine.cores", From: "4", To: "8", When: plan.NeedsStop}
	state := func(allowed ...string) *pool {
		return &pool{allowed: allowed, workers: map[string]worker.Values{"w-1": shown}}
	}
	planned := map[string]worker.Values{"w-1": shown}
	for name, c := range map[string]struct {
		was   *pool
		shows map[string]worker.Values
		drift []string
		seen  *engine.Decided
		want  string // "" when it is accepted
	}{
		"as shown":            {state(), planned, nil, decided(plan.Keep), ""},
		"not in the plan":     {state(), map[string]worker.Values{}, nil, decided(plan.Keep), "the plan did not show this worker"},
		"another VM":          {state(), planned, nil, decided(plan.Keep, func(d *engine.Decided) { d.Ref.UUID = "b" }), "VM a of the plan is not there any more"},
		"it is gone":          {state(), planned, nil, decided(plan.Create, func(d *engine.Decided) { d.Ref, d.VM = nil, nil }), "VM a of the plan is not there any more"},
		"another host":        {state(), planned, nil, decided(plan.Keep, func(d *engine.Decided) { d.Host = "pve2" }), "the host would be pve2, but the plan has shown pve1"},
		"a replace":           {state(), planned, nil, decided(plan.Replace), "the VM would be destroyed, which the plan did not show"},
		"a replace of a plan": {state(), map[string]worker.Values{"w-1": worker.Fresh(decided(plan.Replace), false)}, nil, decided(plan.Replace), ""},
		"a replace instead of a create": {&pool{}, map[string]worker.Values{"w-1": worker.Fresh(decided(plan.Create), false)}, nil, decided(plan.Replace),
			"the VM would be destroyed, which the plan did not show"},
		"it is locked":                        {state(), planned, nil, decided(plan.Wait, func(d *engine.Decided) { d.Reason = "VM 9100 is locked: backup" }), "VM 9100 is locked: backup"},
		"a held change":                       {state(), planned, nil, decided(plan.Hold, func(d *engine.Decided) { d.Changes = []plan.Change{stop} }), "this change waits for a person, which the plan did not show"},
		"a known held change":                 {state(), planned, []string{"w-1: " + stop.String()}, decided(plan.Hold, func(d *engine.Decided) { d.Changes = []plan.Change{stop} }), ""},
		"an end":                              {state(), map[string]worker.Values{}, nil, decided(plan.Destroy, undeclared), ""},
		"an end of another VM":                {&pool{}, map[string]worker.Values{}, nil, decided(plan.Destroy, undeclared), "VM a would be destroyed, which the plan did not show"},
		"an end in a create":                  {nil, map[string]worker.Values{}, nil, decided(plan.Destroy, undeclared), "VM a would be destroyed, which the plan did not show"},
		"an end of what stays":                {state(), planned, nil, decided(plan.Destroy, undeclared), "VM a would be destroyed, which the plan did not show"},
		"an allowed end":                      {state("a"), map[string]worker.Values{}, nil, decided(plan.Hold, undeclared), ""},
		"an end that is not allowed any more": {state("b"), map[string]worker.Values{}, nil, decided(plan.Hold, undeclared), "the plan did not show this worker"},
		"a known leftover":                    {state(), planned, nil, decided(plan.Hold, undeclared), ""},
	} {
		t.Run(name, func(t *testing.T) {
			j := &job{pool: &pool{workers: c.shows, drift: c.drift}, was: c.was}
			got := ""
			if err := j.acceptWorker(c.seen, "lab"); err != nil {
				got = err.Error()
			}
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
