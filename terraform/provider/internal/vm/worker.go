package vm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/internal/status"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/spec"
)

const running, parked = string(status.Running), string(status.Parked)

var errNotDecided = errors.New("the engine decided nothing for this worker; this is a bug")

// worker is the worker of one resource: a value of Terraform and the document that it
// stands for.
type worker struct {
	raw        tftypes.Value
	attributes map[string]tftypes.Value
	pool       v1alpha1.WorkerPool
	unknown    bool // a part of the document is not known yet

	name, uuid, allowDestroy string
	allowRestart             bool
	addresses                []string
}

// workerOf reads a configuration, a plan or a state.
func workerOf(raw tftypes.Value) (*worker, error) {
	w := &worker{raw: raw, attributes: map[string]tftypes.Value{}}
	if err := raw.As(&w.attributes); err != nil {
		return nil, err
	}
	w.name, w.uuid, w.allowDestroy = w.text("name"), w.text("uuid"), w.text("allow_destroy_uuid")
	if allow := w.attributes["allow_restart"]; allow.IsKnown() && !allow.IsNull() {
		_ = allow.As(&w.allowRestart)
	}
	w.addresses = w.texts("addresses")
	fields, unknown, err := spec.Document(raw, own...)
	if err != nil {
		return nil, err
	}
	w.unknown = unknown || !w.attributes["name"].IsKnown() || !w.attributes["gpu"].IsFullyKnown()
	fields["names"] = []any{w.name}
	host := w.text("host")
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
	w.pool.Name = w.text("pool")
	if w.pool.Name == "" {
		w.pool.Name = w.name
	}
	return w, nil
}

// card are the fields of gpu; nil without a card.
func (w *worker) card() (fields map[string]any, unknown bool, err error) {
	gpu := w.attributes["gpu"]
	if !gpu.IsKnown() || gpu.IsNull() {
		return nil, !gpu.IsKnown(), nil
	}
	return spec.Document(gpu)
}

// text is an attribute; "" when it is null or unknown.
func (w *worker) text(name string) string {
	text := ""
	if value := w.attributes[name]; value.IsKnown() && !value.IsNull() {
		_ = value.As(&text)
	}
	return text
}

func (w *worker) texts(name string) []string {
	var items []tftypes.Value
	var texts []string
	if value := w.attributes[name]; value.IsFullyKnown() && !value.IsNull() {
		_ = value.As(&items)
	}
	for _, item := range items {
		text := ""
		_ = item.As(&text)
		texts = append(texts, text)
	}
	return texts
}

