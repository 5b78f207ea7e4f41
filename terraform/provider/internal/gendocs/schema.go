package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
)

// object is an object of JSON.
type object = map[string]any

// providerName is the name under which tfplugindocs looks for the schema.
const providerName = "gpuworker"

// schemaOf is the schema of the provider, as `terraform providers schema -json` of a new
// Terraform writes it. A test compares it with that of the terraform that is installed.
func schemaOf(ctx context.Context, server tfprotov6.ProviderServer) ([]byte, error) {
	all, err := server.GetProviderSchema(ctx, &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		return nil, err
	}
	identities, err := server.GetResourceIdentitySchemas(ctx, &tfprotov6.GetResourceIdentitySchemasRequest{})
	if err != nil {
		return nil, err
	}
	for _, d := range append(all.Diagnostics, identities.Diagnostics...) {
		return nil, fmt.Errorf("the schema of the provider: %s: %s", d.Summary, d.Detail)
	}
	one := object{"provider": schema(all.Provider), "functions": each(all.Functions, signature)}
	for name, part := range map[string]object{
		"resource_schemas":           each(all.ResourceSchemas, schema),
		"data_source_schemas":        each(all.DataSourceSchemas, schema),
		"ephemeral_resource_schemas": each(all.EphemeralResourceSchemas, schema),
		"list_resource_schemas":      each(all.ListResourceSchemas, schema),
		"action_schemas":             each(all.ActionSchemas, action),
		"resource_identity_schemas":  each(identities.IdentitySchemas, identity),
	} {
		if len(part) > 0 {
			one[name] = part
		}
	}
	return json.MarshalIndent(object{"format_version": "1.0", "provider_schemas": object{providerName: one}}, "", "  ")
}

// each converts the values of a map.
func each[T any](all map[string]T, convert func(T) object) object {
	converted := object{}
	for name, one := range all {
		converted[name] = convert(one)
	}
	return converted
}

// action is the schema of an action, which has no version.
func action(a *tfprotov6.ActionSchema) object {
	converted := schema(a.Schema)
	delete(converted, "version")
	return converted
}

func schema(s *tfprotov6.Schema) object {
	if len(s.Block.BlockTypes) > 0 {
		panic("nested blocks are not needed yet: use nested attributes")
	}
	block := object{"attributes": attributes(s.Block.Attributes)}
	describe(block, s.Block.Description, s.Block.DescriptionKind)
	setFlags(block, map[string]bool{"deprecated": s.Block.Deprecated})
	return object{"version": s.Version, "block": block}
}

func attributes(all []*tfprotov6.SchemaAttribute) object {
	converted := object{}
	for _, a := range all {
		one := object{}
		if a.NestedType != nil {
			one["nested_type"] = object{"attributes": attributes(a.NestedType.Attributes), "nesting_mode": nesting(a.NestedType.Nesting)}
		} else {
			one["type"] = a.Type
		}
		describe(one, a.Description, a.DescriptionKind)
		setFlags(one, map[string]bool{
			"required": a.Required, "optional": a.Optional, "computed": a.Computed, "sensitive": a.Sensitive, "write_only": a.WriteOnly, "deprecated": a.Deprecated,
		})
		converted[a.Name] = one
	}
	return converted
}

// nesting is the name of a nesting mode.
func nesting(mode tfprotov6.SchemaObjectNestingMode) string {
	return map[tfprotov6.SchemaObjectNestingMode]string{
		tfprotov6.SchemaObjectNestingModeSingle: "single", tfprotov6.SchemaObjectNestingModeList: "list",
		tfprotov6.SchemaObjectNestingModeSet: "set", tfprotov6.SchemaObjectNestingModeMap: "map",
	}[mode]
}

func describe(to object, description string, kind tfprotov6.StringKind) {
	if description != "" {
		to["description"] = description
	}
	to["description_kind"] = "plain"
	if kind == tfprotov6.StringKindMarkdown && description != "" {
		to["description_kind"] = "markdown"
	}
}

func setFlags(to object, flags map[string]bool) {
	for name, set := range flags {
		if set {
			to[name] = true
		}
	}
}

func signature(f *tfprotov6.Function) object {
	one := object{"description": f.Description, "summary": f.Summary, "return_type": f.Return.Type}
	var parameters []object
	for _, p := range f.Parameters {
		parameters = append(parameters, parameter(p))
	}
	if len(parameters) > 0 {
		one["parameters"] = parameters
	}
	if f.VariadicParameter != nil {
		one["variadic_parameter"] = parameter(f.VariadicParameter)
	}
	return one
}

func parameter(p *tfprotov6.FunctionParameter) object {
	one := object{"name": p.Name, "description": p.Description, "type": p.Type}
	setFlags(one, map[string]bool{"is_nullable": p.AllowNullValue})
	return one
}

func identity(s *tfprotov6.ResourceIdentitySchema) object {
	converted := object{}
	for _, a := range s.IdentityAttributes {
		one := object{"type": a.Type, "description": a.Description}
		setFlags(one, map[string]bool{"required_for_import": a.RequiredForImport, "optional_for_import": a.OptionalForImport})
		converted[a.Name] = one
	}
	return object{"version": s.Version, "attributes": converted}
}
