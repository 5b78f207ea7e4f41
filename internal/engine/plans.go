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

// Plans is what would be done for a request, on all hypervisors of the documents.
// It is data: it can be written as JSON, read by another process and applied
// there.
type Plans struct {
	Request   plan.Request  `json:"request"`
	Documents document.List `json:"documents"`
	// Fingerprint is that of the request and the documents: it shows when one of them
	// was changed after the plans were made.
	Fingerprint string `json:"fingerprint"`
	// Plans has one plan for each hypervisor that the request concerns and that
	// could be seen.
	Plans []*plan.Plan `json:"plans"`
	// Unseen are the other hypervisors that it may concern.
	Unseen []Unseen `json:"unseen,omitempty"`
	// Unknown are the names in the request that are of no worker that could be seen,
	// while a hypervisor that may have it could not.
	Unknown []string `json:"unknown,omitempty"`
}

// Plan says what would be done for a request. It changes nothing.
func (e *Engine) Plan(ctx context.Context, documents *v1alpha1.Documents, request plan.Request) (Plans, error) {
	if request.Verb == plan.ReplaceWorkers {
		request.Now = time.Now().UTC().Format(time.RFC3339)
	}
	how := extentOf(request)
	plans, err := e.planWithin(ctx, documents, request, how)
	if err == nil && how.only != nil && !plans.foundAll() {
		return e.planWithin(ctx, documents, request, whole) // the whole world tells why
	}
	return plans, err
}

// planWithin is Plan with a look of that extent.
func (e *Engine) planWithin(ctx context.Context, documents *v1alpha1.Documents, request plan.Request, how extent) (Plans, error) {
	plans, err := Plans{Request: request, Documents: document.List{Documents: documents}}.Sealed()
	if err != nil {
		return plans, err
	}
	seen, err := e.look(ctx, documents, request, how)
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

// foundAll reports whether each named worker was found, with a VM that is proven
// to be it, so that a wider look would not show another one.
func (p *Plans) foundAll() bool {
	found := map[string]bool{}
	for _, one := range p.Plans {
		for w := range one.Workers() {
			found[w.Name] = found[w.Name] || w.Ref != nil && w.Action != plan.Refuse
		}
	}
	return !slices.ContainsFunc(p.Request.Workers, func(name string) bool { return !found[name] })
}

// allOrNothing leaves nothing to be done on any hypervisor when something cannot be
// done on another.
func (p *Plans) allOrNothing() {
	why := ""
	for _, one := range p.Plans {
		if one.Blocked != "" {
			why = "a worker on hypervisor " + one.Hypervisor + " is refused"
		}
	}
	if len(p.Unseen) > 0 {
		why = "hypervisor " + p.Unseen[0].Hypervisor + " could not be looked at"
	}
	for _, one := range p.Plans {
		if why != "" && one.Blocked == "" {
			one.Block(why + ", and all or nothing was asked for")
		}
	}
}

// concerned are the hypervisors that a request can be about: a VM is adopted where
// the worker's pool is declared.
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
		return all // each of them says that it has no such pool
	}
	return some
}

// settleNames leaves the plans that the named workers are in, each worker on the
// hypervisor that knows it. What is to be said of a name that none knows is in the
// first plan; a name is not there only when every hypervisor that may have it was
// seen.
func (p *Plans) settleNames() error {
	if err := oneOfEachName(p.Plans); err != nil {
		return err
	}
	absent := p.Plans[0].Absent
	for _, other := range p.Plans[1:] {
		nowhere := map[string]bool{} // on the other one
		for _, a := range other.Absent {
			nowhere[a.Name] = true
		}
		absent = slices.DeleteFunc(absent, func(a plan.Absent) bool { return !nowhere[a.Name] })
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

// MayBeUnseen reports whether a name that was not found may be that of a worker on
// a hypervisor that could not be looked at. It is not when the name is that of a
// worker of a pool on another one, which then is meant.
func MayBeUnseen(documents *v1alpha1.Documents, unseen []Unseen, name string) bool {
	onOther := slices.ContainsFunc(documents.Pools(), func(pool *v1alpha1.WorkerPool) bool {
		there := slices.ContainsFunc(unseen, func(u Unseen) bool { return u.Hypervisor == pool.Spec.Hypervisor })
		return !there && planner.IsWorkerOf(pool, name)
	})
	return len(unseen) > 0 && !onOther
}

// oneOfEachName is the error for a name of which several hypervisors have a
// worker, so that nobody knows which one a person means.
func oneOfEachName(plans []*plan.Plan) error {
	where := map[string]string{}
	for _, p := range plans {
		for w := range p.Workers() {
			first, known := where[w.Name]
			if known && first != p.Hypervisor {
				return &fault.Error{
					Kind: fault.Invalid, Where: fault.Place{Worker: w.Name},
					Why: fmt.Sprintf("hypervisors %s and %s have a worker of this name each, and no pool of the documents says which one is meant", first, p.Hypervisor),
					Fix: "give documents that have the Hypervisor of the one that is meant, and not the other",
				}
			}
			where[w.Name] = p.Hypervisor
		}
	}
	return nil
}
