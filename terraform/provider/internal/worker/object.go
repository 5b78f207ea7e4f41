// Package worker has what all resources with workers share: the computed attributes of a
// worker, and the comparison of what is done with what the plan has shown.
package worker

import (
	"maps"

	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
)

// Object is an object of Terraform: a configuration, a plan, a state, or a part of one.
type Object struct {
	Raw        tftypes.Value
	Attributes map[string]tftypes.Value
}

// ObjectOf reads an object.
func ObjectOf(raw tftypes.Value) (Object, error) {
	o := Object{Raw: raw, Attributes: map[string]tftypes.Value{}}
	err := raw.As(&o.Attributes)
	return o, err
}

// Text is an attribute; "" when it is null or unknown.
func (o Object) Text(name string) string {
	text := ""
	if value := o.Attributes[name]; value.IsKnown() && !value.IsNull() {
		_ = value.As(&text) // the schema has the type
	}
	return text
}

// Texts is a list or a set of texts; nil when it is null or not known completely.
func (o Object) Texts(name string) []string {
	var items []tftypes.Value
	var texts []string
	if value := o.Attributes[name]; value.IsFullyKnown() && !value.IsNull() {
		_ = value.As(&items)
	}
	for _, item := range items {
		text := ""
		_ = item.As(&text)
		texts = append(texts, text)
	}
	return texts
}

// Yes reports whether an attribute is true.
func (o Object) Yes(name string) bool {
	yes := false
	if value := o.Attributes[name]; value.IsKnown() && !value.IsNull() {
		_ = value.As(&yes)
	}
	return yes
}

// With returns the object with other values of some attributes.
func (o Object) With(values map[string]tftypes.Value) tftypes.Value {
	attributes := maps.Clone(o.Attributes)
	maps.Copy(attributes, values)
	return tftypes.NewValue(o.Raw.Type(), attributes)
}

// Unknown is an unknown value of an attribute.
func (o Object) Unknown(name string) tftypes.Value {
	return tftypes.NewValue(o.Raw.Type().(tftypes.Object).AttributeTypes[name], tftypes.UnknownValue)
}

// Text is a text; null for "".
func Text(value string) tftypes.Value {
	if value == "" {
		return tftypes.NewValue(tftypes.String, nil)
	}
	return tftypes.NewValue(tftypes.String, value)
}

// List is a list of texts.
func List(texts []string) tftypes.Value {
	items := []tftypes.Value{}
	for _, one := range texts {
		items = append(items, tftypes.NewValue(tftypes.String, one))
	}
	return tftypes.NewValue(tftypes.List{ElementType: tftypes.String}, items)
}

// LifecycleOf is the lifecycle of a pool, with its default.
func LifecycleOf(pool *v1alpha1.WorkerPool) v1alpha1.Lifecycle {
	documents := v1alpha1.Documents{WorkerPools: []v1alpha1.WorkerPool{*pool}}
	v1alpha1.SetDefaults(&documents)
	return documents.WorkerPools[0].Spec.Lifecycle
}
