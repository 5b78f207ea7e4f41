// Package data has the data sources: what the commands gpus, hosts and check show.
package data

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/term"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/session"
)

// Sources makes all data sources.
func Sources() []func() datasource.DataSource {
	return []func() datasource.DataSource{
		func() datasource.DataSource { return &gpus{} },
		func() datasource.DataSource { return &hosts{} },
		func() datasource.DataSource { return &check{} },
	}
}

// source has what all data sources share.
type source struct{ shared *session.Shared }

// Configure implements datasource.DataSourceWithConfigure.
func (s *source) Configure(_ context.Context, request datasource.ConfigureRequest, response *datasource.ConfigureResponse) {
	s.shared = session.From(request.ProviderData, &response.Diagnostics)
}

// observe asks the session of the engine; ok is false after an error.
func (s *source) observe(ctx context.Context, to *diag.Diagnostics, ask func(*engine.Session, context.Context) (engine.Hypervisor, error)) (seen engine.Hypervisor, ok bool) {
	if s.shared == nil {
		return seen, false
	}
	open, name := s.shared.Session()
	if open == nil {
		to.AddError("The hypervisor cannot be observed yet", diags.Detail("a value in the configuration of the provider is not known before apply",
			"add depends_on to the data source, with the resource that the value comes from: it is then read during apply"))
		return seen, false
	}
	seen, err := ask(open, ctx)
	if err != nil {
		diags.AddError(to, "Hypervisor "+name+" cannot be observed", err, diags.Nowhere)
	}
	return seen, err == nil
}

// text is a value from outside, cleaned; null for "".
func text(value string) types.String {
	if value == "" {
		return types.StringNull()
	}
	return types.StringValue(string(term.Line(value)))
}

func number(n int) types.Int64 { return types.Int64Value(int64(n)) }

// texts are values from outside, cleaned.
func texts(values []string) []types.String {
	list := []types.String{}
	for _, value := range values {
		list = append(list, text(value))
	}
	return list
}

// The computed attributes of the entries of a list.

func textOf(description string) schema.StringAttribute {
	return schema.StringAttribute{Computed: true, MarkdownDescription: description}
}

func numberOf(description string) schema.Int64Attribute {
	return schema.Int64Attribute{Computed: true, MarkdownDescription: description}
}

func boolOf(description string) schema.BoolAttribute {
	return schema.BoolAttribute{Computed: true, MarkdownDescription: description}
}

func textsOf(description string) schema.ListAttribute {
	return schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: description}
}

func listOf(description string, attributes map[string]schema.Attribute) schema.ListNestedAttribute {
	return schema.ListNestedAttribute{Computed: true, MarkdownDescription: description, NestedObject: schema.NestedAttributeObject{Attributes: attributes}}
}
