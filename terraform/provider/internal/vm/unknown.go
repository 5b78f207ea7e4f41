package vm

import (
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/worker"
)

// Plans with values that are known only after the apply of other resources. The engine
// decides as if they were not configured, so not all that it decides is certain.

// keyKnown reports whether it is known which worker this is.
func (w *vm) keyKnown() bool {
	return w.name != "" && w.Attributes["pool"].IsKnown() && w.Attributes["kube_cluster"].IsKnown() && w.Attributes["gpu"].IsKnown()
}

// isKnown reports whether an attribute is known with all its parts; nested ones are
// written machine.firmware.
func (w *vm) isKnown(name string) bool {
	root, inner, _ := strings.Cut(name, ".")
	value := w.Attributes[root]
	for inner != "" && value.IsKnown() && !value.IsNull() {
		var fields map[string]tftypes.Value
		if value.As(&fields) != nil {
			break
		}
		root, inner, _ = strings.Cut(inner, ".")
		value = fields[root]
	}
	return value.IsFullyKnown()
}

// certain are the findings that are not about a value that is not known yet.
func (w *vm) certain(findings []finding.Finding) []finding.Finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f finding.Finding) bool {
		field, is := worker.FieldOf(f)
		if !is {
			return false
		}
		_, name := attributeOf(field)
		return !w.isKnown(name)
	})
}

// undecided is the origin of a worker about which nothing can be decided before all values
// are known; "" when it can be decided.
func (p *planner) undecided() string {
	switch {
	case !p.unknown:
	case p.seen.Action == plan.Refuse && len(p.certain(p.seen.Refusals)) == 0:
		return originMade
	case p.seen.VM != nil && p.seen.Action != plan.Refuse && p.seen.Action != plan.Wait:
		return originTaken // whether it differs is decided later
	}
	return ""
}

// undecided are the values of a worker about which nothing is decided yet.
func undecided(origin string) values {
	v := values{Values: worker.AllUnknown(), origin: origin, drift: []string{}}
	v.Unknown = append(v.Unknown, "reason", "attachment")
	if origin == originTaken {
		v.Unknown = append(v.Unknown, "drift")
	}
	return v
}

// planAs plans these computed values. What is configured stays as configured, also when it
// is not known yet.
func (w *vm) planAs(v values, response *resource.ModifyPlanResponse) {
	target, err := vmOf(response.Plan.Raw)
	if err != nil {
		diags.AddError(&response.Diagnostics, "The plan of the worker cannot be read", err, attributeOf)
		return
	}
	target.pool.Name = w.pool.Name
	planned, err := worker.ObjectOf(target.with(v))
	if host := w.Attributes["host"]; err == nil && !host.IsNull() {
		planned.Raw = planned.With(map[string]tftypes.Value{"host": host})
	}
	response.Plan.Raw = planned.Raw
}
