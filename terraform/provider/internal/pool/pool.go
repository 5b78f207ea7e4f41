package pool

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/spec"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/worker"
)

// pool is the pool of one resource: a configuration, a plan or a state.
type pool struct {
	worker.Object
	name         string
	fields       map[string]any // of the document's spec
	spec         v1alpha1.WorkerPoolSpec
	unplaced     bool // it is not known yet which workers there are, or where
	allowRestart bool
	allowed      []string                 // allow_destroy_uuids
	workers      map[string]worker.Values // nil when it is not known
	drift        []string
}

// poolOf reads a configuration, a plan or a state.
func poolOf(raw tftypes.Value) (*pool, error) {
	object, err := worker.ObjectOf(raw)
	if err != nil {
		return nil, err
	}
	p := &pool{
		Object: object, name: object.Text("name"), allowRestart: object.Yes("allow_restart"),
		allowed: object.Texts("allow_destroy_uuids"), drift: object.Texts("drift"),
	}
	except := slices.Clone(own)
	for _, name := range guestOnly {
		if !object.Attributes[name].IsFullyKnown() {
			except = append(except, name)
		}
	}
	if p.fields, p.unplaced, err = spec.Document(raw, except...); err != nil {
		return nil, err
	}
	if err := spec.Into(p.fields, &p.spec); err != nil {
		return nil, fmt.Errorf("the attributes cannot be read as a document: %w", err)
	}
	return p, p.readWorkers()
}

func (p *pool) readWorkers() error {
	all := p.Attributes["workers"]
	if all.IsNull() || !all.IsKnown() {
		return nil
	}
	var byName map[string]tftypes.Value
	if err := all.As(&byName); err != nil {
		return err
	}
	p.workers = map[string]worker.Values{}
	for name, raw := range byName {
		one, err := worker.ObjectOf(raw)
		if err != nil {
			return err
		}
		p.workers[name] = worker.ValuesOf(one)
	}
	return nil
}

// document is the document, for the engine: each time a new one.
func (p *pool) document() *v1alpha1.WorkerPool {
	document := &v1alpha1.WorkerPool{}
	document.Name = p.name
	_ = spec.Into(p.fields, &document.Spec) // it was read before
	return document
}

func (p *pool) id() string { return p.spec.KubeCluster + "/" + p.name }

// identity is the value of the resource identity.
type identity struct {
	Hypervisor  string `tfsdk:"hypervisor"`
	KubeCluster string `tfsdk:"kube_cluster"`
	Name        string `tfsdk:"name"`
}

func (p *pool) identity(hypervisor string) identity {
	return identity{hypervisor, p.spec.KubeCluster, p.name}
}

// keyKnown reports whether it is known which pool this is.
func (p *pool) keyKnown() bool { return p.name != "" && p.Attributes["kube_cluster"].IsKnown() }

func (p *pool) semiPersistent() bool { return worker.LifecycleOf(p.document()) != v1alpha1.Ephemeral }

// with returns the value of Terraform with these workers and differences.
func (p *pool) with(workers map[string]worker.Values, drift []string) tftypes.Value {
	objects := map[string]tftypes.Value{}
	for name, values := range workers {
		objects[name] = tftypes.NewValue(worker.ObjectType, values.Attributes())
	}
	return p.With(map[string]tftypes.Value{
		"id": worker.Text(p.id()), "drift": worker.List(drift),
		"workers": tftypes.NewValue(tftypes.Map{ElementType: worker.ObjectType}, objects),
	})
}

// firstOfEach are the workers of a decision: the first entry of each name. Further ones
// are more VMs of the same worker.
func firstOfEach(d *engine.Decision) func(yield func(*engine.Decided) bool) {
	return func(yield func(*engine.Decided) bool) {
		done := map[string]bool{}
		for i := range d.Workers {
			seen := &d.Workers[i]
			if !done[seen.Name] && !yield(seen) {
				return
			}
			done[seen.Name] = true
		}
	}
}

// differences are the texts for drift: what is not as declared, and, of a VM after the
// work, only what waits for a person.
func differences(seen *engine.Decided, afterwards bool) []string {
	changes := worker.Drift(seen.Changes)
	switch {
	case seen.Undeclared:
		changes = []string{seen.Reason}
	case seen.VM == nil:
		changes = nil
	case afterwards:
		changes = worker.Remaining(seen)
	}
	for i := range changes {
		changes[i] = seen.Name + ": " + changes[i]
	}
	return changes
}

// driftOf are the differences of one worker.
func (p *pool) driftOf(name string) []string {
	var changes []string
	for _, text := range p.drift {
		if change, is := strings.CutPrefix(text, name+": "); is {
			changes = append(changes, change)
		}
	}
	return changes
}

// lastDrift are the texts about one worker that are not in the list.
func (p *pool) lastDrift(name string, list []string) []string {
	return slices.DeleteFunc(slices.Clone(p.drift), func(text string) bool { return !strings.HasPrefix(text, name+": ") || slices.Contains(list, text) })
}

// isOurs reports whether a state has this VM.
func (p *pool) isOurs(seen *engine.Decided) bool {
	return p != nil && seen.Ref != nil && p.workers[seen.Name].UUID == seen.Ref.UUID
}

// mayDelete reports whether a VM that is no longer declared is to be deleted: the engine
// holds it, and a person has named it in the prior state, p.
func (p *pool) mayDelete(seen *engine.Decided) bool {
	return p != nil && seen.Undeclared && seen.Action == plan.Hold && seen.VM != nil && slices.Contains(p.allowed, seen.Ref.UUID)
}

// attributeOf finds the attribute of a field of the document, and the name of the field in
// Terraform. The attribute is always one of the resource itself: Terraform finds no line
// for a nested one.
func attributeOf(field string) (at path.Path, name string) {
	switch field {
	case "", "spec", "hypervisor":
		return path.Empty(), field
	case "metadata.name":
		return path.Root("name"), "name"
	}
	name = spec.Path(field).String()
	root, _, _ := strings.Cut(name, ".")
	root, _, _ = strings.Cut(root, "[")
	return path.Root(root), name
}
