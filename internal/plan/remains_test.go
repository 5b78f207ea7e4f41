package plan

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// throughJSON is the plan as another process reads it.
func throughJSON(t interface{ Fatal(...any) }, p *Plan) *Plan {
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var read Plan
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	return &read
}

func TestAPlanThatWasReadDecidesTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := Make(anyInput(t))
		if err != nil {
			return
		}
		read := throughJSON(t, p)
		if same, differences := Same(read, p); !same {
			t.Fatalf("it decides differently: %v", differences)
		}
		if same, differences := Remains(read, p); !same {
			t.Fatalf("it is not what remains: %v", differences)
		}
	})
}

// An empty list and none are one thing, as in JSON.
func TestAPlanWithEmptyListsDecidesTheSameAfterReading(t *testing.T) {
	w := Worker{
		Name: "gpu-1", Action: Restart, Steps: []StepKind{StepConfigure}, Changes: []Change{},
		Desired: &inventory.Machine{Guest: inventory.Guest{SSHKeys: []string{}, DNS: []string{}, Search: []string{}}},
		Record:  &inventory.Record{WorkerKey: inventory.WorkerKey{Worker: "gpu-1"}},
	}
	p := &Plan{Pools: []Pool{{Workers: []Worker{w, {Name: "gpu-2", Action: Keep, Steps: []StepKind{}}}}}}
	if same, differences := Same(throughJSON(t, p), p); !same {
		t.Errorf("it decides differently: %v", differences)
	}
}

func TestWhatRemainsOfAPlan(t *testing.T) {
	card, other := pci.MustCardRef("pve1/0000:03:00.0"), pci.MustCardRef("pve1/0000:04:00.0")
	ref := func(uuid string) *inventory.VMRef { return &inventory.VMRef{Host: "pve1", ID: "9100", UUID: uuid} }
	worker := func(action Action, vm *inventory.VMRef, steps ...StepKind) *Worker {
		return &Worker{Name: "gpu-1", Action: action, Host: "pve1", Card: card, Ref: vm, Steps: steps}
	}
	moved := func(w *Worker) *Worker { w.Card = other; return w }
	awaited := func(w *Worker) *Worker { w.Awaits = ref(""); return w }
	changing := func(w *Worker, fields ...string) *Worker {
		for _, field := range fields {
			w.Changes = append(w.Changes, Change{Field: field, When: Live})
		}
		return w
	}
	making := []StepKind{StepClaim, StepClone, StepConfigure, StepAttach, StepStart, StepAgent}
	replacing := append([]StepKind{StepUnprotect, StepShutdown, StepDestroy}, making...)
	create := worker(Create, nil, making...)
	for _, tt := range []struct {
		name        string
		before, now *Worker
		want        bool
	}{
		{"nothing was done", create, create, true},
		{"it is made", create, worker(Keep, ref("new")), true},
		{"the VM is incomplete", create, worker(Finish, ref("new"), StepAttach, StepStart, StepAgent), true},
		{"its clone is under way", create, awaited(worker(Wait, nil)), true},
		{"somebody works on it", create, worker(Wait, ref("new")), false},
		{"it is refused now", create, worker(Refuse, nil), false},
		{"it is made with another card", create, moved(worker(Keep, ref("new"))), false},
		{"it goes elsewhere now", create, moved(worker(Create, nil, making...)), false},
		{"the VM that was made would be destroyed", worker(Replace, ref("old"), replacing...), worker(Replace, ref("new"), replacing...), false},
		{"a part of that too", worker(Replace, ref("old"), replacing...), worker(Destroy, ref("new"), StepUnprotect, StepShutdown, StepDestroy), false},
		{"a replace goes on with the new VM", worker(Replace, ref("old"), replacing...), worker(Finish, ref("new"), StepStart, StepAgent), true},
		{"a replace is done", worker(Replace, ref("old"), replacing...), worker(Keep, ref("new")), true},
		{"a deleted worker is gone", worker(Destroy, ref("old"), StepUnprotect, StepDestroy, StepRelease), nil, true},
		{"its card is still to be released", worker(Destroy, ref("old"), StepUnprotect, StepDestroy, StepRelease), worker(Release, nil, StepRelease), true},
		{"a VM that was let go is nobody's", worker(Disown, ref("a"), StepDisown), nil, true},
		{"another VM would be deleted", worker(Destroy, ref("old"), StepUnprotect, StepDestroy), worker(Destroy, ref("new"), StepUnprotect, StepDestroy), false},
		{"a deleted worker is made anew by somebody", worker(Destroy, ref("old"), StepUnprotect, StepDestroy), awaited(worker(Wait, nil)), false},
		{"a changed worker is made anew by somebody", worker(Update, ref("old"), StepConfigure), awaited(worker(Wait, nil)), false},
		{"a worker that was to be made is not in the plan", create, nil, false},
		{"a worker that was left alone is to be made", worker(Keep, ref("a")), create, false},
		{"a worker that was refused is to be made", worker(Refuse, nil), create, false},
		{"a restart has its start left", worker(Restart, ref("a"), StepShutdown, StepConfigure, StepStart), worker(Start, ref("a"), StepStart), true},
		{"a restart of another VM has its start left", worker(Restart, ref("a"), StepShutdown, StepConfigure, StepStart), worker(Start, ref("b"), StepStart), false},
		{"a step more", worker(Update, ref("a"), StepConfigure), worker(Restart, ref("a"), StepShutdown, StepConfigure, StepStart), false},
		{"another step", worker(Update, ref("a"), StepConfigure), worker(Start, ref("a"), StepStart), false},
		{"one change of two is made", changing(worker(Update, ref("a"), StepConfigure), "labels", "memory"), changing(worker(Update, ref("a"), StepConfigure), "memory"), true},
		{"there is another change", changing(worker(Update, ref("a"), StepConfigure), "labels"), changing(worker(Update, ref("a"), StepConfigure), "labels", "memory"), false},
	} {
		planOf := func(w *Worker) *Plan {
			p := &Plan{Pools: []Pool{{Name: "gpu"}}}
			if w != nil {
				p.Pools[0].Workers = []Worker{*w}
			}
			return p
		}
		ok, differences := Remains(planOf(tt.before), planOf(tt.now))
		if ok != tt.want || ok == (len(differences) > 0) {
			t.Errorf("%s: %v, %q", tt.name, ok, differences)
		}
	}
}
