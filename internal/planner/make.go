package planner

import (
	"slices"

	"github.com/gpuworker/gpuworker/internal/plan"
)

// Make makes the plan for the request of the input.
func Make(in Input) (*plan.Plan, error) {
	names := in.Request.Workers
	if err := in.Request.Check(); err != nil {
		return nil, err
	}
	switch in.Request.Verb {
	case plan.ApplyDocuments:
		return Build(in), nil
	case plan.ReplaceWorkers:
		return BuildReplace(in)
	case plan.DeleteWorkers:
		return BuildDelete(in, names)
	case plan.ParkWorkers:
		return BuildPark(in, names)
	case plan.UnparkWorkers:
		return BuildUnpark(in, names)
	case plan.AcceptGPU:
		return BuildAccept(in, names)
	case plan.DisownWorkers:
		return BuildDisown(in, names)
	case plan.AdoptVM:
		return BuildAdopt(in, in.Request.VM, names[0])
	case plan.ReleaseOrphans:
	}
	return BuildOrphans(in), nil
}

// workerIndex is the first index of each worker in the request.
func workerIndex(r plan.Request) map[string]int {
	index := make(map[string]int, len(r.Workers))
	for i, worker := range slices.Backward(r.Workers) {
		index[worker] = i
	}
	return index
}
