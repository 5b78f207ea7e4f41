// Package document reads the documents of api/v1alpha1 strictly from YAML and JSON. It
// reports all problems at once, each with file, line and field. No message repeats text
// that is or may be a secret.
package document

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/closest"
	"github.com/gpuworker/gpuworker/internal/fieldpath"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// File is one YAML (or JSON) file of the operator, with any number of
// documents.
type File struct {
	Name string // as the operator named it; file names in the documents are relative to its folder
	Data []byte
}

// maxFileSize prevents that a wrong file (a disk image, a log) is parsed for minutes.
// Ten thousand pools are smaller.
const maxFileSize = 8 << 20

// Load reads documents, sets defaults, validates them, and makes the file names in them
// absolute. The error is of type Problems and contains the problems of all these steps.
func Load(files ...File) (d *v1alpha1.Documents, warnings Problems, err error) {
	s, problems := decode(files)
	v1alpha1.SetDefaults(&s.documents)
	warned, wrong := s.documents.Validate()
	warnings = s.located(warned)
	wrong = append(wrong, controllerOnly(&s.documents)...)
	if err := append(problems, s.located(wrong)...).orNil(); err != nil {
		return nil, warnings, err
	}
	s.absoluteFiles()
	return &s.documents, warnings, nil
}

// controllerOnly returns problems for references to Kubernetes Secrets: the command
// line has no Kubernetes API to read them from.
func controllerOnly(d *v1alpha1.Documents) []v1alpha1.Problem {
	var problems []v1alpha1.Problem
	for _, field := range d.SecretRefs() {
		problems = append(problems, v1alpha1.Problem{
			Field: field, Message: "only the controller reads Kubernetes Secrets, the command line does not; write env or file",
		})
	}
	return problems
}

// Decode reads all documents of the files strictly: an unknown field, a field
// written twice, a wrong type or an unknown kind is a problem, never ignored.
// The error is of type Problems and contains all of them.
func Decode(files ...File) (*v1alpha1.Documents, error) {
	s, problems := decode(files)
	if err := problems.orNil(); err != nil {
		return nil, err
	}
	return &s.documents, nil
}

// decode returns the documents that could be read together with the problems, so that
// Load can validate them too.
func decode(files []File) (*set, Problems) {
	s := &set{origins: make(map[documentKey]*origin)}
	var problems Problems
	for _, file := range files {
		r := &reader{set: s, file: file.Name, problems: &problems, fields: make(map[reflect.Type][]field)}
		r.readFile(file.Data)
	}
	if len(s.origins) == 0 && len(problems) == 0 {
		problem := Problem{Message: "no documents; write a Hypervisor and a WorkerPool (see examples/minimal.yaml)"}
		if len(files) == 1 {
			problem.File = files[0].Name
		}
		problems = append(problems, problem)
	}
	return s, problems
}

// readFile adds the documents of one file. Documents are parsed one by one: a syntax
// error in one does not hide the problems of the others.
func (r *reader) readFile(data []byte) {
	if len(data) > maxFileSize {
		r.set.incomplete = true
		r.problemf(0, "", "the file has %d bytes, more than the limit of %d MiB; is it the right file?", len(data), maxFileSize>>20)
		return
	}
	if line, message := unreadable(data); message != "" {
		r.set.incomplete = true
		r.problemf(line, "", "%s", message)
		return
	}
	for _, chunk := range split(data) {
		r.firstLine, r.object = chunk.line, ""
		parser := yaml.NewDecoder(bytes.NewReader(chunk.data))
		for {
			var node yaml.Node
			err := parser.Decode(&node)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				r.set.incomplete = true
				line, message := syntaxProblem(err, chunk.data)
				r.problemf(r.lineAt(line), "", "%s", message)
				break
			}
			r.readDocument(node.Content[0])
		}
	}
}

// readDocument adds one document, or all documents of a List. Empty ones are skipped.
func (r *reader) readDocument(node *yaml.Node) {
	r.object, r.suspects, r.budget = "", nil, maxAliased
	switch {
	case isNull(node):
	case scalarAt(node, "apiVersion") == "v1" && scalarAt(node, "kind") == kindList:
		r.readItems(node)
	default:
		r.readObject(node)
	}
}

// kindList is the Kubernetes kind for several objects in one, with apiVersion v1.
// kubectl get and gpuworker export write it as JSON.
const kindList = "List"

