// Package vm is the resource gpuworker_vm: one worker, with or without a GPU.
package vm

import (
	"context"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/spec"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/worker"
)

// Attributes that are not fields of a WorkerPool.
var own = []string{
	"id", "name", "pool", "host", "gpu", "allow_restart", "allow_destroy_uuid", "wait_for_address", "wait_for_guest", "timeouts",
	"uuid", "vm_id", "card", "attachment", "model", "iommu_group", "addresses", "ip_address", "state", "reason", "origin", "drift",
}

// Fields of a WorkerPool that a single VM does not have, or has in another form.
var notOfAVM = []string{"hypervisor", "gpus", "replicas", "names", "hosts"}

// Fields of a request for a card that are the host's or a pool's.
var notOfOneCard = []string{"host", "hosts", "count"}

// Schema implements resource.Resource.
func (r *Resource) Schema(ctx context.Context, _ resource.SchemaRequest, response *resource.SchemaResponse) {
	attributes := spec.Attributes("WorkerPoolSpec", notOfAVM...)
	maps.Copy(attributes, map[string]schema.Attribute{
		"name": schema.StringAttribute{Required: true, MarkdownDescription: "Name of the worker, and so of its VM and its Kubernetes node: a DNS label."},
		"pool": schema.StringAttribute{Optional: true, Computed: true, MarkdownDescription: "Name of the WorkerPool in the record of the VM. Default: `name`."},
		"host": schema.StringAttribute{Optional: true, Computed: true, MarkdownDescription: "Host that runs the VM. Needed with `gpu.bdf`. Default: a host that fits."},
		"gpu": schema.SingleNestedAttribute{
			Optional: true, Attributes: spec.Attributes("GPURequest", notOfOneCard...),
			MarkdownDescription: "The card of the VM: by its place (`card`, or `bdf` with `host`) or by its kind (`model` or `id`). Without it, the VM has no GPU.",
		},
		"allow_restart":      schema.BoolAttribute{Optional: true, MarkdownDescription: "Allow that the running VM of a semi-persistent worker is shut down and started for a change that needs it. Default: such a change is refused."},
		"allow_destroy_uuid": schema.StringAttribute{Optional: true, MarkdownDescription: "Allows to destroy a semi-persistent worker: the `uuid` of its VM. Apply it before you destroy the resource. It does not allow to destroy the VM that a later replace makes."},
		"wait_for_address":   worker.AddressWaitSchema(),
		"wait_for_guest":     worker.GuestWaitSchema(),
		"timeouts":           worker.TimeoutsSchema(ctx),
	})
	maps.Copy(attributes, computed())
	response.Schema = schema.Schema{
		MarkdownDescription: "A worker: one virtual machine, cloned from a template, with one whole GPU or none. A GPU worker is semi-persistent: it is changed in place, " +
			"and never destroyed or replaced unless a person names it.\n\nIf making it fails, nothing is in the state; the next apply finds the VM, proves that it is the worker, and finishes it.",
		Attributes: attributes,
	}
}

// computed are the computed attributes; host may be configured too.
func computed() map[string]schema.Attribute {
	text := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	attributes := worker.Schema()
	delete(attributes, "host")
	maps.Copy(attributes, map[string]schema.Attribute{
		"id":         text("KubeCluster, pool and name of the worker, separated by `/`."),
		"attachment": text("The card as the hypervisor writes it in the configuration of the VM, on Proxmox VE the value of `hostpci0`: `mapping=gpu-pve1-0000-03-00,pcie=1`."),
		"reason":     text("Why this host and card."),
		"origin":     text("How the VM came into the state: `Made` by this resource, or `Taken`, because it existed and was proven to be the worker."),
		"drift": schema.ListAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "Differences between the configuration and the VM that the next apply removes, or that wait for a person.",
		},
	})
	return attributes
}

// IdentitySchema implements resource.ResourceWithIdentity.
func (r *Resource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, response *resource.IdentitySchemaResponse) {
	response.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"hypervisor":   identityschema.StringAttribute{OptionalForImport: true, Description: "Name of the hypervisor in the provider."},
		"kube_cluster": identityschema.StringAttribute{OptionalForImport: true, Description: "Name of the KubeCluster; empty for none."},
		"pool":         identityschema.StringAttribute{OptionalForImport: true, Description: "Name of the pool. Default: name."},
		"name":         identityschema.StringAttribute{RequiredForImport: true, Description: "Name of the worker."},
	}}
}
