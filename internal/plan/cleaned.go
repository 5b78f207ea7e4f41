package plan

import (
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/term"
)

// cleaned is a copy of a plan without control characters in names and messages, which
// come from hypervisors and files. Workers that share a list of refusals still share
// it: there may be thousands of them.
func cleaned(p *Plan) *Plan {
	head := *p
	head.Pools = nil
	clean := term.CleanAll(&head)
	reasons := map[*finding.Finding][]finding.Finding{} // by the first of them
	for _, pool := range p.Pools {
		workers := pool.Workers
		pool.Workers = nil
		pool = term.CleanAll(pool)
		for i := range workers {
			pool.Workers = append(pool.Workers, cleanWorker(workers[i], reasons))
		}
		clean.Pools = append(clean.Pools, pool)
	}
	return clean
}

func cleanWorker(w Worker, reasons map[*finding.Finding][]finding.Finding) Worker {
	refusals := w.Refusals
	w.Refusals = nil
	w = term.CleanAll(w)
	if len(refusals) > 0 {
		if reasons[&refusals[0]] == nil {
			reasons[&refusals[0]] = term.CleanAll(refusals)
		}
		w.Refusals = reasons[&refusals[0]]
	}
	return w
}
