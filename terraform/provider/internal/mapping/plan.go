package mapping

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
)

// ModifyPlan implements resource.ResourceWithModifyPlan: a mapping that cannot be made is
// refused, and a stale one is corrected.
func (r *Resource) ModifyPlan(ctx context.Context, request resource.ModifyPlanRequest, response *resource.ModifyPlanResponse) {
	to := &response.Diagnostics
	if request.Plan.Raw.IsNull() {
		return
	}
	var planned model
	var was *model
	to.Append(request.Plan.Get(ctx, &planned)...)
	if !request.State.Raw.IsNull() {
		was = &model{}
		to.Append(request.State.Get(ctx, was)...)
	}
	if to.HasError() {
		return
	}
	r.plan(ctx, &planned, was, to)
	to.Append(response.Plan.Set(ctx, planned)...)
}

// plan plans the mapping; was is nil when there is none in the state.
func (r *Resource) plan(ctx context.Context, planned, was *model, to *diag.Diagnostics) {
	planned.Stale, planned.Entry = types.StringNull(), types.StringUnknown()
	if was != nil && was.Stale.IsNull() && sameCard(planned.Card, was.Card) {
		planned.Entry = was.Entry
	}
	card, err := pci.ParseCardRef(planned.Card.ValueString())
	if err != nil || r.shared == nil {
		return // the card is not known yet
	}
	if r.shared.PlanMapping(card, was == nil) {
		to.AddAttributeError(path.Root("card"), "Two resources have the same card", diags.Detail("card "+card.String()+" is in two resources, and a card has one mapping",
			"give each its own card, or remove one of them: removed { lifecycle { destroy = false } } keeps the mapping"))
		return
	}
	switch {
	case was == nil:
		r.mayMake(ctx, card, to)
	case !was.Stale.IsNull() && sameCard(planned.Card, was.Card):
		if !r.mayCorrect(ctx, card, planned.Card.Equal(was.Card), to) {
			planned.Stale, planned.Entry = was.Stale, was.Entry // it stays as it is
		}
	}
}

// mayMake refuses a mapping that cannot be made, and warns when that is not known.
func (r *Resource) mayMake(ctx context.Context, card pci.CardRef, to *diag.Diagnostics) {
	refusal, unknown := r.check(ctx, card)
	if refusal != "" {
		to.AddAttributeError(path.Root("card"), "The mapping cannot be made", refusal)
	}
	if unknown != "" {
		to.AddAttributeWarning(path.Root("card"), "It is not known whether the mapping can be made", unknown)
	}
}

// mayCorrect reports whether a stale mapping can be corrected now. Otherwise that is a
// warning when the configuration is unchanged: it does not stop the plan of other
// resources.
func (r *Resource) mayCorrect(ctx context.Context, card pci.CardRef, unchanged bool, to *diag.Diagnostics) bool {
	refusal, unknown := r.check(ctx, card)
	add := to.AddAttributeError
	if unchanged {
		add = to.AddAttributeWarning
	}
	for _, text := range []string{refusal, unknown} {
		if text != "" {
			add(path.Root("card"), "The mapping is stale and cannot be corrected now", text)
		}
	}
	return refusal == "" && unknown == ""
}

// check says why the mapping of a card cannot be made, and what is not known.
func (r *Resource) check(ctx context.Context, card pci.CardRef) (refusal, unknown string) {
	s, _ := r.shared.Session()
	if s == nil {
		return "", "" // nothing can be observed yet
	}
	findings, err := s.CheckRegister(ctx, card)
	var failed, others []finding.Finding
	for _, f := range findings {
		if f.Verdict == finding.Fail {
			failed = append(failed, f)
		} else {
			others = append(others, f)
		}
	}
	refusal = diags.Findings(failed)
	if err != nil {
		refusal += diags.Detail(err.Error(), fault.FixOf(err))
	}
	return refusal, diags.Findings(others)
}

// isAnotherCard reports whether a change of card is more than another spelling.
func isAnotherCard(_ context.Context, request planmodifier.StringRequest, response *stringplanmodifier.RequiresReplaceIfFuncResponse) {
	response.RequiresReplace = !sameCard(request.PlanValue, request.StateValue)
}

// sameCard reports whether two texts are the same card: 0000:03:00.0, 03:00.
func sameCard(one, other types.String) bool {
	card, err := pci.ParseCardRef(one.ValueString())
	was, wasErr := pci.ParseCardRef(other.ValueString())
	return err == nil && wasErr == nil && card == was
}
