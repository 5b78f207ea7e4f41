package worker

import (
	"cmp"
	"maps"
	"math/big"
	"net/netip"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/status"
)

// States of a worker after an apply.
const (
	Running = string(status.Running)
	Parked  = string(status.Parked)
)

// Values are the computed attributes that each worker has.
type Values struct {
	Host, UUID, VM, Card, Model, State string

	Group     int // IOMMU group of the card; pci.NoGroup when it is not known
	Addresses []string

	Unknown []string // attributes that are not known yet
}

// Attributes that are known only after a VM is made, and those that depend on its place.
var (
	ofNewVM = []string{"uuid", "vm_id", "addresses", "ip_address"}
	ofPlace = []string{"host", "card", "model", "iommu_group"}
	ofGuest = []string{"addresses", "ip_address"}
)

// Schema has the attributes of Values.
func Schema() map[string]schema.Attribute {
	text := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	return map[string]schema.Attribute{
		"host":        text("Host that runs the VM."),
		"uuid":        text("SMBIOS UUID of the VM. It proves which VM this is; `gpuworker replace` changes it."),
		"vm_id":       text("Identifier of the VM on the hypervisor, `9100`. Another VM can get it later."),
		"card":        text("The card, `pve1/0000:03:00.0`."),
		"model":       text("Model of the card, `Tesla T4`."),
		"iommu_group": schema.Int64Attribute{Computed: true, MarkdownDescription: "IOMMU group of the card on its host."},
		"addresses":   schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "Addresses of the guest, as reported by its agent."},
		"ip_address":  text("The first IPv4 address of the guest, else the first address."),
		"state":       text("`Running`, `Parked`, `Stopped`, `Incomplete` or `Cloning`."),
	}
}

// ObjectType is the type of an object with the attributes of Values.
var ObjectType = tftypes.Object{AttributeTypes: map[string]tftypes.Type{
	"host": tftypes.String, "uuid": tftypes.String, "vm_id": tftypes.String, "card": tftypes.String, "model": tftypes.String, "iommu_group": tftypes.Number,
	"addresses": tftypes.List{ElementType: tftypes.String}, "ip_address": tftypes.String, "state": tftypes.String,
}}

// Attributes are the values as attributes.
func (v Values) Attributes() map[string]tftypes.Value {
	attributes := map[string]tftypes.Value{
		"host": Text(v.Host), "uuid": Text(v.UUID), "vm_id": Text(v.VM), "card": Text(v.Card), "model": Text(v.Model), "state": Text(v.State),
		"addresses": List(v.Addresses), "ip_address": Text(preferred(v.Addresses)), "iommu_group": tftypes.NewValue(tftypes.Number, nil),
	}
	if v.Card != "" && v.Group != pci.NoGroup {
		attributes["iommu_group"] = tftypes.NewValue(tftypes.Number, v.Group)
	}
	for _, name := range v.Unknown {
		if kind, is := ObjectType.AttributeTypes[name]; is {
			attributes[name] = tftypes.NewValue(kind, tftypes.UnknownValue)
		}
	}
	return attributes
}

// ValuesOf reads the attributes of Values from an object that has them.
func ValuesOf(o Object) Values {
	v := Values{
		Host: o.Text("host"), UUID: o.Text("uuid"), VM: o.Text("vm_id"), Card: o.Text("card"), Model: o.Text("model"), State: o.Text("state"),
		Group: pci.NoGroup, Addresses: o.Texts("addresses"),
	}
	if group := o.Attributes["iommu_group"]; group.IsKnown() && !group.IsNull() {
		var number big.Float
		_ = group.As(&number) // the schema has the type
		n, _ := number.Int64()
		v.Group = int(n)
	}
	for name := range ObjectType.AttributeTypes {
		if !o.Attributes[name].IsFullyKnown() {
			v.Unknown = append(v.Unknown, name)
		}
	}
	return v
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

// Observed are the values of what was observed of a worker.
func Observed(seen *engine.Decided, addresses []string) Values {
	v := Values{
		Host: seen.Host, VM: seen.Worker.VM, Model: seen.Model, State: string(seen.State), Group: seen.Group, Addresses: addresses,
	}
	if !seen.Card.IsZero() {
		v.Card = seen.Card.String()
	}
	if seen.Ref != nil {
		v.Host, v.VM, v.UUID = seen.Ref.Host, seen.Ref.ID, seen.Ref.UUID
	}
	return v
}

// Fresh are the values of a VM that is not made yet. placed says whether host and card
// are certain.
func Fresh(seen *engine.Decided, placed bool) Values {
	v := Values{Group: pci.NoGroup}
	if placed {
		v = Observed(seen, nil)
	}
	v.UUID, v.VM, v.State, v.Unknown = "", "", Running, slices.Clone(ofNewVM)
	if !placed {
		v.Unknown = append(v.Unknown, ofPlace...)
	}
	return v
}

// AllUnknown are values of which nothing is known yet.
func AllUnknown() Values {
	return Values{Group: pci.NoGroup, Unknown: slices.Collect(maps.Keys(ObjectType.AttributeTypes))}
}

// Existing are the values of a VM after the work on it. addresses are the last known ones;
// the proof of a guest reads them again, so that Terraform plans a worker without it.
func Existing(seen *engine.Decided, addresses []string) Values {
	v := Observed(seen, addresses)
	if len(seen.Steps) > 0 && v.State != Parked {
		v.State = Running
	}
	if slices.Contains(seen.Steps, plan.StepStart) || slices.Contains(seen.Steps, plan.StepBootstrap) {
		v.Unknown = slices.Clone(ofGuest)
	}
	return v
}

// Fill sets the values that are still unknown after the work; the others stay as the plan
// has shown them. outcome is nil when nothing was to be done. ask returns the addresses of
// the guest.
func (v *Values) Fill(seen *engine.Decided, outcome *apply.Outcome, ask func() []string) {
	was, unknown := *v, v.Unknown
	*v = Observed(seen, nil)
	if outcome != nil {
		v.Host, v.VM, v.UUID, v.Addresses = cmp.Or(outcome.Host, v.Host), outcome.VM, outcome.UUID, outcome.Addresses
		if v.State != Parked {
			v.State = Running
		}
	}
	if v.Addresses == nil && slices.Contains(unknown, "addresses") {
		v.Addresses = ask()
	}
	for name, keep := range map[string]func(){
		"host": func() { v.Host = was.Host }, "uuid": func() { v.UUID = was.UUID }, "vm_id": func() { v.VM = was.VM },
		"card": func() { v.Card = was.Card }, "model": func() { v.Model = was.Model }, "iommu_group": func() { v.Group = was.Group },
		"addresses": func() { v.Addresses = was.Addresses }, "state": func() { v.State = was.State },
	} {
		if !slices.Contains(unknown, name) {
			keep()
		}
	}
}

// OutcomeOf is the outcome of the work on a worker; nil when nothing was to be done. A
// further VM of the worker that was destroyed is not the worker.
func OutcomeOf(outcomes []apply.Outcome, name string) *apply.Outcome {
	at := slices.IndexFunc(outcomes, func(o apply.Outcome) bool { return o.Worker == name && o.Action != plan.Destroy })
	if at < 0 {
		return nil
	}
	return &outcomes[at]
}
