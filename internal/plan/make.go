package plan

import "slices"

// Make makes the plan for the request of the input.
func Make(in Input) (*Plan, error) {
	names := in.Request.Workers
	if err := in.Request.Check(); err != nil {
		return nil, err
	}
	switch in.Request.Verb {
	case ApplyDocuments:
		return Build(in), nil
	case ReplaceWorkers:
		return BuildReplace(in)
	case DeleteWorkers:
		return BuildDelete(in, names)
	case ParkWorkers:
		return BuildPark(in, names)
	case UnparkWorkers:
		return BuildUnpark(in, names)
	case DisownWorkers:
		return BuildDisown(in, names)
	case AdoptVM:
		return BuildAdopt(in, in.Request.VM, names[0])
	case ReleaseOrphans:
	}
	return BuildOrphans(in), nil
}

// places are those of the named workers in the list; the first when one is there twice.
func places(r Request) map[string]int {
	at := make(map[string]int, len(r.Workers))
	for i, worker := range slices.Backward(r.Workers) {
		at[worker] = i
	}
	return at
}
