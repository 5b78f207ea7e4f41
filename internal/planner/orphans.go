package planner

import (
	"fmt"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
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
	p := rest.plan()
	p.Findings = append(p.Findings, b.orphanSeeds()...)
	return p
}

// orphanSeeds are the images of seeds that belong to no VM. The record of a VM, or of a
// claim, has the UUID that a clone will have.
func (b *builder) orphanSeeds() []finding.Finding {
	known := map[string]bool{}
	hidden := ""
	for i := range b.world.VMs {
		vm := &b.world.VMs[i]
		known[vm.UUID] = true
		if vm.Record != nil {
			known[vm.Record.UUID] = true
		}
		if vm.Unreadable != "" {
			hidden = fmt.Sprintf("; it may be that of VM %s, which cannot be read", vm.ID)
		}
	}
	for i := range b.world.Claims {
		known[b.world.Claims[i].Record.UUID] = true
	}
	var findings []finding.Finding
	for _, image := range b.world.Seeds {
		if known[image.UUID] {
			continue
		}
		findings = append(findings, finding.New(finding.SeedLeft, finding.Info, fault.Place{Hypervisor: b.world.Hypervisor, Host: image.Host}).
			WithReason(fmt.Sprintf("%s is the image of a seed, and no VM has its UUID%s", image.Volume, hidden)).
			WithFix(b.world.Advise(inventory.RemoveImage, inventory.Subject{Host: image.Host, Key: image.Volume})))
	}
	return findings
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
