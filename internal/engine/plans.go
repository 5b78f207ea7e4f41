package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/planner"
)

// Plans are the plans for a request on all hypervisors of the documents. They are
// data: they can be written as JSON, and read and applied by another process.
type Plans struct {
	Request   plan.Request  `json:"request"`
	Documents document.List `json:"documents"`
	// Checksum is a hash of request and documents. It shows whether one of them was
	// edited after the plans were made.
	Checksum string `json:"checksum"`
	// Plans has one plan for each hypervisor that the request concerns and that
	// could be observed.
	Plans []*plan.Plan `json:"plans"`
	// Unseen are the hypervisors that could not be observed.
	Unseen []Unseen `json:"unseen,omitempty"`
	// Unknown are the names in the request that were not found, but may be workers
	// on a hypervisor that could not be observed.
	Unknown []string `json:"unknown,omitempty"`
}

// Plan makes the plans for a request. It changes nothing.
func (e *Engine) Plan(ctx context.Context, documents *v1alpha1.Documents, request plan.Request) (Plans, error) {
	if request.Verb == plan.ReplaceWorkers {
		request.Now = time.Now().UTC().Format(time.RFC3339)
	}
	within := extentOf(request)
	plans, err := e.planWithin(ctx, documents, request, within)
	if err == nil && within.part != nil && !plans.foundAll() {
		return e.planWithin(ctx, documents, request, whole) // the whole world shows why
	}
	return plans, err
}

// planWithin makes the plans from an observation of this extent.
func (e *Engine) planWithin(ctx context.Context, documents *v1alpha1.Documents, request plan.Request, within extent) (Plans, error) {
	plans, err := Plans{Request: request, Documents: document.List{Documents: documents}}.Sealed()
	if err != nil {
		return plans, err
	}
	seen, err := e.look(ctx, documents, request, within)
	if err != nil {
		return plans, err
	}
	plans.Unseen = seen.unseen
	for _, in := range seen.inputs {
		p, err := planner.Make(in)
		if err != nil {
			return plans, err
		}
		plans.Plans = append(plans.Plans, p)
	}
	if request.ByName() {
		err = plans.settleNames()
	}
	if request.Verb == plan.ApplyDocuments && request.AllOrNothing {
		plans.allOrNothing()
	}
	return plans, err
}

// foundAll reports whether each named worker was found with a verified VM. Then
// observing more would not find another one.
func (p *Plans) foundAll() bool {
	found := map[string]bool{}
	for _, one := range p.Plans {
		for w := range one.Workers() {
			found[w.Name] = found[w.Name] || w.Ref != nil && w.Action != plan.Refuse
		}
	}
	return !slices.ContainsFunc(p.Request.Workers, func(name string) bool { return !found[name] })
}

// allOrNothing blocks all plans when a worker is refused on any hypervisor, or when a
// hypervisor could not be observed.
func (p *Plans) allOrNothing() {
	why := ""
	for _, one := range p.Plans {
		if one.Blocked != "" {
			why = "a worker on hypervisor " + one.Hypervisor + " is refused"
		}
	}
	if len(p.Unseen) > 0 {
		why = "hypervisor " + p.Unseen[0].Hypervisor + " could not be observed"
	}
	for _, one := range p.Plans {
		if why != "" && one.Blocked == "" {
			one.Block(why + ", and all or nothing was asked for")
		}
	}
}

// concerned are the hypervisors that a request may concern: all, but for adopt only
// those for which the worker's pool is declared.
func concerned(documents *v1alpha1.Documents, request plan.Request) []*v1alpha1.Hypervisor {
	var all, some []*v1alpha1.Hypervisor
	for i := range documents.Hypervisors {
		h := &documents.Hypervisors[i]
		all = append(all, h)
		for _, pool := range documents.PoolsOn(h.Name) {
			if request.Verb == plan.AdoptVM && len(request.Workers) == 1 && planner.IsWorkerOf(pool, request.Workers[0]) {
				some = append(some, h)
				break
			}
		}
	}
	if len(some) == 0 {
		return all // each plan will say that there is no such pool
	}
	return some
}

// settleNames keeps only the plans that have named workers. A name is absent when no
// hypervisor has it; absent names go to the first plan. When a hypervisor that may
// have the name could not be observed, the name is unknown instead.
func (p *Plans) settleNames() error {
	if err := oneOfEachName(p.Plans); err != nil {
		return err
	}
	absent := p.Plans[0].Absent
	for _, other := range p.Plans[1:] {
		alsoAbsent := map[string]bool{} // on the other hypervisor
		for _, a := range other.Absent {
			alsoAbsent[a.Name] = true
		}
		absent = slices.DeleteFunc(absent, func(a plan.Absent) bool { return !alsoAbsent[a.Name] })
		other.Absent = nil
	}
	p.Plans[0].Absent = nil
	if len(p.Unseen) > 0 {
		absent = slices.DeleteFunc(slices.Clone(absent), func(a plan.Absent) bool {
			unknown := MayBeUnseen(p.Documents.Documents, p.Unseen, a.Name)
			if unknown {
				p.Unknown = append(p.Unknown, a.Name)
			}
			return unknown
		})
	}
	some := slices.DeleteFunc(slices.Clone(p.Plans), func(one *plan.Plan) bool { return len(one.Pools) == 0 })
	if len(some) == 0 {
		some = p.Plans[:1]
	}
	some[0].Absent = absent
	p.Plans = some
	return nil
}

// MayBeUnseen reports whether a name that was not found may be that of a worker on a
// hypervisor that could not be observed. It cannot be when a pool on another
// hypervisor declares a worker of this name.
func MayBeUnseen(documents *v1alpha1.Documents, unseen []Unseen, name string) bool {
	onOther := slices.ContainsFunc(documents.Pools(), func(pool *v1alpha1.WorkerPool) bool {
		there := slices.ContainsFunc(unseen, func(u Unseen) bool { return u.Hypervisor == pool.Spec.Hypervisor })
		return !there && planner.IsWorkerOf(pool, name)
	})
	return len(unseen) > 0 && !onOther
}

// oneOfEachName returns an error when several hypervisors have a worker of the same
// name, so that the name is ambiguous.
func oneOfEachName(plans []*plan.Plan) error {
	where := map[string]string{}
	for _, p := range plans {
		for w := range p.Workers() {
			first, known := where[w.Name]
			if known && first != p.Hypervisor {
				return &fault.Error{
					Kind: fault.Invalid, Where: fault.Place{Worker: w.Name},
					Why: fmt.Sprintf("hypervisors %s and %s both have a worker of this name, and no pool of the documents declares it", first, p.Hypervisor),
					Fix: "use documents that have only the Hypervisor of the worker that you mean",
				}
			}
			where[w.Name] = p.Hypervisor
		}
	}
	return nil
}
