package vm

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/list"
	"github.com/hashicorp/terraform-plugin-framework/list/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/session"
)

// Lister lists workers for terraform query, and VMs with cards that are no workers.
type Lister struct{ Resource }

// NewLister makes the list resource.
func NewLister() list.ListResource { return &Lister{} }

var _ list.ListResourceWithConfigure = &Lister{}

// ListResourceConfigSchema implements list.ListResource.
func (l *Lister) ListResourceConfigSchema(_ context.Context, _ list.ListResourceSchemaRequest, response *list.ListResourceSchemaResponse) {
	response.Schema = schema.Schema{
		MarkdownDescription: "Lists the workers of gpuworker with a GPU, ready for import. With `foreign`, it lists the VMs with a card that are no workers: `gpuworker adopt` makes them workers.",
		Attributes: map[string]schema.Attribute{
			"foreign": schema.BoolAttribute{Optional: true, MarkdownDescription: "List VMs with a card that are no workers. Default: list the workers."},
			"plain":   schema.BoolAttribute{Optional: true, MarkdownDescription: "List also workers without a GPU."},
		},
	}
}

// List implements list.ListResource.
func (l *Lister) List(ctx context.Context, request list.ListRequest, stream *list.ListResultsStream) {
	var foreign, plain types.Bool
	var diagnostics diag.Diagnostics
	diagnostics.Append(request.Config.GetAttribute(ctx, path.Root("foreign"), &foreign)...)
	diagnostics.Append(request.Config.GetAttribute(ctx, path.Root("plain"), &plain)...)
	s, hypervisor := l.Session()
	if s == nil {
		diags.AddError(&diagnostics, "The workers cannot be listed", session.ErrNotConfigured, attributeOf)
	}
	if diagnostics.HasError() {
		stream.Results = list.ListResultsStreamDiagnostics(diagnostics)
		return
	}
	world, err := s.Observe(ctx)
	if err != nil {
		diags.AddError(&diagnostics, "The workers cannot be listed", err, attributeOf)
		stream.Results = list.ListResultsStreamDiagnostics(diagnostics)
		return
	}
	stream.Results = func(push func(list.ListResult) bool) {
		sent := int64(0)
		for i := range world.VMs {
			vm := &world.VMs[i]
			if !listed(vm, foreign.ValueBool(), plain.ValueBool()) {
				continue
			}
			if sent++; sent > request.Limit && request.Limit > 0 || !push(l.result(ctx, s, request, hypervisor, vm)) {
				return
			}
		}
	}
}

// listed reports whether a VM is in the list.
func listed(vm *inventory.VM, foreign, plain bool) bool {
	ownership, _ := vm.Ownership()
	switch {
	case vm.Template:
		return false
	case foreign:
		return ownership != inventory.Ours && len(vm.Cards) > 0
	}
	return ownership == inventory.Ours && (plain || !vm.Record.Card.IsZero())
}

// result is one entry of the list.
func (l *Lister) result(ctx context.Context, s *engine.Session, request list.ListRequest, hypervisor string, vm *inventory.VM) list.ListResult {
	ownership, _ := vm.Ownership()
	if ownership != inventory.Ours && request.IncludeResource {
		return withoutResource(vm)
	}
	result := request.NewListResult(ctx)
	id := identity{Hypervisor: hypervisor, Name: vm.Name}
	result.DisplayName = diags.Detail(shown(vm), "")
	if ownership != inventory.Ours {
		result.DisplayName += ", not a worker; " + adopt(vm) + " makes it one"
		result.Diagnostics.Append(result.Identity.Set(ctx, id)...)
		return result
	}
	id.KubeCluster, id.Pool = vm.Record.KubeCluster, vm.Record.Pool
	result.Diagnostics.Append(result.Identity.Set(ctx, id)...)
	if request.IncludeResource {
		raw, err := existing(ctx, s, vm.Name, id.match, result.Resource.Schema.Type().TerraformType(ctx).(tftypes.Object))
		if err != nil {
			diags.AddError(&result.Diagnostics, "Worker "+vm.Name+" cannot be read", err, attributeOf)
			return result
		}
		result.Resource.Raw = raw
	}
	return result
}

// withoutResource is the entry for a VM that is no worker when Terraform wants whole
// resources, as for generating configuration. It has none, and Terraform 1.14.0 crashes at
// an entry without one; so it is a warning.
func withoutResource(vm *inventory.VM) list.ListResult {
	var result list.ListResult
	result.Diagnostics.AddWarning("VM "+vm.ID+" is not a worker",
		diags.Detail(shown(vm)+": it is left out, because only a worker can be imported", adopt(vm)+" makes it a worker"))
	return result
}

// shown describes a VM with its cards.
func shown(vm *inventory.VM) string {
	cards := ""
	for _, a := range vm.Cards {
		for _, card := range a.Cards {
			cards += ", card " + card.String()
		}
	}
	return fmt.Sprintf("%s: VM %s on %s%s", vm.Name, vm.ID, vm.Home(), cards)
}

// adopt is the command that makes a VM a worker.
func adopt(vm *inventory.VM) string {
	return shell.Command("gpuworker adopt -f FILE %s --as NAME", vm.ID)
}
