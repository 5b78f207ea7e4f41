// Package mapping is the resource gpuworker_pci_mapping: the PCI resource mapping of one
// card, which gpuworker otherwise makes when a worker claims the card.
package mapping

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/session"
)

// Resource is the resource gpuworker_pci_mapping.
type Resource struct{ shared *session.Shared }

// NewResource makes the resource.
func NewResource() resource.Resource { return &Resource{} }

var (
	_ resource.ResourceWithConfigure      = &Resource{}
	_ resource.ResourceWithIdentity       = &Resource{}
	_ resource.ResourceWithImportState    = &Resource{}
	_ resource.ResourceWithModifyPlan     = &Resource{}
	_ resource.ResourceWithValidateConfig = &Resource{}
)

// model is the state of a mapping.
type model struct {
	Card  types.String `tfsdk:"card"`
	ID    types.String `tfsdk:"id"`
	Entry types.String `tfsdk:"entry"`
	Stale types.String `tfsdk:"stale"`
}

// identity is the value of the resource identity.
type identity struct {
	Hypervisor string `tfsdk:"hypervisor"`
	Card       string `tfsdk:"card"`
}

// Metadata implements resource.Resource.
func (r *Resource) Metadata(_ context.Context, _ resource.MetadataRequest, response *resource.MetadataResponse) {
	response.TypeName = "gpuworker_pci_mapping"
}

// Schema implements resource.Resource.
func (r *Resource) Schema(_ context.Context, _ resource.SchemaRequest, response *resource.SchemaResponse) {
	response.Schema = schema.Schema{
		MarkdownDescription: "The PCI resource mapping of one card. gpuworker makes it itself when a worker claims the card, and removes it with the worker. " +
			"A mapping that is made ahead stays, so the login of gpuworker needs Mapping.Modify only on this mapping, `/mapping/pci/<id>`.",
		Attributes: map[string]schema.Attribute{
			"card": schema.StringAttribute{
				Required: true, MarkdownDescription: "The card, `pve1/0000:03:00.0`: an NVIDIA GPU that no other mapping has.", PlanModifiers: []planmodifier.String{
					stringplanmodifier.RequiresReplaceIf(isAnotherCard, "another card has another mapping", "another card has another mapping"),
				},
			},
			"id":    schema.StringAttribute{Computed: true, MarkdownDescription: "Name of the mapping, `gpu-pve1-0000-03-00`.", PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()}},
			"entry": schema.StringAttribute{Computed: true, MarkdownDescription: "What the mapping says of the card. Proxmox VE compares it with the hardware at each start of a VM."},
			"stale": schema.StringAttribute{Computed: true, MarkdownDescription: "How the mapping differs from the hardware. The next apply corrects it."},
		},
	}
}

// IdentitySchema implements resource.ResourceWithIdentity.
func (r *Resource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, response *resource.IdentitySchemaResponse) {
	response.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"hypervisor": identityschema.StringAttribute{OptionalForImport: true, Description: "Name of the hypervisor in the provider."},
		"card":       identityschema.StringAttribute{RequiredForImport: true, Description: "The card, pve1/0000:03:00.0."},
	}}
}

// Configure implements resource.ResourceWithConfigure.
func (r *Resource) Configure(_ context.Context, request resource.ConfigureRequest, response *resource.ConfigureResponse) {
	r.shared = session.From(request.ProviderData, &response.Diagnostics)
}

// registrar is the part of the backend that has the mappings.
func (r *Resource) registrar(ctx context.Context) (hypervisor.Registrar, string, error) {
	if r.shared == nil {
		return nil, "", session.ErrNotConfigured
	}
	s, name := r.shared.Session()
	if s == nil {
		return nil, "", session.ErrNotConfigured
	}
	registrar, err := s.Registrar(ctx)
	return registrar, name, err
}

// ValidateConfig implements resource.ResourceWithValidateConfig.
func (r *Resource) ValidateConfig(ctx context.Context, request resource.ValidateConfigRequest, response *resource.ValidateConfigResponse) {
	var card types.String
	response.Diagnostics.Append(request.Config.GetAttribute(ctx, path.Root("card"), &card)...)
	if card.IsNull() || card.IsUnknown() {
		return
	}
	if _, err := pci.ParseCardRef(card.ValueString()); err != nil {
		response.Diagnostics.AddAttributeError(path.Root("card"), "The configuration is not valid", diags.Detail("card: "+err.Error(), "gpuworker gpus lists the cards"))
	}
}

