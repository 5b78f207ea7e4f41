// Package pool is the resource gpuworker_pool: a whole WorkerPool.
package pool

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

// own are the attributes that are not fields of a WorkerPool.
var own = []string{"id", "name", "allow_restart", "allow_destroy_uuids", "wait_for_address", "wait_for_guest", "timeouts", "workers", "drift"}

// guestOnly are the attributes that do not decide which workers there are, and where: a
// plan can be made before they are known.
var guestOnly = []string{"access", "dns", "labels", "taints"}

// Schema implements resource.Resource.
func (r *Resource) Schema(ctx context.Context, _ resource.SchemaRequest, response *resource.SchemaResponse) {
	attributes := spec.Attributes("WorkerPoolSpec", "hypervisor")
	maps.Copy(attributes, map[string]schema.Attribute{
		"name": schema.StringAttribute{Required: true, MarkdownDescription: "Name of the pool. Without `names`, its workers are NAME-1, NAME-2, …"},
		"allow_restart": schema.BoolAttribute{
			Optional: true, MarkdownDescription: "Allow that running VMs of semi-persistent workers are shut down and started for a change that needs it. Default: such a change is refused.",
		},
		"allow_destroy_uuids": schema.SetAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Allows to destroy semi-persistent workers: the `uuid` of each VM. Apply it before you remove the workers from the pool, or destroy the pool. It does not allow to destroy a VM that a later replace makes.",
		},
		"wait_for_address": worker.AddressWaitSchema(),
		"wait_for_guest":   worker.GuestWaitSchema(),
		"timeouts":         worker.TimeoutsSchema(ctx),
		"id":               schema.StringAttribute{Computed: true, MarkdownDescription: "KubeCluster and name of the pool, separated by `/`."},
		"workers": schema.MapNestedAttribute{
			Computed: true, NestedObject: schema.NestedAttributeObject{Attributes: worker.Schema()},
			MarkdownDescription: "The workers that have a VM, by name.",
		},
		"drift": schema.ListAttribute{
			Computed: true, ElementType: types.StringType,
			MarkdownDescription: "Differences between the configuration and the workers, \"WORKER: CHANGE\", that the next apply removes, or that wait for a person.",
		},
	})
	response.Schema = schema.Schema{
		MarkdownDescription: "A pool of like workers: virtual machines, cloned from a template, each with one whole GPU or none. GPU workers are semi-persistent: they are changed in place, " +
			"and never destroyed or replaced unless a person names them. Plain workers are ephemeral by default.\n\n" +
			"If making the pool fails, nothing is in the state; the next apply finds the VMs that were made, proves that they are the workers, and finishes the pool.",
		Attributes: attributes,
	}
}

// IdentitySchema implements resource.ResourceWithIdentity.
func (r *Resource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, response *resource.IdentitySchemaResponse) {
	response.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"hypervisor":   identityschema.StringAttribute{OptionalForImport: true, Description: "Name of the hypervisor in the provider."},
		"kube_cluster": identityschema.StringAttribute{OptionalForImport: true, Description: "Name of the KubeCluster; empty for none."},
		"name":         identityschema.StringAttribute{RequiredForImport: true, Description: "Name of the pool."},
	}}
}
