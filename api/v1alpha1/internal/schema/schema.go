// Package schema generates the JSON Schema of the documents from their Go source:
// descriptions from doc comments, limits and defaults from kubebuilder markers, names and
// required fields from JSON tags. So each of these is written only once.
package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// Node is a part of a JSON Schema, draft 2020-12, with the keywords that are used here.
type Node struct {
	Schema      string           `json:"$schema,omitempty"`
	ID          string           `json:"$id,omitempty"`
	Title       string           `json:"title,omitempty"`
	Description string           `json:"description,omitempty"`
	Ref         string           `json:"$ref,omitempty"`
	Type        any              `json:"type,omitempty"` // a name, or a list of names
	Const       string           `json:"const,omitempty"`
	Enum        []string         `json:"enum,omitempty"`
	Default     any              `json:"default,omitempty"`
	Pattern     string           `json:"pattern,omitempty"`
	MaxLength   int              `json:"maxLength,omitempty"`
	Minimum     *int64           `json:"minimum,omitempty"`
	Maximum     *int64           `json:"maximum,omitempty"`
	Properties  map[string]*Node `json:"properties,omitempty"`
	Required    []string         `json:"required,omitempty"`
	Items       *Node            `json:"items,omitempty"`
	Additional  any              `json:"additionalProperties,omitempty"` // false, or a Node
	OneOf       []*Node          `json:"oneOf,omitempty"`
	Defs        map[string]*Node `json:"$defs,omitempty"`
}

const (
	// quantity is the pattern of an amount of bytes, "16Gi": the same as quantityForm in
	// package document.
	quantity = `^[0-9]{1,19}(\.[0-9]{1,6})?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$`
	// label is a DNS label, RFC 1123.
	label = `^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
)

// Generate makes the schema of the given kinds from the Go files in dir.
func Generate(dir, groupVersion string, kinds ...string) ([]byte, error) {
	types, err := parseTypes(dir)
	if err != nil {
		return nil, err
	}
	g := &generator{types: types, groupVersion: groupVersion, root: &Node{
		Schema:      "https://json-schema.org/draft/2020-12/schema",
		ID:          "https://" + groupVersion + "/schema.json",
		Title:       "gpuworker documents",
		Description: "One document of " + groupVersion + ", of kind " + strings.Join(kinds, " or ") + ".",
		Defs:        map[string]*Node{"Metadata": metadata()},
	}}
	for _, kind := range kinds {
		g.root.OneOf = append(g.root.OneOf, g.reference(kind))
	}
	if len(g.problems) > 0 {
		return nil, fmt.Errorf("schema of %s: %s", dir, strings.Join(g.problems, "; "))
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(g.root); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// metadata is the part of metav1.ObjectMeta that a person writes.
func metadata() *Node {
	texts := &Node{Type: "object", Additional: &Node{Type: "string"}}
	return &Node{
		Type: "object", Required: []string{"name"}, Additional: false,
		Description: "The name of the document, and notes about it.",
		Properties: map[string]*Node{
			"name":        {Type: "string", Pattern: label, MaxLength: 63, Description: "The name by which other documents refer to this one. The names of a pool's workers, VMs and KubeNodes usually begin with it. Lower-case letters, digits and hyphens."},
			"namespace":   {Type: "string", Description: "The Kubernetes namespace. The command line ignores it."},
			"labels":      texts,
			"annotations": texts,
		},
	}
}

// parseTypes returns the type declarations in dir by name, with their docs.
func parseTypes(dir string) (map[string]*ast.TypeSpec, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	types := make(map[string]*ast.TypeSpec)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, declaration := range file.Decls {
			general, ok := declaration.(*ast.GenDecl)
			if !ok || general.Tok != token.TYPE {
				continue
			}
			for _, spec := range general.Specs {
				t := spec.(*ast.TypeSpec)
				if t.Doc == nil {
					t.Doc = general.Doc
				}
				types[t.Name.Name] = t
			}
		}
	}
	return types, nil
}

type generator struct {
	types        map[string]*ast.TypeSpec
	groupVersion string
	root         *Node
	problems     []string
}

func (g *generator) problemf(format string, args ...any) {
	g.problems = append(g.problems, fmt.Sprintf(format, args...))
}

// reference returns a reference to the definition of a struct, and adds the definition on
// first use.
func (g *generator) reference(name string) *Node {
	ref := &Node{Ref: "#/$defs/" + name}
	if g.root.Defs[name] != nil {
		return ref
	}
	spec, ok := g.types[name]
	if !ok {
		g.problemf("there is no type %s", name)
		return ref
	}
	structure, ok := spec.Type.(*ast.StructType)
	if !ok {
		g.problemf("%s is not a struct", name)
		return ref
	}
	definition := &Node{Type: "object", Properties: make(map[string]*Node), Additional: false}
	definition.Description, _ = describe(spec.Doc)
	g.root.Defs[name] = definition
	for _, f := range structure.Fields.List {
		g.addField(name, definition, f)
	}
	return ref
}

func (g *generator) addField(owner string, definition *Node, f *ast.Field) {
	typeName := typeText(f.Type)
	tag := ""
	if f.Tag != nil {
		tag = reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json")
	}
	name, options, _ := strings.Cut(tag, ",")
	switch {
	case typeName == "metav1.TypeMeta":
		definition.Properties["apiVersion"] = &Node{Const: g.groupVersion, Description: "The version of this format."}
		definition.Properties["kind"] = &Node{Const: owner, Description: "The kind of the document."}
		definition.Required = append(definition.Required, "apiVersion", "kind")
		return
	case name == "" || name == "-":
		g.problemf("%s: a field of type %s has no name in JSON", owner, typeName)
		return
	}
	node := g.typeOf(f.Type)
	description, markers := describe(f.Doc)
	if description != "" {
		node.Description = description
	}
	if description == "" && typeName != "metav1.ObjectMeta" && name != "spec" {
		g.problemf("%s.%s has no doc comment", owner, name)
	}
	g.mark(node, owner+"."+name, markers)
	definition.Properties[name] = node
	if !strings.Contains(options, "omit") { // omitempty or omitzero: the field is optional
		definition.Required = append(definition.Required, name)
		slices.Sort(definition.Required)
	}
}

func (g *generator) typeOf(expr ast.Expr) *Node {
	switch t := expr.(type) {
	case *ast.StarExpr:
		return g.typeOf(t.X)
	case *ast.ArrayType:
		return &Node{Type: "array", Items: g.typeOf(t.Elt)}
	case *ast.MapType:
		return &Node{Type: "object", Additional: g.typeOf(t.Value)}
	}
	switch name := typeText(expr); name {
	case "string":
		return &Node{Type: "string"}
	case "bool":
		return &Node{Type: "boolean"}
	case "int", "int32", "int64":
		return &Node{Type: "integer"}
	case "resource.Quantity":
		return &Node{Type: []string{"string", "integer"}, Pattern: quantity}
	case "metav1.ObjectMeta":
		return &Node{Ref: "#/$defs/Metadata"}
	default:
		if spec, ok := g.types[name]; ok {
			if base, ok := spec.Type.(*ast.Ident); ok { // a named string or number, such as Lifecycle
				return g.typeOf(base)
			}
		}
		return g.reference(name)
	}
}

// typeText returns the name of a type, "string" or "metav1.ObjectMeta"; for a type
// without a name, the kind of its syntax node.
func typeText(expr ast.Expr) string {
	switch t := expr.(type) {
	case *ast.Ident:
		return t.Name
	case *ast.SelectorExpr:
		return typeText(t.X) + "." + t.Sel.Name
	}
	return fmt.Sprintf("%T", expr)
}