// do calls one operation on the mapping of a card and returns the new state; nil when
// there is no mapping, or after an error.
func (r *Resource) do(ctx context.Context, card, summary string, diagnostics *diag.Diagnostics, operation func(hypervisor.Registrar, pci.CardRef) (*hypervisor.Register, error)) (*model, identity) {
	registrar, name, err := r.registrar(ctx)
	var ref pci.CardRef
	if err == nil {
		ref, err = pci.ParseCardRef(card)
	}
	var register *hypervisor.Register
	if err == nil {
		register, err = operation(registrar, ref)
	}
	if err != nil {
		diags.AddError(diagnostics, summary, err, diags.Nowhere)
		return nil, identity{}
	}
	id := identity{Hypervisor: name, Card: ref.String()}
	if register == nil {
		return nil, id
	}
	state := &model{Card: types.StringValue(card), ID: types.StringValue(register.Name), Entry: types.StringValue(register.Entry), Stale: types.StringNull()}
	if register.Stale != "" {
		state.Stale = types.StringValue(register.Stale)
	}
	return state, id
}

// Create implements resource.Resource. A mapping that exists is taken over: it says the
// same as a new one.
func (r *Resource) Create(ctx context.Context, request resource.CreateRequest, response *resource.CreateResponse) {
	var planned model
	response.Diagnostics.Append(request.Plan.Get(ctx, &planned)...)
	state, id := r.do(ctx, planned.Card.ValueString(), "The mapping was not made", &response.Diagnostics, func(to hypervisor.Registrar, card pci.CardRef) (*hypervisor.Register, error) {
		return to.MakeRegister(ctx, card)
	})
	if state != nil {
		response.Diagnostics.Append(response.State.Set(ctx, state)...)
		response.Diagnostics.Append(response.Identity.Set(ctx, id)...)
	}
}

// Read implements resource.Resource.
func (r *Resource) Read(ctx context.Context, request resource.ReadRequest, response *resource.ReadResponse) {
	var was model
	response.Diagnostics.Append(request.State.Get(ctx, &was)...)
	var register *hypervisor.Register
	state, id := r.do(ctx, was.Card.ValueString(), "The mapping cannot be read", &response.Diagnostics, func(to hypervisor.Registrar, card pci.CardRef) (_ *hypervisor.Register, err error) {
		register, err = to.Register(ctx, card)
		return register, err
	})
	if response.Diagnostics.HasError() {
		return
	}
	response.Diagnostics.Append(response.Identity.Set(ctx, id)...)
	if state == nil {
		response.State.RemoveResource(ctx)
		return
	}
	if register.Unseen != "" {
		state.Stale = was.Stale
		response.Diagnostics.AddWarning("The mapping cannot be compared with the hardware now", diags.Detail(register.Unseen, "bring the host back, then run the same command again"))
	}
	response.Diagnostics.Append(response.State.Set(ctx, state)...)
}

// Update implements resource.Resource.
func (r *Resource) Update(ctx context.Context, request resource.UpdateRequest, response *resource.UpdateResponse) {
	var planned model
	response.Diagnostics.Append(request.Plan.Get(ctx, &planned)...)
	state, id := r.do(ctx, planned.Card.ValueString(), "The mapping was not corrected", &response.Diagnostics, func(to hypervisor.Registrar, card pci.CardRef) (*hypervisor.Register, error) {
		return to.MakeRegister(ctx, card)
	})
	if state != nil {
		response.Diagnostics.Append(response.State.Set(ctx, state)...)
		response.Diagnostics.Append(response.Identity.Set(ctx, id)...)
	}
}

// Delete implements resource.Resource.
func (r *Resource) Delete(ctx context.Context, request resource.DeleteRequest, response *resource.DeleteResponse) {
	var state model
	response.Diagnostics.Append(request.State.Get(ctx, &state)...)
	r.do(ctx, state.Card.ValueString(), "The mapping was not removed", &response.Diagnostics, func(to hypervisor.Registrar, card pci.CardRef) (*hypervisor.Register, error) {
		return nil, to.RemoveRegister(ctx, card)
	})
}

// ImportState implements resource.ResourceWithImportState: by the card.
func (r *Resource) ImportState(ctx context.Context, request resource.ImportStateRequest, response *resource.ImportStateResponse) {
	card := request.ID
	if card == "" {
		var id identity
		response.Diagnostics.Append(request.Identity.Get(ctx, &id)...)
		card = id.Card
	}
	if _, err := pci.ParseCardRef(card); err != nil {
		response.Diagnostics.AddError("The mapping cannot be imported", diags.Detail(err.Error(), "write the card, pve1/0000:03:00.0"))
		return
	}
	response.Diagnostics.Append(response.State.SetAttribute(ctx, path.Root("card"), card)...)
}
