// Package spec makes Terraform attributes of the documents of gpuworker, and converts
// values between the two. The JSON Schema of the documents is the only source: names,
// types and descriptions are those of the documents, in snake case.
package spec

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
)

// node is a part of the JSON Schema.
type node struct {
	Ref         string           `json:"$ref"`
	Description string           `json:"description"`
	Type        any              `json:"type"` // a text or a list of texts
	Properties  map[string]*node `json:"properties"`
	Required    []string         `json:"required"`
	Items       *node            `json:"items"`
	Pattern     string           `json:"pattern"` // only quantities have one
	// Values are the values of a map. The schema has false here for an object.
	Values json.RawMessage `json:"additionalProperties"`
}

// definitions are the types of the documents, by name.
var definitions = sync.OnceValue(func() map[string]*node {
	var all struct {
		Defs map[string]*node `json:"$defs"`
	}
	if err := json.Unmarshal(v1alpha1.Schema(), &all); err != nil {
		panic("the JSON Schema of the documents: " + err.Error())
	}
	return all.Defs
})

// Attributes returns the attributes for a type of the documents, such as WorkerPoolSpec,
// except some of its fields.
func Attributes(name string, except ...string) map[string]schema.Attribute {
	definition := definitions()[name]
	if definition == nil {
		panic("the documents have no type " + name)
	}
	attributes := map[string]schema.Attribute{}
	for field, property := range definition.Properties {
		if !slices.Contains(except, field) {
			attributes[Snake(field)] = attribute(property, slices.Contains(definition.Required, field))
		}
	}
	return attributes
}

// attribute makes the attribute of one field.
func attribute(n *node, required bool) schema.Attribute {
	description, optional := describe(n.Description), !required
	if n.Ref != "" {
		return schema.SingleNestedAttribute{
			MarkdownDescription: description, Required: required, Optional: optional, Attributes: Attributes(strings.TrimPrefix(n.Ref, "#/$defs/")),
		}
	}
	switch kind := n.kind(); {
	case kind == "array" && n.Items.Ref != "":
		return schema.ListNestedAttribute{
			MarkdownDescription: description, Required: required, Optional: optional,
			NestedObject: schema.NestedAttributeObject{Attributes: Attributes(strings.TrimPrefix(n.Items.Ref, "#/$defs/"))},
		}
	case kind == "array":
		return schema.ListAttribute{MarkdownDescription: description, Required: required, Optional: optional, ElementType: elementOf(n.Items)}
	case kind == "object":
		var values node
		if err := json.Unmarshal(n.Values, &values); err != nil {
			panic("the JSON Schema of the documents: " + err.Error())
		}
		return schema.MapAttribute{MarkdownDescription: description, Required: required, Optional: optional, ElementType: elementOf(&values)}
	case kind == "integer":
		return schema.Int64Attribute{MarkdownDescription: description, Required: required, Optional: optional}
	case kind == "boolean":
		return schema.BoolAttribute{MarkdownDescription: description, Required: required, Optional: optional}
	}
	text := schema.StringAttribute{MarkdownDescription: description, Required: required, Optional: optional}
	if n.Pattern != "" {
		text.Validators = []validator.String{quantity{regexp.MustCompile(n.Pattern)}}
	}
	return text
}

// quantity checks the form of a quantity. The documents check its value.
type quantity struct{ form *regexp.Regexp }

// Description implements validator.String.
func (quantity) Description(context.Context) string { return "a quantity such as 40Gi" }

// MarkdownDescription implements validator.String.
func (q quantity) MarkdownDescription(ctx context.Context) string { return q.Description(ctx) }

// ValidateString implements validator.String.
func (q quantity) ValidateString(_ context.Context, request validator.StringRequest, response *validator.StringResponse) {
	if text := request.ConfigValue; !text.IsNull() && !text.IsUnknown() && !q.form.MatchString(text.ValueString()) {
		root, _, _ := strings.Cut(request.Path.String(), ".")
		response.Diagnostics.AddAttributeError(path.Root(root), "The configuration is not valid", fmt.Sprintf(
			"%s: %q is not a quantity; write a number with a unit, for example \"40Gi\"", request.Path, text.ValueString()))
	}
}

// kind is the JSON type. A quantity may be a text or a number; Terraform converts the
// number.
func (n *node) kind() string {
	if kind, one := n.Type.(string); one {
		return kind
	}
	return "string"
}

func elementOf(n *node) attr.Type {
	if n.kind() != "string" {
		panic(fmt.Sprintf("lists of %s are not needed yet", n.kind()))
	}
	return types.StringType
}

// describe writes the name of the field in a description as Terraform does: the
// descriptions begin with the Go name, "SSHKeys are …".
func describe(text string) string {
	first, rest, _ := strings.Cut(text, " ")
	return "`" + Snake(first) + "` " + rest
}

// Snake writes a name of the documents as Terraform does: sshKeys and SSHKeys are
// ssh_keys, xVGA is x_vga.
func Snake(name string) string {
	if special, is := specialNames[name]; is {
		return special
	}
	var out strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}

// specialNames are names with an abbreviation in the plural or in mixed case, and names
// that Terraform reserves.
var specialNames = map[string]string{
	"GPUs": "gpus", "MACs": "macs", "PCIe": "pcie", "VMIDs": "vmids", "XVGA": "x_vga",
	"disableNVLink": "disable_nvlink", "DisableNVLink": "disable_nvlink",
	"lifecycle": "worker_lifecycle", "Lifecycle": "worker_lifecycle",
}

// camel are the names of all fields of the documents, by their names in Terraform.
var camel = sync.OnceValue(func() map[string]string {
	names := map[string]string{}
	for _, definition := range definitions() {
		for field := range definition.Properties {
			names[Snake(field)] = field
		}
	}
	return names
})
