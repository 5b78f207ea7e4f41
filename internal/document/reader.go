package document

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/fieldpath"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// maxAliased limits how many values the aliases of one document may expand to.
// Otherwise a page of YAML can expand to billions.
const maxAliased = 100_000

// longestKey is the maximal length of a label or annotation key: a domain, a slash and
// a name.
const longestKey = 253 + 1 + 63

// reader reads the YAML of one file into documents by their Go types, and collects the
// problems. A problem never contains a secret, or text that may be one.
type reader struct {
	set       *set
	file      string
	firstLine int // of the part of the file that is being read, usually one document
	problems  *Problems
	fields    map[reflect.Type][]field // cache

	// For the document that is being read:
	object   string
	root     reflect.Type
	lines    map[string]int
	suspects []string // paths where reading found a problem; validation does not report them again
	aliased  int      // how many aliases lead to the current node
	budget   int      // values that aliases may still expand to
	quiet    int      // above 0 inside credentials
}

var (
	quantityType    = reflect.TypeFor[resource.Quantity]()
	objectMetaType  = reflect.TypeFor[metav1.ObjectMeta]()
	secretType      = reflect.TypeFor[v1alpha1.SecretSource]()
	credentialsType = reflect.TypeFor[v1alpha1.Credentials]()
)

func (r *reader) lineAt(line int) int { return r.firstLine + line - 1 }

func (r *reader) problemf(line int, path, format string, args ...any) {
	*r.problems = append(*r.problems, Problem{File: r.file, Line: line, Object: r.object, Path: path, Message: fmt.Sprintf(format, args...)})
	if path != "" {
		r.suspects = append(r.suspects, path)
	}
}

// wrong adds a problem at a node.
func (r *reader) wrong(node *yaml.Node, path, format string, args ...any) {
	r.problemf(r.lineAt(node.Line), path, format, args...)
}

// read reads node, which is at path, into v.
func (r *reader) read(v reflect.Value, node *yaml.Node, path string) {
	if node.Kind == yaml.AliasNode {
		r.aliased++
		defer func() { r.aliased-- }()
		node = node.Alias
	}
	if !r.afford(node, path) {
		return
	}
	if tag := node.ShortTag(); node.Kind == yaml.MappingNode && tag != "!!map" || node.Kind == yaml.SequenceNode && tag != "!!seq" {
		r.wrong(node, path, "has a YAML tag (!…); remove it")
		return
	}
	switch t := v.Type(); {
	case t.Kind() == reflect.Pointer:
		pointed := reflect.New(t.Elem())
		r.read(pointed.Elem(), node, path)
		v.Set(pointed)
	case t == quantityType:
		r.readQuantity(v, node, path)
	case t == secretType || t == credentialsType:
		r.quiet++
		r.readStruct(v, node, path)
		r.quiet--
	case t.Kind() == reflect.Struct:
		r.readStruct(v, node, path)
	case t.Kind() == reflect.Map:
		r.readMap(v, node, path)
	case t.Kind() == reflect.Slice:
		r.readList(v, node, path)
	default:
		r.readScalar(v, node, path)
	}
}

// afford subtracts a value and its entries from the budget of aliases. It reports
// whether they may be read. When the budget ends, it adds one problem.
func (r *reader) afford(node *yaml.Node, path string) bool {
	if r.aliased == 0 {
		return true
	}
	if r.budget < 0 {
		return false
	}
	if r.budget -= 1 + len(node.Content); r.budget < 0 {
		r.wrong(node, path, "aliases (*name) expand to more than %d values in this document; write them out", maxAliased)
		r.suspects = append(r.suspects, "") // any field may be missing
		return false
	}
	return true
}

func (r *reader) readStruct(v reflect.Value, node *yaml.Node, path string) {
	if node.Kind != yaml.MappingNode {
		r.notMapping(v.Type(), node, path)
		return
	}
	fields := r.fieldsOf(v.Type())
	for _, e := range r.entries(node, path, func(name string) string { return r.fieldPath(path, name) }) {
		index := slices.IndexFunc(fields, func(f field) bool { return f.name == e.name })
		if index < 0 || e.key.ShortTag() != "!!str" {
			r.unknownField(v.Type(), fields, e, path)
			continue
		}
		r.readField(v.FieldByIndex(fields[index].index), fields[index], e, fieldpath.Under(path, e.name))
	}
}

