package data

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/phrase"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
)

// gpus is the data source gpuworker_gpus.
type gpus struct{ source }

var _ datasource.DataSourceWithValidateConfig = &gpus{}

type gpusModel struct {
	Host  types.String `tfsdk:"host"`
	Model types.String `tfsdk:"model"`
	State types.String `tfsdk:"state"`
	GPUs  []gpuModel   `tfsdk:"gpus"`
}

type gpuModel struct {
	Host   types.String   `tfsdk:"host"`
	BDF    types.String   `tfsdk:"bdf"`
	Card   types.String   `tfsdk:"card"`
	Model  types.String   `tfsdk:"model"`
	ID     types.String   `tfsdk:"id"`
	With   []types.String `tfsdk:"with"`
	Group  types.Int64    `tfsdk:"iommu_group"`
	Alone  types.Bool     `tfsdk:"alone"`
	Mates  []types.String `tfsdk:"mates"`
	HeldBy *holderModel   `tfsdk:"held_by"`
	State  types.String   `tfsdk:"state"`
	Reason types.String   `tfsdk:"reason"`
}

type holderModel struct {
	Name types.String `tfsdk:"name"`
	VM   types.String `tfsdk:"vm_id"`
	Ours types.Bool   `tfsdk:"ours"`
}

// Metadata implements datasource.DataSource.
func (*gpus) Metadata(_ context.Context, _ datasource.MetadataRequest, response *datasource.MetadataResponse) {
	response.TypeName = "gpuworker_gpus"
}

// Schema implements datasource.DataSource.
func (*gpus) Schema(_ context.Context, _ datasource.SchemaRequest, response *datasource.SchemaResponse) {
	filter := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Optional: true, MarkdownDescription: description}
	}
	response.Schema = schema.Schema{
		MarkdownDescription: "The NVIDIA GPUs of all hosts, which VMs hold them, and whether they can be used, as `gpuworker gpus` lists them.\n\n" +
			"Do not make workers with `for_each` over cards in state `ready`: a card with a worker is `in use`, so the worker would be removed from the " +
			"configuration by being made. Select by `host` or `model`, or write the cards.",
		Attributes: map[string]schema.Attribute{
			"host":  filter("Only the GPUs of this host."),
			"model": filter("Only GPUs of this model, written as in `gpuworker_vm`: `RTX 3090` is also `GeForce RTX 3090`."),
			"state": filter("Only GPUs in this state: " + phrase.Or(quoted(engine.CardStates)) + "."),
			"gpus": listOf("The GPUs, ordered by host and address. A host whose GPUs cannot be seen has one entry without `bdf`, in state `unknown`, "+
				"and a warning.", gpuAttributes()),
		},
	}
}

func gpuAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"host":        textOf("Host that has the card."),
		"bdf":         textOf("PCI address on the host, `0000:03:00.0`."),
		"card":        textOf("Place of the card, `pve1/0000:03:00.0`, for `gpu.card` of `gpuworker_vm`."),
		"model":       textOf("Model, `Tesla T4`."),
		"id":          textOf("PCI vendor and device, `10de:1eb8`."),
		"with":        textsOf("Other functions of the card, `audio`. The VM gets the whole card."),
		"iommu_group": numberOf("IOMMU group on the host; null without IOMMU."),
		"alone":       boolOf("Whether no other device is in the IOMMU group. Bridges do not count."),
		"mates":       textsOf("The other devices in the IOMMU group: address and name."),
		"held_by": schema.SingleNestedAttribute{
			Computed: true, MarkdownDescription: "The VM that has the card, or the worker that it is reserved for; null when it is free.",
			Attributes: map[string]schema.Attribute{
				"name":  textOf("Name of the VM or worker."),
				"vm_id": textOf("Identifier of the VM, `204`; null while there is no VM."),
				"ours":  boolOf("Whether it is a worker of gpuworker."),
			},
		},
		"state": textOf("`ready` (free), `in use` (by a worker of gpuworker), `reserved` (claimed for a worker without a VM), `taken` (by a VM that gpuworker " +
			"does not own), `blocked` (cannot be attached, or not without harm to the host), `no IOMMU`, or `unknown` (could not be determined)."),
		"reason": textOf("Why it is in this state."),
	}
}

