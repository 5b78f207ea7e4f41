package data

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/gpuworker/gpuworker/internal/engine"
)

// hosts is the data source gpuworker_hosts.
type hosts struct{ source }

type hostsModel struct {
	Hosts []hostModel `tfsdk:"hosts"`
}

type hostModel struct {
	Name        types.String   `tfsdk:"name"`
	Online      types.Bool     `tfsdk:"online"`
	CPUs        types.Int64    `tfsdk:"cpus"`
	MemoryTotal types.Int64    `tfsdk:"memory_total"`
	MemoryUsed  types.Int64    `tfsdk:"memory_used"`
	IOMMU       types.String   `tfsdk:"iommu"`
	GPUs        types.Int64    `tfsdk:"gpus"`
	GPUsClaimed types.Int64    `tfsdk:"gpus_claimed"`
	Storages    []types.String `tfsdk:"storages"`
	Gaps        []gapModel     `tfsdk:"gaps"`
}

type gapModel struct {
	What types.String `tfsdk:"what"`
	Why  types.String `tfsdk:"why"`
}

// Metadata implements datasource.DataSource.
func (*hosts) Metadata(_ context.Context, _ datasource.MetadataRequest, response *datasource.MetadataResponse) {
	response.TypeName = "gpuworker_hosts"
}

// Schema implements datasource.DataSource.
func (*hosts) Schema(_ context.Context, _ datasource.SchemaRequest, response *datasource.SchemaResponse) {
	response.Schema = schema.Schema{
		MarkdownDescription: "The hosts with their memory, IOMMU, GPUs and storages, as `gpuworker hosts` lists them. An output with `memory_used` changes at almost " +
			"each plan.",
		Attributes: map[string]schema.Attribute{
			"hosts": listOf("The hosts, ordered by name.", map[string]schema.Attribute{
				"name":         textOf("Name of the host."),
				"online":       boolOf("Whether it is online. What is not known is null."),
				"cpus":         numberOf("Number of CPU threads."),
				"memory_total": numberOf("Memory in bytes."),
				"memory_used":  numberOf("Used memory in bytes."),
				"iommu":        textOf("`on`, `off` or `unknown`."),
				"gpus":         numberOf("Number of NVIDIA GPUs; null when they cannot be seen."),
				"gpus_claimed": numberOf("Number of GPUs that are claimed for workers; null when they cannot be seen."),
				"storages":     textsOf("Names of the active storages."),
				"gaps": listOf("What could not be read.", map[string]schema.Attribute{
					"what": textOf("What is missing, `PCI devices`."),
					"why":  textOf("Why it could not be read."),
				}),
			}),
		},
	}
}

// Read implements datasource.DataSource.
func (h *hosts) Read(ctx context.Context, _ datasource.ReadRequest, response *datasource.ReadResponse) {
	seen, ok := h.observe(ctx, &response.Diagnostics, (*engine.Session).Hypervisor)
	if !ok {
		return
	}
	m := hostsModel{Hosts: []hostModel{}}
	for _, view := range seen.HostViews() {
		m.Hosts = append(m.Hosts, hostOf(view, len(seen.Blind(view.Name)) > 0))
	}
	response.Diagnostics.Append(response.State.Set(ctx, &m)...)
}

// hostOf writes a host. What is not known is null: blind says that its GPUs cannot be
// seen.
func hostOf(view engine.HostView, blind bool) hostModel {
	m := hostModel{
		Name: text(view.Name), Online: types.BoolValue(view.Online), IOMMU: text(string(view.IOMMU)),
		Storages: texts(view.Storages), Gaps: []gapModel{},
	}
	if view.Online {
		m.CPUs, m.MemoryTotal, m.MemoryUsed = number(view.CPUs), types.Int64Value(view.MemoryTotal), types.Int64Value(view.MemoryUsed)
	}
	if !blind {
		m.GPUs, m.GPUsClaimed = number(view.GPUs), number(view.GPUsClaimed)
	}
	for _, gap := range view.Gaps {
		m.Gaps = append(m.Gaps, gapModel{What: text(gap.What), Why: text(gap.Why)})
	}
	return m
}
