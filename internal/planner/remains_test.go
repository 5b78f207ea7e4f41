package planner

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// throughJSON is the plan as another process reads it.
func throughJSON(t interface{ Fatal(...any) }, p *plan.Plan) *plan.Plan {
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var read plan.Plan
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	return &read
}

func TestAPlanReadFromJSONDecidesTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := Make(anyInput(t))
		if err != nil {
			return
		}
		read := throughJSON(t, p)
		if same, differences := plan.Same(read, p); !same {
			t.Fatalf("it decides differently: %v", differences)
		}
		if same, differences := plan.Remains(read, p); !same {
			t.Fatalf("it is not what remains: %v", differences)
		}
	})
}

// An empty list and none are one thing, as in JSON.
func TestEmptyListsInAPlanSurviveJSON(t *testing.T) {
	w := plan.Worker{
		Name: "gpu-1", Action: plan.Restart, Steps: []plan.StepKind{plan.StepConfigure}, Changes: []plan.Change{},
		Desired: &inventory.Machine{Guest: inventory.Guest{SSHKeys: []string{}, DNS: []string{}, Search: []string{}}},
		Record:  &inventory.Record{WorkerKey: inventory.WorkerKey{Worker: "gpu-1"}},
	}
	p := &plan.Plan{Pools: []plan.Pool{{Workers: []plan.Worker{w, {Name: "gpu-2", Action: plan.Keep, Steps: []plan.StepKind{}}}}}}
	if same, differences := plan.Same(throughJSON(t, p), p); !same {
		t.Errorf("it decides differently: %v", differences)
	}
}

func TestRemains(t *testing.T) {
	card, other := pci.MustCardRef("pve1/0000:03:00.0"), pci.MustCardRef("pve1/0000:04:00.0")
	ref := func(uuid string) *inventory.VMRef { return &inventory.VMRef{Host: "pve1", ID: "9100", UUID: uuid} }
	worker := func(action plan.Action, vm *inventory.VMRef, steps ...plan.StepKind) *plan.Worker {
		return &plan.Worker{Name: "gpu-1", Action: action, Host: "pve1", Card: card, Ref: vm, Steps: steps}
	}
	moved := func(w *plan.Worker) *plan.Worker { w.Card = other; return w }
	awaited := func(w *plan.Worker) *plan.Worker { w.Awaits = ref(""); return w }
	changing := func(w *plan.Worker, fields ...string) *plan.Worker {
		for _, field := range fields {
			w.Changes = append(w.Changes, plan.Change{Field: field, When: plan.Live})
		}
		return w
	}
	making := []plan.StepKind{plan.StepClaim, plan.StepClone, plan.StepConfigure, plan.StepAttach, plan.StepStart, plan.StepAgent}
	replacing := append([]plan.StepKind{plan.StepUnprotect, plan.StepShutdown, plan.StepDestroy}, making...)
	create := worker(plan.Create, nil, making...)
	for _, tt := range []struct {
		name        string
		before, now *plan.Worker
		want        bool
	}{
		{"nothing was done", create, create, true},
		{"it is made", create, worker(plan.Keep, ref("new")), true},
		{"the VM is incomplete", create, worker(plan.Finish, ref("new"), plan.StepAttach, plan.StepStart, plan.StepAgent), true},
		{"its clone is under way", create, awaited(worker(plan.Wait, nil)), true},
		{"somebody works on it", create, worker(plan.Wait, ref("new")), false},
		{"it is refused now", create, worker(plan.Refuse, nil), false},
		{"it is made with another card", create, moved(worker(plan.Keep, ref("new"))), false},
		{"it goes elsewhere now", create, moved(worker(plan.Create, nil, making...)), false},
		{"the VM that was made would be destroyed", worker(plan.Replace, ref("old"), replacing...), worker(plan.Replace, ref("new"), replacing...), false},
		{"a part of that too", worker(plan.Replace, ref("old"), replacing...), worker(plan.Destroy, ref("new"), plan.StepUnprotect, plan.StepShutdown, plan.StepDestroy), false},
		{"a replace goes on with the new VM", worker(plan.Replace, ref("old"), replacing...), worker(plan.Finish, ref("new"), plan.StepStart, plan.StepAgent), true},
		{"a replace is done", worker(plan.Replace, ref("old"), replacing...), worker(plan.Keep, ref("new")), true},
		{"a deleted worker is gone", worker(plan.Destroy, ref("old"), plan.StepUnprotect, plan.StepDestroy, plan.StepRelease), nil, true},
		{"its card is still to be released", worker(plan.Destroy, ref("old"), plan.StepUnprotect, plan.StepDestroy, plan.StepRelease), worker(plan.Release, nil, plan.StepRelease), true},
		{"a VM that was let go is nobody's", worker(plan.Disown, ref("a"), plan.StepDisown), nil, true},
		{"another VM would be deleted", worker(plan.Destroy, ref("old"), plan.StepUnprotect, plan.StepDestroy), worker(plan.Destroy, ref("new"), plan.StepUnprotect, plan.StepDestroy), false},
		{"a deleted worker is made anew by somebody", worker(plan.Destroy, ref("old"), plan.StepUnprotect, plan.StepDestroy), awaited(worker(plan.Wait, nil)), false},
		{"a changed worker is made anew by somebody", worker(plan.Update, ref("old"), plan.StepConfigure), awaited(worker(plan.Wait, nil)), false},
		{"a worker that was to be made is not in the plan", create, nil, false},
		{"a worker that was left alone is to be made", worker(plan.Keep, ref("a")), create, false},
		{"a worker that was refused is to be made", worker(plan.Refuse, nil), create, false},
		{"a restart has its start left", worker(plan.Restart, ref("a"), plan.StepShutdown, plan.StepConfigure, plan.StepStart), worker(plan.Start, ref("a"), plan.StepStart), true},
		{"a restart of another VM has its start left", worker(plan.Restart, ref("a"), plan.StepShutdown, plan.StepConfigure, plan.StepStart), worker(plan.Start, ref("b"), plan.StepStart), false},
		{"a step more", worker(plan.Update, ref("a"), plan.StepConfigure), worker(plan.Restart, ref("a"), plan.StepShutdown, plan.StepConfigure, plan.StepStart), false},
		{"another step", worker(plan.Update, ref("a"), plan.StepConfigure), worker(plan.Start, ref("a"), plan.StepStart), false},
		{"one change of two is made", changing(worker(plan.Update, ref("a"), plan.StepConfigure), "labels", "memory"), changing(worker(plan.Update, ref("a"), plan.StepConfigure), "memory"), true},
		{"there is another change", changing(worker(plan.Update, ref("a"), plan.StepConfigure), "labels"), changing(worker(plan.Update, ref("a"), plan.StepConfigure), "labels", "memory"), false},
	} {
		planOf := func(w *plan.Worker) *plan.Plan {
			p := &plan.Plan{Pools: []plan.Pool{{Name: "gpu"}}}
			if w != nil {
				p.Pools[0].Workers = []plan.Worker{*w}
			}
			return p
		}
		ok, differences := plan.Remains(planOf(tt.before), planOf(tt.now))
		if ok != tt.want || ok == (len(differences) > 0) {
			t.Errorf("%s: %v, %q", tt.name, ok, differences)
		}
	}
}