// document is a copy of the document, for the engine.
func (w *worker) document() *v1alpha1.WorkerPool {
	again, err := workerOf(w.raw)
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

// lifecycle is the lifecycle, with its default.
func (w *worker) lifecycle() string {
	documents := v1alpha1.Documents{WorkerPools: []v1alpha1.WorkerPool{*w.document()}}
	v1alpha1.SetDefaults(&documents)
	return string(documents.WorkerPools[0].Spec.Lifecycle)
}

func (w *worker) semiPersistent() bool { return w.lifecycle() != string(v1alpha1.Ephemeral) }

// decide returns what the engine decides for the worker, what was observed of it, and
// warnings about the document.
func (w *worker) decide(ctx context.Context, s *engine.Session) (*engine.Decided, []v1alpha1.Problem, error) {
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
func (w *worker) alone(d engine.Decision) error {
	for i := range d.Workers {
		if other := d.Workers[i].Name; other != w.name {
			return &fault.Error{
				Kind: fault.Invalid, Where: fault.Place{Hypervisor: d.Hypervisor, Worker: w.name},
				Why: fmt.Sprintf("the pool %s has another worker, %s, but the pool of a gpuworker_vm has only one", w.pool.Name, other),
				Fix: "leave pool out, or declare the whole pool with gpuworker_pool",
			}
		}
	}
	return nil
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
	if err := w.alone(d); err != nil {
		return err
	}
	if seen == nil {
		return errNotDecided
	}
	where := fault.Place{Hypervisor: d.Hypervisor, Worker: w.name}
	changed := func(why string) error {
		return &fault.Error{Kind: fault.Conflict, Where: where, Why: why + "; nothing was done", Fix: "run terraform plan again, and look at the new plan"}
	}
	switch {
	case seen.Action == plan.Refuse:
		return refusal(seen)
	case seen.Action == plan.Hold, seen.Action == plan.Wait && seen.Awaits == nil:
		return &fault.Error{Kind: fault.Busy, Where: where, Why: seen.Reason, Fix: seen.Hint}
	case seen.Action == plan.Replace || seen.Action == plan.Destroy:
		return changed("the VM would be destroyed, which the plan did not show: " + changes(seen))
	case seen.Action == plan.Restart && w.semiPersistent() && !w.allowRestart:
		return changed("the VM would have to be restarted: " + changes(seen))
	case w.text("card") != "" && w.text("card") != seen.Card.String():
		return changed(fmt.Sprintf("the card would be %s, but the plan has shown %s", seen.Card, w.text("card")))
	case w.text("host") != "" && w.text("host") != seen.Host:
		return changed(fmt.Sprintf("the host would be %s, but the plan has shown %s", seen.Host, w.text("host")))
	}
	return nil
}

// refusal is the error for a refused worker.
func refusal(seen *engine.Decided) error {
	first := seen.Refusals[0]
	return &fault.Error{Kind: fault.Refused, Where: fault.Place{Worker: seen.Name}, Why: diags.Finding(first)}
}

// acceptDelete refuses to destroy another VM than the one in the state.
func (w *worker) acceptDelete(plans engine.Plans) error {
	for _, p := range plans.Plans {
		for one := range p.Workers() {
			switch {
			case one.Name != w.name:
			case one.Action == plan.Refuse:
				return refusal(&engine.Decided{Worker: *one})
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
	host, uuid, vm, card, attachment, model, state, reason string
	group                                                  int
	addresses, drift                                       []string

	unknown []string // attributes that are not known yet
}

// observed are the computed values of what was observed.
func observed(seen *engine.Decided, addresses []string) values {
	v := values{
		host: seen.Host, vm: seen.Worker.VM, model: seen.Model, state: string(seen.State), reason: seen.Reason, group: seen.Group,
		addresses: addresses, drift: drift(seen.Changes), attachment: engine.AttachmentOf(seen.VM),
	}
	if !seen.Card.IsZero() {
		v.card = seen.Card.String()
	}
	if seen.Ref != nil {
		v.host, v.vm, v.uuid = seen.Ref.Host, seen.Ref.ID, seen.Ref.UUID
	}
	return v
}

// drift writes changes as texts.
func drift(all []plan.Change) []string {
	texts := []string{}
	for _, c := range all {
		texts = append(texts, c.String())
	}
	return texts
}

// remaining are the changes that stay after the work: they wait for a person.
func remaining(seen *engine.Decided) []string {
	texts := []string{}
	for _, c := range seen.Changes {
		if held(seen, c) {
			texts = append(texts, c.String())
		}
	}
	return texts
}

// held reports whether a change waits for a person, as the engine decided.
func held(seen *engine.Decided, c plan.Change) bool {
	switch c.When {
	case plan.NeedsRemake:
		return seen.Action != plan.Replace && seen.Action != plan.Create
	case plan.NeedsStop:
		return seen.Action == plan.Hold || seen.Action == plan.Update || seen.Action == plan.Keep
	case plan.Live, plan.NextBoot:
	}
	return seen.Action == plan.Hold
}

// with returns the value of Terraform with other computed values.
func (w *worker) with(v values) tftypes.Value {
	attributes := maps.Clone(w.attributes)
	set := func(name string, value tftypes.Value) { attributes[name] = value }
	set("id", text(w.id()))
	set("pool", text(w.pool.Name))
	set("host", text(v.host))
	set("uuid", text(v.uuid))
	set("vm_id", text(v.vm))
	set("card", text(v.card))
	set("attachment", text(v.attachment))
	set("model", text(v.model))
	set("state", text(v.state))
	set("reason", text(v.reason))
	set("addresses", listOf(v.addresses))
	set("ip_address", text(preferred(v.addresses)))
	set("drift", listOf(v.drift))
	if v.card != "" && v.group != pci.NoGroup {
		set("iommu_group", tftypes.NewValue(tftypes.Number, v.group))
	} else {
		set("iommu_group", tftypes.NewValue(tftypes.Number, nil))
	}
	for _, name := range v.unknown {
		set(name, tftypes.NewValue(w.raw.Type().(tftypes.Object).AttributeTypes[name], tftypes.UnknownValue))
	}
	return tftypes.NewValue(w.raw.Type(), attributes)
}

// fill returns the planned value with the computed values that the plan left unknown. The
// others are as planned: Terraform demands this, and accept has checked it.
func (w *worker) fill(v values) tftypes.Value {
	var all map[string]tftypes.Value
	_ = w.with(v).As(&all) // it was made from such a map
	all = maps.Clone(all)
	for name := range computed() {
		if w.attributes[name].IsFullyKnown() {
			all[name] = w.attributes[name]
		}
	}
	for _, name := range []string{"pool", "host"} {
		if w.attributes[name].IsKnown() {
			all[name] = w.attributes[name]
		}
	}
	return tftypes.NewValue(w.raw.Type(), all)
}

// text is a text; null for "".
func text(value string) tftypes.Value {
	if value == "" {
		return tftypes.NewValue(tftypes.String, nil)
	}
	return tftypes.NewValue(tftypes.String, value)
}

func listOf(texts []string) tftypes.Value {
	items := []tftypes.Value{}
	for _, one := range texts {
		items = append(items, tftypes.NewValue(tftypes.String, one))
	}
	return tftypes.NewValue(tftypes.List{ElementType: tftypes.String}, items)
}

// preferred is the first IPv4 address, else the first address.
func preferred(addresses []string) string {
	at := slices.IndexFunc(addresses, func(text string) bool {
		address, err := netip.ParseAddr(text)
		return err == nil && address.Is4()
	})
	if len(addresses) == 0 {
		return ""
	}
	return addresses[max(at, 0)]
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

// changes writes the changes of a decision in one line.
func changes(seen *engine.Decided) string {
	text := ""
	for i, c := range seen.Changes {
		if i > 0 {
			text += "; "
		}
		text += c.String()
	}
	if text == "" {
		return seen.Reason
	}
	return text
}

// why says why the engine does not know the VM of a worker.
func why(seen *engine.Decided) string {
	if len(seen.Refusals) > 0 {
		return diags.Finding(seen.Refusals[0])
	}
	return seen.Reason
}
