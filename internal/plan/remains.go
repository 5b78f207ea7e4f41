package plan

import (
	"slices"

	"github.com/gpuworker/gpuworker/internal/inventory"
)

// Remains reports whether a plan is what remains to be done of an earlier one for
// the same request and documents: each worker is decided as before, or what was
// decided is done already, wholly or in part. So a plan that was interrupted can be
// applied again. When it is something else it says how, in words for an operator.
func Remains(before, now *Plan) (bool, []string) {
	was, is := byKey(before), byKey(now)
	goesOn := map[decisionKey]bool{}
	for key, w := range was {
		goesOn[key] = isRest(w, is[key])
	}
	return Same(leave(before, goesOn), leave(now, goesOn))
}

// isRest reports whether what is decided for a worker now is a part of what was
// decided before: nothing that is new, and nothing for another VM. now is nil when
// the worker is not in the plan any more.
func isRest(before, now *Worker) bool {
	switch {
	case now == nil:
		return before.Action == Destroy || before.Action == Release || before.Action == Disown
	case len(before.Steps) == 0:
		return false
	case now.Awaits != nil: // a clone that an earlier run began, when there was one to be made
		return now.Action == Wait && slices.Contains(before.Steps, StepClone)
	case before.Host != now.Host || before.Card != now.Card:
		return false
	case now.Action == Keep:
		return true
	case len(now.Steps) < len(before.Steps):
		return len(now.Steps) > 0 && within(now.Steps, before.Steps) && meansVMOf(before, now)
	}
	return onlyFewerChanges(before, now)
}

// onlyFewerChanges reports whether two decisions are the same, but for changes that
// are made already.
func onlyFewerChanges(before, now *Worker) bool {
	alone := func(w *Worker) decision {
		d := decisions(&Plan{Pools: []Pool{{Workers: []Worker{*w}}}})[0]
		d.wants = nil
		return d
	}
	done := func(c Change) bool { return !slices.Contains(before.Changes, c) }
	return alone(before).same(alone(now)) && !slices.ContainsFunc(now.Changes, done)
}

// within reports whether the steps are some of others, in their order.
func within(steps, others []StepKind) bool {
	for _, other := range others {
		if len(steps) > 0 && steps[0] == other {
			steps = steps[1:]
		}
	}
	return len(steps) == 0
}

// meansVMOf reports whether a worker's steps are about the VM that they were about
// before, about none, or about the one that these made and do not end.
func meansVMOf(before, now *Worker) bool {
	if now.Ref == nil || uuidOf(now.Ref) == uuidOf(before.Ref) {
		return true
	}
	ends := slices.Contains(now.Steps, StepUnprotect) || slices.Contains(now.Steps, StepDestroy)
	return slices.Contains(before.Steps, StepClone) && !ends
}

func uuidOf(ref *inventory.VMRef) string {
	if ref == nil {
		return ""
	}
	return ref.UUID
}

// byKey are the workers of a plan by what tells them apart.
func byKey(p *Plan) map[decisionKey]*Worker {
	all := map[decisionKey]*Worker{}
	for i := range p.Pools {
		pool := &p.Pools[i]
		nth := map[string]int{}
		for j := range pool.Workers {
			w := &pool.Workers[j]
			all[decisionKey{pool.Name, pool.KubeCluster, w.Name, nth[w.Name]}] = w
			nth[w.Name]++
		}
	}
	return all
}

// leave is a copy of a plan without some workers.
func leave(p *Plan, out map[decisionKey]bool) *Plan {
	rest := *p
	rest.Pools = slices.Clone(p.Pools)
	for i := range rest.Pools {
		pool := &rest.Pools[i]
		nth := map[string]int{}
		pool.Workers = slices.DeleteFunc(slices.Clone(pool.Workers), func(w Worker) bool {
			key := decisionKey{pool.Name, pool.KubeCluster, w.Name, nth[w.Name]}
			nth[w.Name]++
			return out[key]
		})
	}
	return &rest
}