// quoted writes states as Markdown.
func quoted(states []engine.CardState) []string {
	var words []string
	for _, state := range states {
		words = append(words, "`"+string(state)+"`")
	}
	return words
}

// ValidateConfig implements datasource.DataSourceWithValidateConfig.
func (*gpus) ValidateConfig(ctx context.Context, request datasource.ValidateConfigRequest, response *datasource.ValidateConfigResponse) {
	var state types.String
	response.Diagnostics.Append(request.Config.GetAttribute(ctx, path.Root("state"), &state)...)
	if state.IsNull() || state.IsUnknown() || slices.Contains(engine.CardStates, engine.CardState(state.ValueString())) {
		return
	}
	var words []string
	for _, one := range engine.CardStates {
		words = append(words, fmt.Sprintf("%q", one))
	}
	response.Diagnostics.AddAttributeError(path.Root("state"), "There is no such state of a card",
		diags.Detail(phrase.Quote(state.ValueString())+" is not a state", "write "+phrase.Or(words)))
}

// Read implements datasource.DataSource.
func (g *gpus) Read(ctx context.Context, request datasource.ReadRequest, response *datasource.ReadResponse) {
	var m gpusModel
	response.Diagnostics.Append(request.Config.Get(ctx, &m)...)
	if response.Diagnostics.HasError() {
		return
	}
	seen, ok := g.observe(ctx, &response.Diagnostics, (*engine.Session).Hypervisor)
	if !ok || !hostExists(seen, m.Host, &response.Diagnostics) {
		return
	}
	for _, blind := range seen.Blind(m.Host.ValueString()) {
		response.Diagnostics.AddWarning("The GPUs of host "+text(blind.Host).ValueString()+" cannot be seen", diags.Detail(blind.Reason, ""))
	}
	m.GPUs = []gpuModel{}
	filter := engine.CardFilter{Host: m.Host.ValueString(), Model: m.Model.ValueString(), State: engine.CardState(m.State.ValueString())}
	for _, view := range seen.CardViews(filter) {
		m.GPUs = append(m.GPUs, gpuOf(view))
	}
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

// hostExists reports a host that does not exist: an empty list would look as if it had
// no GPUs.
func hostExists(seen engine.Hypervisor, host types.String, to *diag.Diagnostics) bool {
	if host.IsNull() || seen.Snapshot.Host(host.ValueString()) != nil {
		return true
	}
	var names []string
	for i := range seen.Snapshot.Hosts {
		names = append(names, seen.Snapshot.Hosts[i].Name)
	}
	to.AddAttributeError(path.Root("host"), "There is no such host",
		diags.Detail(fmt.Sprintf("%s is not a host of hypervisor %s", phrase.Quote(host.ValueString()), seen.Name), "write "+phrase.Or(names)))
	return false
}

func gpuOf(view engine.CardView) gpuModel {
	m := gpuModel{
		Host: text(view.Host), Model: text(view.Model), With: texts(view.With), Mates: []types.String{},
		State: text(string(view.State)), Reason: text(view.Reason),
	}
	if !view.BDF.IsZero() {
		m.BDF, m.ID, m.Alone = text(view.BDF.String()), text(view.ID.String()), types.BoolValue(view.Alone)
		m.Card = text(pci.CardRef{Host: view.Host, Slot: view.BDF.Slot}.String())
	}
	if view.Group != pci.NoGroup {
		m.Group = types.Int64Value(int64(view.Group))
	}
	for _, mate := range view.Mates {
		m.Mates = append(m.Mates, text(mate.BDF.String()+" "+mate.ShortName()))
	}
	if holder := view.HeldBy; holder != nil {
		m.HeldBy = &holderModel{Name: text(holder.Name), VM: text(holder.VM), Ours: types.BoolValue(holder.Ours)}
	}
	return m
}
