package vm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/spec"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/worker"
)

var errNotDecided = errors.New("the engine decided nothing for this worker; this is a bug")

// vm is the worker of one resource: a value of Terraform and the document that it
// stands for.
type vm struct {
	worker.Object
	pool    v1alpha1.WorkerPool
	unknown bool // a part of the document is not known yet

	name, uuid, allowDestroy string
	allowRestart             bool
	addresses                []string
}

// vmOf reads a configuration, a plan or a state.
func vmOf(raw tftypes.Value) (*vm, error) {
	object, err := worker.ObjectOf(raw)
	if err != nil {
		return nil, err
	}
	w := &vm{Object: object}
	w.name, w.uuid, w.allowDestroy = w.Text("name"), w.Text("uuid"), w.Text("allow_destroy_uuid")
	w.allowRestart, w.addresses = w.Yes("allow_restart"), w.Texts("addresses")
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
func (w *vm) card() (fields map[string]any, unknown bool, err error) {
	gpu := w.Attributes["gpu"]
	if !gpu.IsKnown() || gpu.IsNull() {
		return nil, !gpu.IsKnown(), nil
	}
	return spec.Document(gpu)
}

// document is a copy of the document, for the engine.
func (w *vm) document() *v1alpha1.WorkerPool {
	again, err := vmOf(w.Raw)
	if err != nil {
		panic(err) // it was read before
	}
	return &again.pool
}

func (w *vm) id() string { return idOf(w.pool.Spec.KubeCluster, w.pool.Name, w.name) }

func idOf(kubeCluster, pool, name string) string { return kubeCluster + "/" + pool + "/" + name }

func (w *vm) nameOrEmpty() string {
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

func (w *vm) identity(hypervisor string) identity {
	return identity{hypervisor, w.pool.Spec.KubeCluster, w.pool.Name, w.name}
}

func (w *vm) semiPersistent() bool { return worker.LifecycleOf(w.document()) != v1alpha1.Ephemeral }

// decide returns what the engine decides for the worker, what was observed of it, and
// warnings about the document.
func (w *vm) decide(ctx context.Context, s *engine.Session) (*engine.Decided, []v1alpha1.Problem, error) {
	d, err := s.Decide(ctx, w.document(), w.allowRestart)
	if err != nil {
		return nil, nil, err
	}
	if err := w.alone(d); err != nil {
		return nil, nil, err
	}
	if seen := w.of(d); seen != nil {
		return seen, d.Warnings, nil
	}
	return nil, nil, errNotDecided
}

// alone returns an error when the pool has other workers: a document that declares only
// this one would end the others.
func (w *vm) alone(d engine.Decision) error {
	mine := w.of(d)
	for i := range d.Workers {
		other := d.Workers[i].Name
		switch {
		case other == w.name:
		case mine != nil && mine.Undeclared && d.Workers[i].VM == nil:
			return w.otherCard(mine, d.Hypervisor)
		default:
			return &fault.Error{
				Kind: fault.Invalid, Where: fault.Place{Hypervisor: d.Hypervisor, Worker: w.name},
				Why: fmt.Sprintf("the pool %s has another worker, %s, but the pool of a gpuworker_vm has only one", w.pool.Name, other),
				Fix: "leave pool out, or declare the whole pool with gpuworker_pool",
			}
		}
	}
	return nil
}

// otherCard is the error for a worker whose VM has another card than its configuration
// asks for.
func (w *vm) otherCard(mine *engine.Decided, hypervisor string) error {
	has := "no card"
	if !mine.Card.IsZero() {
		has = "card " + mine.Card.String()
	}
	wanted := "another card"
	if len(w.pool.Spec.GPUs) == 0 {
		wanted = "none"
	}
	uuid := "UUID"
	if mine.Ref != nil {
		uuid = mine.Ref.UUID
	}
	return &fault.Error{
		Kind: fault.Refused, Where: fault.Place{Hypervisor: hypervisor, Worker: w.name},
		Why: fmt.Sprintf("the VM of the worker has %s, the configuration asks for %s; a worker keeps its card as long as its VM exists", has, wanted),
		Fix: fmt.Sprintf("undo the change of gpu; or destroy the VM first, and its disks with it: apply allow_destroy_uuid = %q, remove the resource, apply, and declare it again", uuid),
	}
}

// of finds the worker in a decision. The first entry is the worker, others with its name
// are further VMs.
func (w *vm) of(d engine.Decision) *engine.Decided {
	for i := range d.Workers {
		if d.Workers[i].Name == w.name {
			return &d.Workers[i]
		}
	}
	return nil
}

// accept refuses a decision that is not the one that the plan has shown.
func (w *vm) accept(d engine.Decision) error {
	seen := w.of(d)
	if err := w.alone(d); err != nil {
		return err
	}
	if seen == nil {
		return errNotDecided
	}
	if w.Text("origin") == originMade && w.uuid == "" && seen.Ref != nil {
		return worker.Changed(fault.Place{Hypervisor: d.Hypervisor, Worker: w.name}, "the VM exists already, which the plan did not show")
	}
	shown := worker.Shown{Values: worker.ValuesOf(w.Object), Drift: w.Texts("drift")}
	return shown.Accept(seen, d.Hypervisor)
}

// acceptDelete refuses to destroy another VM than the one in the state.
func (w *vm) acceptDelete(plans engine.Plans) error {
	for _, p := range plans.Plans {
		for one := range p.Workers() {
			switch {
			case one.Name != w.name:
			case one.Action == plan.Refuse:
				return worker.Refusal(&engine.Decided{Worker: *one})
			case one.Ref != nil && one.Ref.UUID != w.uuid:
				return w.anotherVM(p.Hypervisor, one.Ref.UUID)
			case one.Ref != nil && worker.IsPermanent(one.Record): // whatever the state says
				return w.allows(one.Ref.UUID)
			}
		}
	}
	return nil
}

// anotherVM is the error for a worker that is not the VM of the state.
func (w *vm) anotherVM(hypervisor, uuid string) error {
	was := "the VM of the state, whose UUID is not known"
	if w.uuid != "" {
		was = "VM " + w.uuid + " of the state"
	}
	return &fault.Error{
		Kind: fault.Conflict, Where: fault.Place{Hypervisor: hypervisor, Worker: w.name},
		Why: fmt.Sprintf("the worker is VM %s now, not %s; nothing was destroyed", uuid, was),
		Fix: "run terraform plan again; a semi-persistent worker needs allow_destroy_uuid of the new VM",
	}
}

// mayBeDestroyed returns an error when the state says that the worker is semi-persistent
// and does not allow to destroy this VM.
func (w *vm) mayBeDestroyed(uuid string) error {
	if !w.semiPersistent() {
		return nil
	}
	return w.allows(uuid)
}

// allows returns an error when the state does not allow to destroy this VM.
func (w *vm) allows(uuid string) error {
	if uuid != "" && w.allowDestroy == uuid {
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
	worker.Values
	attachment, reason, origin string
	drift                      []string
}

// How a VM came into the state. A plan shows it, and Terraform stops when the plan that it
// makes again during an apply shows something else. So with create_before_destroy the old
// VM is not taken for the new one, and then destroyed.
const (
	originMade  = "Made"  // by this resource
	originTaken = "Taken" // it existed, and was proven to be the worker
)

// observed are the computed values of what was observed.
func observed(seen *engine.Decided, addresses []string) values {
	return values{worker.Observed(seen, addresses), engine.AttachmentOf(seen.VM), seen.Reason, "", worker.Drift(seen.Changes)}
}

// with returns the value of Terraform with other computed values.
func (w *vm) with(v values) tftypes.Value {
	attributes := v.Attributes()
	maps.Copy(attributes, map[string]tftypes.Value{
		"id": worker.Text(w.id()), "pool": worker.Text(w.pool.Name), "attachment": worker.Text(v.attachment), "reason": worker.Text(v.reason), "origin": worker.Text(v.origin), "drift": worker.List(v.drift),
	})
	for _, name := range v.Unknown {
		attributes[name] = w.Unknown(name)
	}
	return w.With(attributes)
}

// fill returns the planned value with the computed values that the plan left unknown. The
// others are as planned: Terraform demands this, and accept has checked it.
func (w *vm) fill(v values) tftypes.Value {
	var all map[string]tftypes.Value
	_ = w.with(v).As(&all) // it was made from such a map
	all = maps.Clone(all)
	for name := range computed() {
		if w.Attributes[name].IsFullyKnown() {
			all[name] = w.Attributes[name]
		}
	}
	for _, name := range []string{"pool", "host"} {
		if w.Attributes[name].IsKnown() {
			all[name] = w.Attributes[name]
		}
	}
	return tftypes.NewValue(w.Raw.Type(), all)
}

// attributeOf finds the attribute of a field of the document, and the name of the field in
// Terraform. The attribute is always one of the resource itself: Terraform finds no line
// for a nested one.
func attributeOf(field string) (at path.Path, name string) {
	switch {
	case strings.HasPrefix(field, "metadata.name"), strings.HasPrefix(field, "names"):
		name = "name"
	case strings.HasPrefix(field, "hosts"), field == "gpus[0].host":
		name = "host"
	case strings.HasPrefix(field, "gpus[0]"):
		name = spec.Path("gpu" + strings.TrimPrefix(field, "gpus[0]")).String()
	case field == "", field == "replicas", field == "hypervisor":
		return path.Empty(), field
	default:
		name = spec.Path(field).String()
	}
	root, _, _ := strings.Cut(name, ".")
	root, _, _ = strings.Cut(root, "[")
	return path.Root(root), name
}

// why says why the engine does not know the VM of a worker.
func why(seen *engine.Decided) string {
	if len(seen.Refusals) > 0 {
		return diags.Finding(seen.Refusals[0])
	}
	return seen.Reason
}