func (r *reader) readField(v reflect.Value, f field, e keyValue, path string) {
	r.lines[path] = r.lineAt(e.key.Line)
	if isNull(e.value) {
		return // as if it were left out, like Kubernetes
	}
	if fieldpath.Parent(path) == "metadata" && !slices.Contains(metadataFields, f.name) {
		r.wrong(e.key, path, "is set by Kubernetes, not by a person; remove it")
		return
	}
	r.read(v, e.value, path)
	// An optional number that is 0 counts as left out and would silently become its
	// default, so a written 0 is an error. Only for vlan is 0 allowed: no VLAN.
	number := v.CanInt() || v.Type() == quantityType
	if number && f.optional && f.name != "vlan" && isZeroText(e.value) {
		r.wrong(e.key, path, "0 is not possible here; write at least %s, or leave it out", v1alpha1.Least(f.name))
	}
}

// notMapping reports a scalar or list where fields were expected. In the place of a
// secret's source, it is probably the secret itself.
func (r *reader) notMapping(t reflect.Type, node *yaml.Node, path string) {
	if t == secretType {
		r.wrong(node, path, "say where the secret is, not the secret itself: {env: NAME} or {file: NAME}; if this was the real secret, make a new one")
		return
	}
	r.wrong(node, path, "want a mapping (fields below it), got %s", noun(node))
}

func (r *reader) readMap(v reflect.Value, node *yaml.Node, path string) {
	if node.Kind != yaml.MappingNode {
		r.wrong(node, path, "want a mapping (key: value), got %s", noun(node))
		return
	}
	entries := r.entries(node, path, func(name string) string { return fieldpath.Entry(path, name) })
	if len(entries) == 0 {
		return
	}
	result := reflect.MakeMapWithSize(v.Type(), len(entries))
	for _, e := range entries {
		at := fieldpath.Entry(path, e.name)
		r.lines[at] = r.lineAt(e.key.Line)
		if e.key.Kind != yaml.ScalarNode || !isText(e.key) {
			r.wrong(e.key, at, "the key is %s; put it in quotes", noun(e.key))
			continue
		}
		if len(e.name) > longestKey || strings.ContainsFunc(e.name, isControl) {
			r.wrong(e.key, path, "the key %s is too long for Kubernetes, or has a control character in it", phrase.Quote(e.name))
			continue
		}
		value := reflect.New(v.Type().Elem()).Elem()
		r.read(value, e.value, at)
		result.SetMapIndex(reflect.ValueOf(e.name), value)
	}
	v.Set(result)
}

func (r *reader) readList(v reflect.Value, node *yaml.Node, path string) {
	if node.Kind != yaml.SequenceNode {
		hint := ""
		if node.Kind == yaml.ScalarNode {
			hint = "; begin the line with \"- \""
		}
		r.wrong(node, path, "want a list, got %s%s", noun(node), hint)
		return
	}
	if len(node.Content) == 0 {
		return
	}
	list := reflect.MakeSlice(v.Type(), len(node.Content), len(node.Content))
	for i, n := range node.Content {
		at := fieldpath.Item(path, i)
		r.lines[at] = r.lineAt(n.Line)
		if isNull(n) {
			r.wrong(n, at, "the entry is empty; write a value or remove the line")
			continue
		}
		r.read(list.Index(i), n, at)
	}
	v.Set(list)
}

// keyValue is one entry of a mapping.
type keyValue struct {
	name       string
	key, value *yaml.Node
}

// entries returns the entries of a mapping with its merge keys (<<) resolved: the
// mapping's own entries win over merged ones. A key that is written twice is a problem;
// pathOf returns its path for the message.
func (r *reader) entries(node *yaml.Node, path string, pathOf func(name string) string) []keyValue {
	var own, merged []keyValue
	first := make(map[string]int, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.ShortTag() == "!!merge" {
			r.merge(&merged, value, path)
			continue
		}
		key = target(key)
		if line, twice := first[key.Value]; twice {
			r.wrong(key, pathOf(key.Value), "is written twice, first in line %d; keep one", line)
			continue
		}
		first[key.Value] = r.lineAt(key.Line)
		own = append(own, keyValue{key.Value, key, value})
	}
	for _, e := range merged {
		if _, there := first[e.name]; !there {
			first[e.name] = r.lineAt(e.key.Line)
			own = append(own, e)
		}
	}
	return own
}

// merge adds the entries of a merge key. In a list, the first mapping wins, as the YAML
// merge type defines. Reading a mapping that merges itself stops when the
// budget is used up.
func (r *reader) merge(found *[]keyValue, node *yaml.Node, path string) {
	r.aliased++
	defer func() { r.aliased-- }()
	node = target(node)
	if !r.afford(node, path) {
		return
	}
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if key, value := node.Content[i], node.Content[i+1]; key.ShortTag() != "!!merge" {
				*found = append(*found, keyValue{key.Value, key, value})
			} else {
				r.merge(found, value, path)
			}
		}
	case yaml.SequenceNode:
		for _, n := range node.Content {
			r.merge(found, n, path)
		}
	default:
		r.wrong(node, path, "a merge key (<<) takes a mapping or an alias of one, got %s", noun(node))
	}
}
