package worker

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/spec"
)

// Drift writes changes as texts.
func Drift(all []plan.Change) []string {
	texts := []string{}
	for _, c := range all {
		texts = append(texts, c.String())
	}
	return texts
}

// Remaining are the changes that stay after the work: they wait for a person.
func Remaining(seen *engine.Decided) []string {
	return Drift(slices.DeleteFunc(slices.Clone(seen.Changes), func(c plan.Change) bool { return !IsHeld(seen, c) }))
}

// IsHeld reports whether a change waits for a person, as the engine decided.
func IsHeld(seen *engine.Decided, c plan.Change) bool {
	switch c.When {
	case plan.NeedsRemake:
		return seen.Action != plan.Replace && seen.Action != plan.Create
	case plan.NeedsStop:
		return seen.Action == plan.Hold || seen.Action == plan.Update || seen.Action == plan.Keep
	case plan.Live, plan.NextBoot:
	}
	return seen.Action == plan.Hold
}

// Changes writes the changes of a decision in one line.
func Changes(seen *engine.Decided) string {
	if len(seen.Changes) == 0 {
		return seen.Reason
	}
	return strings.Join(Drift(seen.Changes), "; ")
}

// Cause is the attribute of a change; empty when it is not in the configuration.
func (o Object) Cause(c plan.Change) path.Path {
	root := spec.Snake(strings.FieldsFunc(c.Field, func(r rune) bool { return r == '.' || r == '[' })[0])
	if value, is := o.Attributes[root]; !is || value.IsNull() {
		return path.Empty()
	}
	return path.Root(root)
}

// fields are the fields of a WorkerPool that findings are about.
var fields = map[finding.ID]string{
	finding.TemplateMissing: "template", finding.TemplateAmbiguous: "template", finding.TemplateNoCloudInit: "template", finding.TemplateHasCard: "template",
	finding.TemplateNoDisk: "template", finding.StorageMissing: "machine", finding.StorageContent: "machine", finding.StorageFull: "machine",
	finding.StorageLocal: "machine", finding.BridgeMissing: "networks", finding.BridgeNotAware: "networks", finding.MemoryShort: "machine",
	finding.CPUShort: "machine", finding.AddressShort: "networks", finding.CardNoMatch: "gpus", finding.HostUnknown: "hosts", finding.VMNameTaken: "names",
}

// FieldOf is the field of a WorkerPool that a finding is about, if it is about one.
func FieldOf(f finding.Finding) (field string, is bool) {
	field, is = fields[f.ID]
	return field, is
}

// Shown is what the plan has shown for a worker.
type Shown struct {
	Values
	Replaces string   // UUID of the VM that is replaced; "" for none
	Drift    []string // changes that wait for a person
}

// Accept refuses a decision for a worker that is not the one that the plan has shown.
func (s *Shown) Accept(seen *engine.Decided, hypervisor string) error {
	where := fault.Place{Hypervisor: hypervisor, Worker: seen.Name}
	known := func(name string) bool { return !slices.Contains(s.Unknown, name) }
	uuid := ""
	if seen.Ref != nil {
		uuid = seen.Ref.UUID
	}
	differs := func(name, shown, now string) bool { return known(name) && shown != "" && shown != now }
	switch {
	case seen.Action == plan.Refuse:
		return Refusal(seen)
	case seen.Action == plan.Wait && seen.Awaits == nil:
		return &fault.Error{Kind: fault.Busy, Where: where, Why: seen.Reason, Fix: seen.Hint}
	case seen.Action == plan.Destroy, seen.Action == plan.Replace && (known("uuid") || uuid != s.Replaces):
		return Changed(where, "the VM would be destroyed, which the plan did not show: "+Changes(seen))
	case differs("uuid", s.UUID, uuid):
		return Changed(where, fmt.Sprintf("VM %s of the plan is not there any more", s.UUID))
	case differs("card", s.Card, seen.Card.String()):
		return Changed(where, fmt.Sprintf("the card would be %s, but the plan has shown %s", seen.Card, s.Card))
	case differs("host", s.Host, seen.Host):
		return Changed(where, fmt.Sprintf("the host would be %s, but the plan has shown %s", seen.Host, s.Host))
	}
	for _, change := range Remaining(seen) {
		if !slices.Contains(s.Drift, change) {
			return Changed(where, "this change waits for a person, which the plan did not show: "+change)
		}
	}
	return nil
}

// Changed is the error for a world that is not as the plan has shown it.
func Changed(where fault.Place, why string) error {
	return &fault.Error{Kind: fault.Conflict, Where: where, Why: why + "; nothing was done", Fix: "run terraform plan again, and look at the new plan"}
}

// Refusal is the error for a refused worker.
func Refusal(seen *engine.Decided) error {
	return &fault.Error{Kind: fault.Refused, Where: fault.Place{Worker: seen.Name}, Why: diags.Finding(seen.Refusals[0])}
}

// IsPermanent reports whether the record of a VM says that only a person may destroy it.
func IsPermanent(record *inventory.Record) bool {
	return record == nil || record.Lifecycle != string(v1alpha1.Ephemeral)
}
