package data

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/term"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
)

// check is the data source gpuworker_check.
type check struct{ source }

type checkModel struct {
	FailOnProblems types.Bool     `tfsdk:"fail_on_problems"`
	Passed         types.Bool     `tfsdk:"passed"`
	Failed         types.Int64    `tfsdk:"failed"`
	Unknown        types.Int64    `tfsdk:"unknown"`
	Findings       []findingModel `tfsdk:"findings"`
}

type findingModel struct {
	ID      types.String `tfsdk:"id"`
	Verdict types.String `tfsdk:"verdict"`
	Layer   types.String `tfsdk:"layer"`
	Where   types.String `tfsdk:"where"`
	Reason  types.String `tfsdk:"reason"`
	Fix     types.String `tfsdk:"fix"`
}

// Metadata implements datasource.DataSource.
func (*check) Metadata(_ context.Context, _ datasource.MetadataRequest, response *datasource.MetadataResponse) {
	response.TypeName = "gpuworker_check"
}

// Schema implements datasource.DataSource.
func (*check) Schema(_ context.Context, _ datasource.SchemaRequest, response *datasource.SchemaResponse) {
	response.Schema = schema.Schema{
		MarkdownDescription: "The state of the hypervisor, layer by layer, as `gpuworker check` shows it for a file with a Hypervisor only: API, access, hosts, " +
			"capacity, VMs. What a single worker needs is checked when the worker is planned.",
		Attributes: map[string]schema.Attribute{
			"fail_on_problems": schema.BoolAttribute{Optional: true, MarkdownDescription: "Make the plan fail if a check fails. Unknown does not make it fail."},
			"passed":           boolOf("Whether every check passed: none failed, and none is unknown."),
			"failed":           numberOf("Number of checks that failed."),
			"unknown":          numberOf("Number of checks that could not be made. Unknown is not a pass."),
			"findings": listOf("The results of all checks, ordered by layer. An output with them changes often, because some have amounts, such as used memory.", map[string]schema.Attribute{
				"id":      textOf("Name of the check, `HOST-IOMMU-OFF`: `gpuworker explain` explains it."),
				"verdict": textOf("`pass`, `fail`, `unknown` (could not be checked) or `info` (only a note)."),
				"layer":   textOf("Part of the system: `api`, `access`, `host` and so on."),
				"where":   textOf("What was checked."),
				"reason":  textOf("Why this is the verdict."),
				"fix":     textOf("What to do about it; null when there is nothing to do."),
			}),
		},
	}
}

// Read implements datasource.DataSource.
func (c *check) Read(ctx context.Context, request datasource.ReadRequest, response *datasource.ReadResponse) {
	var m checkModel
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	seen, ok := c.observe(ctx, &response.Diagnostics, (*engine.Session).Check)
	if !ok {
		return
	}
	var sum finding.Tally
	sum.Add(seen.Findings)
	if m.FailOnProblems.ValueBool() && sum.Fail > 0 {
		failed := slices.DeleteFunc(slices.Clone(seen.Findings), func(f finding.Finding) bool { return f.Verdict != finding.Fail })
		diags.AddFindings(&response.Diagnostics, fmt.Sprintf("Hypervisor %s: %s failed", seen.Name, term.Count(sum.Fail, "check")), failed)
		return
	}
	m.Passed, m.Failed, m.Unknown = types.BoolValue(sum.Fail+sum.Unknown == 0), number(sum.Fail), number(sum.Unknown)
	m.Findings = []findingModel{}
	for _, f := range seen.Findings {
		m.Findings = append(m.Findings, findingModel{
			ID: text(string(f.ID)), Verdict: text(string(f.Verdict)), Layer: text(string(f.Layer)),
			Where: text(f.Where.String()), Reason: text(f.Reason), Fix: text(f.Fix),
		})
	}
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}
