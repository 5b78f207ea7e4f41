package plan

import (
	"slices"

	"github.com/gpuworker/gpuworker/internal/inventory"
)

// Remains reports whether a plan is the remaining part of an earlier one for the same
// request and documents: for each worker the decision is the same, or it is already
// carried out, wholly or in part. So an interrupted plan can be applied again. If not,
// it returns the differences, in words for an operator.
func Remains(before, now *Plan) (bool, []string) {
	was, is := byKey(before), byKey(now)
	remaining := map[decisionKey]bool{}
	for key, w := range was {
		remaining[key] = isRemainder(w, is[key])
	}
	return Same(without(before, remaining), without(now, remaining))
}

// isRemainder reports whether the decision for a worker now is a part of the decision
// before: no new work, and no work on another VM. now is nil when the worker is not in
// the plan any more.
func isRemainder(before, now *Worker) bool {
	switch {
	case now == nil:
		return before.Action == Destroy || before.Action == Release || before.Action == Disown
	case len(before.Steps) == 0:
		return false
	case now.Awaits != nil: // a clone that an earlier run began, if it had to make one
		return now.Action == Wait && slices.Contains(before.Steps, StepClone)
	case before.Host != now.Host || before.Card != now.Card:
		return false
	case now.Action == Keep:
		return true
	case len(now.Steps) < len(before.Steps):
		return len(now.Steps) > 0 && within(now.Steps, before.Steps) && onSameVM(before, now)
	}
	return onlyFewerChanges(before, now)
}

// onlyFewerChanges reports whether two decisions are the same, except for changes that
// are already made.
func onlyFewerChanges(before, now *Worker) bool {
	withoutChanges := func(w *Worker) decision {
		d := decisions(&Plan{Pools: []Pool{{Workers: []Worker{*w}}}})[0]
		d.changes = nil
		return d
	}
	isNew := func(c Change) bool { return !slices.Contains(before.Changes, c) }
	return withoutChanges(before).same(withoutChanges(now)) && !slices.ContainsFunc(now.Changes, isNew)
}

// within reports whether the steps are a part of others, in the same order.
func within(steps, others []StepKind) bool {
	for _, other := range others {
		if len(steps) > 0 && steps[0] == other {
			steps = steps[1:]
		}
	}
	return len(steps) == 0
}

// onSameVM reports whether a worker's steps now are about the same VM as before, about
// no existing VM, or about a new VM that the steps before made and that the steps now
// do not destroy.
func onSameVM(before, now *Worker) bool {
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

// byKey are the workers of a plan by their keys.
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

// without is a copy of a plan without some workers.
func without(p *Plan, removed map[decisionKey]bool) *Plan {
	rest := *p
	rest.Pools = slices.Clone(p.Pools)
	for i := range rest.Pools {
		pool := &rest.Pools[i]
		nth := map[string]int{}
		pool.Workers = slices.DeleteFunc(slices.Clone(pool.Workers), func(w Worker) bool {
			key := decisionKey{pool.Name, pool.KubeCluster, w.Name, nth[w.Name]}
			nth[w.Name]++
			return removed[key]
		})
	}
	return &rest
}