// readItems adds the documents of a List.
func (r *reader) readItems(node *yaml.Node) {
	r.object = kindList
	for _, e := range r.entries(node, "", func(name string) string { return name }) {
		switch {
		case slices.Contains([]string{"apiVersion", "kind", "metadata", "warnings"}, e.name): // gpuworker export writes warnings
		case e.name != "items":
			r.set.incomplete = true
			r.wrong(e.key, phrase.Plain(e.name), "is not a field of a List; it has items")
		case isNull(e.value):
		case e.value.Kind != yaml.SequenceNode:
			r.set.incomplete = true
			r.wrong(e.value, e.name, "want a list, got %s", noun(e.value))
		case slices.ContainsFunc(e.value.Content, func(n *yaml.Node) bool { return n.Kind == yaml.AliasNode }):
			r.set.incomplete = true
			r.wrong(e.value, e.name, "an item is an alias (*name); write it out")
		default:
			for _, document := range e.value.Content {
				r.readObject(document)
			}
		}
	}
}

// readObject adds one document that is not empty.
func (r *reader) readObject(node *yaml.Node) {
	r.object, r.lines, r.suspects, r.aliased = "", nil, nil, 0
	line := r.lineAt(node.Line)
	if node.Kind != yaml.MappingNode {
		r.set.incomplete = true
		r.problemf(line, "", "a document is a mapping that begins with apiVersion and kind, not %s", noun(node))
		return
	}
	kind := scalarAt(node, "kind")
	r.object = v1alpha1.ObjectName(kind, scalarAt(node, "metadata", "name"))
	into, key, ok := r.newDocument(node, kind)
	if !ok {
		r.set.incomplete = true
		return
	}
	r.lines, r.root = make(map[string]int), into.Type()
	r.read(into, node, "")
	r.set.origins[key] = &origin{file: r.file, line: line, lines: r.lines, suspects: r.suspects}
	if slices.ContainsFunc(r.suspects, func(path string) bool { return fieldpath.Within("metadata.name", path) }) {
		r.set.incomplete = true
	}
}

// newDocument appends an empty document of the kind, or reports what is wrong with kind
// or apiVersion.
func (r *reader) newDocument(node *yaml.Node, kind string) (into reflect.Value, key documentKey, ok bool) {
	version := scalarAt(node, "apiVersion")
	switch {
	case version == "":
		r.problemf(r.lineAt(node.Line), "apiVersion", "is missing; write %q", v1alpha1.GroupVersion)
		return into, key, false
	case version != v1alpha1.GroupVersion:
		r.problemf(r.lineAt(lineIn(node, "apiVersion")), "apiVersion", "%s is not known to this gpuworker; write %q", phrase.Quote(version), v1alpha1.GroupVersion)
		return into, key, false
	}
	switch kind {
	case v1alpha1.KindHypervisor:
		into, key.index = grow(&r.set.documents.Hypervisors)
	case v1alpha1.KindKubeCluster:
		into, key.index = grow(&r.set.documents.KubeClusters)
	case v1alpha1.KindWorkerPool:
		into, key.index = grow(&r.set.documents.WorkerPools)
	case "":
		r.problemf(r.lineAt(node.Line), "kind", "is missing; write %s", phrase.Or(kinds))
		return into, key, false
	default:
		hint := "write " + phrase.Or(kinds)
		if near := closest.To(kind, kinds); near != "" {
			hint = "did you mean " + near + "?"
		}
		r.problemf(r.lineAt(lineIn(node, "kind")), "kind", "%s is not a kind of document; %s", phrase.Quote(kind), hint)
		return into, key, false
	}
	key.kind = kind
	return into, key, true
}

var kinds = []string{v1alpha1.KindHypervisor, v1alpha1.KindKubeCluster, v1alpha1.KindWorkerPool}

// grow appends a zero document and returns it for writing.
func grow[T any](list *[]T) (last reflect.Value, index int) {
	*list = append(*list, *new(T))
	index = len(*list) - 1
	return reflect.ValueOf(&(*list)[index]).Elem(), index
}

// scalarAt returns the text at a path of plain keys, "" when it is missing. It is for
// the few fields that must be known before the document is read.
func scalarAt(node *yaml.Node, path ...string) string {
	for _, name := range path {
		if node = valueOf(node, name); node == nil {
			return ""
		}
	}
	if node = target(node); node.Kind != yaml.ScalarNode {
		return ""
	}
	return node.Value
}

// target returns the node that an alias refers to; any other node is returned as it is.
func target(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

func valueOf(node *yaml.Node, name string) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i+1]
		}
	}
	return nil
}

func lineIn(node *yaml.Node, name string) int {
	if value := valueOf(node, name); value != nil {
		return value.Line
	}
	return node.Line
}

func isNull(node *yaml.Node) bool {
	node = target(node)
	return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}

// noun describes what a node is, without its value.
func noun(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch node.ShortTag() {
	case "!!str", "!!timestamp":
		return "text"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "nothing"
	}
	return "a value with a YAML tag"
}
