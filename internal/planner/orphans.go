package planner

import (
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// BuildOrphans plans for everything of ours that no document declares: VMs are held
// for a person to delete, claims without a VM are released.
func BuildOrphans(in Input) *plan.Plan {
	b := newBuilder(in)
	for _, pool := range b.documents.pools {
		b.draftPool(pool)
	}
	return b.orphans()
}

// Overview is Build and BuildOrphans in one, for reports: the plans have no
// fingerprint of the world, so they cannot be applied.
func Overview(in Input) (declared, orphans *plan.Plan) {
	b := newBuilder(in)
	b.noFingerprint = true
	declared = b.build()
	return declared, b.orphans()
}

// orphans plans for the members that are not declared workers among the drafts.
func (b *builder) orphans() *plan.Plan {
	declared := b.declared()
	rest := *b // the same world and findings, but other drafts
	rest.pools, rest.poolAt = nil, map[poolKey]*poolDraft{}
	for _, m := range b.survey.order {
		d := &draft{Worker: &plan.Worker{Name: m.Worker, Undeclared: true}, number: m.number, member: m}
		switch {
		case b.documents.reportedByAlias(m.record()):
			continue
		case declared[m]:
		case m.vm != nil:
			rest.fill(d)
			d.Action, d.Reason, d.Hint = plan.Hold, "no document declares it", rest.endHint(m)
			rest.add(d)
		default:
			rest.fill(d)
			rest.release(d)
			rest.add(d)
		}
		rest.orphanClaims(m, m.extraClaims)
	}
	for i := range b.world.Claims {
		if claim := &b.world.Claims[i]; claim.Releasing && claim.Problem == "" { // an earlier run was interrupted
			rest.orphanClaims(b.survey.members[claim.Record.WorkerKey], []*inventory.Claim{claim})
		}
	}
	return rest.plan()
}

// orphanClaims releases claims that their worker does not use, except on cards that
// its VM holds. m is nil when the worker has nothing else.
func (b *builder) orphanClaims(m *member, claims []*inventory.Claim) {
	for _, claim := range claims {
		d := &draft{Worker: &plan.Worker{Name: claim.Record.Worker, Undeclared: true}, member: claimOnly(claim)}
		if m != nil && m.vm != nil && m.vm.Holds(claim.Card) {
			continue
		}
		b.fill(d)
		b.release(d)
		b.add(d)
	}
}

// declared are the members that a document declares.
func (b *builder) declared() map[*member]bool {
	declared := map[*member]bool{}
	for d := range b.all() {
		if d.member != nil && !d.Undeclared {
			declared[d.member] = true
		}
	}
	return declared
}
