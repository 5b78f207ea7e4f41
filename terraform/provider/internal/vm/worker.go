package vm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/spec"
	shared "github.com/gpuworker/gpuworker/terraform/provider/internal/worker"
)

var (
	errNotConfigured = errors.New("the configuration of the provider is not known")
	errNotDecided    = errors.New("the engine decided nothing for this worker; this is a bug")
)

// worker is the worker of one resource: a value of Terraform and the document that it
// stands for.
type worker struct {
	shared.Object
	pool    v1alpha1.WorkerPool
	unknown bool // a part of the document is not known yet

	name, uuid, allowDestroy string
	allowRestart             bool
	addresses                []string
}

// workerOf reads a configuration, a plan or a state.
func workerOf(raw tftypes.Value) (*worker, error) {
	object, err := shared.ObjectOf(raw)
	if err != nil {
		return nil, err
	}
	w := &worker{
		Object: object, name: object.Text("name"), uuid: object.Text("uuid"), allowDestroy: object.Text("allow_destroy_uuid"),
		allowRestart: object.Yes("allow_restart"), addresses: object.Texts("addresses"),
	}
	fields, unknown, err := spec.Document(raw, own...)
	if err != nil {
		return nil, err
	}
	w.unknown = unknown || !w.Attributes["name"].IsKnown() || !w.Attributes["gpu"].IsFullyKnown()
	fields["names"] = []any{w.name}
	host := w.Text("host")
	card, _, err := w.card()
	if err != nil {
		return nil, err
	}
	if card != nil {
		if card["bdf"] != nil && host != "" {
			card["host"] = host
		}
		fields["gpus"] = []any{card}
	}
	if host != "" {
		fields["hosts"] = []any{host}
	}
	if err := spec.Into(fields, &w.pool.Spec); err != nil {
		return nil, fmt.Errorf("the attributes cannot be read as a document: %w", err)
	}
	w.pool.Name = w.Text("pool")
	if w.pool.Name == "" {
		w.pool.Name = w.name
	}
	return w, nil
}

// card are the fields of gpu; nil without a card.
func (w *worker) card() (fields map[string]any, unknown bool, err error) {
	gpu := w.Attributes["gpu"]
	if !gpu.IsKnown() || gpu.IsNull() {
		return nil, !gpu.IsKnown(), nil
	}
	return spec.Document(gpu)
}

// document is a copy of the document, for the engine.
func (w *worker) document() *v1alpha1.WorkerPool {
	again, err := workerOf(w.Raw)
	if err != nil {
		panic(err) // it was read before
	}
	return &again.pool
}

func (w *worker) id() string { return idOf(w.pool.Spec.KubeCluster, w.pool.Name, w.name) }

func idOf(kubeCluster, pool, name string) string { return kubeCluster + "/" + pool + "/" + name }

func (w *worker) nameOrEmpty() string {
	if w == nil {
		return ""
	}
	return w.name
}

// identity is the value of the resource identity.
type identity struct {
	Hypervisor  string `tfsdk:"hypervisor"`
	KubeCluster string `tfsdk:"kube_cluster"`
	Pool        string `tfsdk:"pool"`
	Name        string `tfsdk:"name"`
}

func (w *worker) identity(hypervisor string) identity {
	return identity{hypervisor, w.pool.Spec.KubeCluster, w.pool.Name, w.name}
}

func (w *worker) semiPersistent() bool {
	return shared.LifecycleOf(w.document()) != v1alpha1.Ephemeral
}

// decide returns what the engine decides for the worker, and what was observed of it.
func (w *worker) decide(ctx context.Context, s *engine.Session) (*engine.Decided, engine.Decision, error) {
	d, err := s.Decide(ctx, w.document(), w.allowRestart)
	if err != nil {
		return nil, d, err
	}
	if seen := w.of(d); seen != nil {
		return seen, d, nil
	}
	return nil, d, errNotDecided
}

// of finds the worker in a decision. The first entry is the worker, others with its name
// are further VMs.
func (w *worker) of(d engine.Decision) *engine.Decided {
	for i := range d.Workers {
		if d.Workers[i].Name == w.name {
			return &d.Workers[i]
		}
	}
	return nil
}

// accept refuses a decision that is not the one that the plan has shown.
func (w *worker) accept(d engine.Decision) error {
	seen := w.of(d)
	if seen == nil {
		return errNotDecided
	}
	shown := shared.Shown{Values: shared.ValuesOf(w.Object), Drift: w.Texts("drift")}
	return shown.Accept(seen, d.Hypervisor)
}

// acceptDelete refuses to destroy another VM than the one in the state.
func (w *worker) acceptDelete(plans engine.Plans) error {
	for _, p := range plans.Plans {
		for one := range p.Workers() {
			switch {
			case one.Name != w.name:
			case one.Action == plan.Refuse:
				return shared.Refusal(&engine.Decided{Worker: *one})
			case one.Ref != nil && one.Ref.UUID != w.uuid:
				return &fault.Error{
					Kind: fault.Conflict, Where: fault.Place{Hypervisor: p.Hypervisor, Worker: w.name},
					Why: fmt.Sprintf("the worker is VM %s now, not VM %s of the state; nothing was destroyed", one.Ref.UUID, w.uuid),
					Fix: "run terraform plan again; a semi-persistent worker needs allow_destroy_uuid of the new VM",
				}
			}
		}
	}
	return nil
}

// mayBeDestroyed returns an error when the worker is semi-persistent and the state does
// not allow to destroy this VM.
func (w *worker) mayBeDestroyed(uuid string) error {
	if !w.semiPersistent() || uuid != "" && w.allowDestroy == uuid {
		return nil
	}
	return &fault.Error{
		Kind: fault.Refused, Where: fault.Place{Worker: w.name},
		Why: fmt.Sprintf("a semi-persistent worker is destroyed only when a person names its VM, %s", uuid),
		Fix: fmt.Sprintf("to destroy it, first apply allow_destroy_uuid = %q; to keep the VM and only forget it, use removed { lifecycle { destroy = false } }; "+
			"without Terraform: %s", uuid, shell.Command("gpuworker delete %s", w.name)),
	}
}

// values are the computed values of a worker.
type values struct {
	shared.Values
	reason string
	drift  []string
}

// with returns the value of Terraform with other computed values.
func (w *worker) with(v values) tftypes.Value {
	attributes := v.Attributes()
	attributes["id"], attributes["pool"] = shared.Text(w.id()), shared.Text(w.pool.Name)
	attributes["reason"], attributes["drift"] = shared.Text(v.reason), shared.List(v.drift)
	if slices.Contains(v.Unknown, "reason") {
		attributes["reason"] = w.Unknown("reason")
	}
	return w.With(attributes)
}

// attributeOf finds the attribute of a field of the document.
func attributeOf(field string) path.Path {
	switch {
	case field == "":
		return path.Empty()
	case field == "metadata.name", field == "names", field == "names[0]":
		return path.Root("name")
	case field == "hosts", field == "hosts[0]", field == "gpus[0].host":
		return path.Root("host")
	case len(field) > 7 && field[:7] == "gpus[0]":
		return path.Root("gpu").AtName(spec.Snake(field[8:]))
	case field == "gpus", field == "gpus[0]":
		return path.Root("gpu")
	case field == "replicas", field == "hypervisor":
		return path.Empty()
	}
	return spec.Path(field)
}
