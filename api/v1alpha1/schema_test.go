package v1alpha1_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/api/v1alpha1/internal/schema"
	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/internal/fieldpath"
)

var kinds = []string{v1alpha1.KindHypervisor, v1alpha1.KindKubeCluster, v1alpha1.KindWorkerPool}

func TestTheSchemaIsUpToDate(t *testing.T) {
	want, err := schema.Generate(".", v1alpha1.GroupVersion, kinds...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(v1alpha1.Schema())); diff != "" {
		t.Errorf("schema.json is stale; run go generate ./api/... (-want +got):\n%s", diff)
	}
}

func TestTheSchemaAcceptsWhatDecodeAccepts(t *testing.T) {
	s := parsedSchema(t)
	files := append(examples(t), lab(t), document.File{Name: "testdata/full.yaml", Data: read(t, "testdata/full.yaml")})
	for _, file := range files {
		for i, document := range documentsOf(t, file.Data) {
			if wrong := s.check(document); wrong != "" {
				t.Errorf("%s, document %d: %s", file.Name, i, wrong)
			}
		}
	}
}

func TestTheSchemaReportsErrorsInOneDocument(t *testing.T) {
	s := parsedSchema(t)
	for _, name := range []string{
		"a-misspelt-field-says-which-one-is-meant", "a-written-zero-is-not-the-default", "kinds-and-versions-that-are-not-ours",
		"metadata-that-belongs-to-the-API-server", "names-that-are-not-DNS-labels", "quantities-with-other-units",
		"replicas-below-zero", "wrong-types-say-what-is-wanted", "VM-numbers-that-Proxmox-does-not-take",
	} {
		paths, _ := filepath.Glob("testdata/bad/" + name + ".yaml")
		if len(paths) != 1 {
			t.Fatalf("the scenario %q is gone", name)
		}
		wrong := 0
		for _, document := range documentsOf(t, read(t, paths[0])) {
			if s.check(document) != "" {
				wrong++
			}
		}
		if wrong == 0 {
			t.Errorf("%s: the schema takes it", name)
		}
	}
}

// The markers have the same defaults as SetDefaults, except for defaults that depend on
// other fields.
func TestTheSchemaHasTheDefaultsOfSetDefaults(t *testing.T) {
	d, err := document.Decode(lab(t), document.File{Name: "a.yaml", Data: []byte(poolText("a", "  gpus: [{model: T4}]\n  bootstrap: {cloudInit: {writeFiles: [{path: /etc/motd}]}}\n"))})
	if err != nil {
		t.Fatal(err)
	}
	d.Hypervisors[0].Spec.Proxmox.VMIDs = v1alpha1.VMIDRange{}
	s := parsedSchema(t)
	before := []any{asMap(t, d.Hypervisors[0]), asMap(t, d.KubeClusters[0]), asMap(t, d.WorkerPools[0])}
	v1alpha1.SetDefaults(d)
	after := []any{asMap(t, d.Hypervisors[0]), asMap(t, d.KubeClusters[0]), asMap(t, d.WorkerPools[0])}
	for i, kind := range kinds {
		set := make(map[string]any)
		added(before[i], after[i], "", set)
		declared := make(map[string]any)
		s.defaults(map[string]any{"$ref": "#/$defs/" + kind}, "", declared)
		delete(set, "spec.lifecycle")
		delete(set, "spec.proxmox.protection")
		delete(set, "spec.bootstrap.delivery")
		if len(declared) == 0 {
			t.Errorf("%s: the schema has no defaults", kind)
		}
		if diff := cmp.Diff(declared, set); diff != "" {
			t.Errorf("%s: defaults of the schema (-) and of SetDefaults (+):\n%s", kind, diff)
		}
	}
}

// Validate accepts each value of an enumeration in the schema, and no others.
func TestTheSchemaHasTheEnumerationsOfValidate(t *testing.T) {
	s := parsedSchema(t)
	checked := 0
	for _, kind := range kinds {
		enums := make(map[string][]any)
		s.enums(map[string]any{"$ref": "#/$defs/" + kind}, "", enums)
		for path, values := range enums {
			for _, value := range append(values, "Nonsense") {
				checked++
				refused := refuses(t, kind, path, value)
				if refused != (value == "Nonsense") {
					t.Errorf("%s %s: %v: Validate refuses it: %t", kind, path, value, refused)
				}
			}
		}
	}
	if checked < 15 {
		t.Errorf("checked %d values only", checked)
	}
}

// refuses reports whether Validate does not allow a value at a path of a kind. The other
// documents are those of testdata/full.yaml.
func refuses(t *testing.T, kind, path string, value any) bool {
	t.Helper()
	var text strings.Builder
	for _, document := range documentsOf(t, read(t, "testdata/full.yaml")) {
		if fields := document.(map[string]any); fields["kind"] == kind && fields["metadata"].(map[string]any)["name"] != "plain" {
			put(fields, strings.Split(strings.ReplaceAll(path, "[0]", ".0"), "."), value)
		}
		data, _ := json.Marshal(document)
		text.WriteString("---\n" + string(data) + "\n")
	}
	_, _, err := document.Load(document.File{Name: "a.yaml", Data: []byte(text.String())})
	problems, _ := err.(document.Problems)
	return slices.ContainsFunc(problems, func(p document.Problem) bool {
		return p.Path == path && strings.Contains(p.Message, "is not allowed")
	})
}

func put(into any, path []string, value any) {
	switch container := into.(type) {
	case map[string]any:
		if len(path) == 1 {
			container[path[0]] = value
			return
		}
		put(container[path[0]], path[1:], value)
	case []any:
		put(container[0], path[1:], value)
	}
}

// added collects the values that are in after and not in before.
func added(before, after any, path string, into map[string]any) {
	old, _ := before.(map[string]any)
	switch now := after.(type) {
	case map[string]any:
		if before == nil && len(path) > 0 && strings.HasSuffix(path, "vmids") {
			into[path] = now // set as a whole
			return
		}
		for key, value := range now {
			added(old[key], value, fieldpath.Under(path, key), into)
		}
	case []any:
		list, _ := before.([]any)
		for i := range now {
			added(list[i], now[i], path+"[]", into)
		}
	default:
		if before == nil {
			into[path] = after
		}
	}
}

func asMap(t *testing.T, document any) any {
	t.Helper()
	data, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	var fields any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

// documentsOf reads YAML as plain values.
func documentsOf(t *testing.T, data []byte) []any {
	t.Helper()
	var documents []any
	for text := range strings.SplitSeq("\n"+string(data), "\n---") {
		var one any
		if err := yaml.Unmarshal([]byte(text), &one); err != nil {
			t.Fatal(err)
		}
		if one != nil {
			documents = append(documents, one)
		}
	}
	return documents
}

// jsonSchema can check a value against a schema. It knows the keywords of draft 2020-12
// that ours uses, and reports others.
type jsonSchema struct{ root map[string]any }

func parsedSchema(t *testing.T) jsonSchema {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(v1alpha1.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	return jsonSchema{root}
}

func (s jsonSchema) check(value any) string { return s.judge(s.root, value, "") }

func (s jsonSchema) resolve(node map[string]any) map[string]any {
	if ref, ok := node["$ref"].(string); ok {
		return s.root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	return node
}

// judge says what is wrong with a value, or returns "".
func (s jsonSchema) judge(node map[string]any, value any, path string) string {
	for keyword, argument := range node {
		if wrong := s.keyword(node, keyword, argument, value, path); wrong != "" {
			return path + ": " + wrong
		}
	}
	return ""
}

func (s jsonSchema) keyword(node map[string]any, keyword string, argument, value any, path string) string {
	text, isText := value.(string)
	number, isNumber := value.(float64)
	object, _ := value.(map[string]any)
	switch keyword {
	case "$schema", "$id", "$defs", "title", "description", "default":
	case "$ref":
		return s.judge(s.resolve(node), value, path)
	case "oneOf":
		fitting := 0
		var all []string
		for _, one := range argument.([]any) {
			wrong := s.judge(one.(map[string]any), value, path)
			if wrong == "" {
				fitting++
			}
			all = append(all, wrong)
		}
		if fitting != 1 {
			return fmt.Sprintf("fits %d of oneOf: %s", fitting, strings.Join(all, " | "))
		}
	case "type":
		names, many := argument.([]any)
		if !many {
			names = []any{argument}
		}
		if !slices.ContainsFunc(names, func(name any) bool { return hasType(value, name.(string)) }) {
			return fmt.Sprintf("%v is not of type %v", value, argument)
		}
	case "const":
		if value != argument {
			return fmt.Sprintf("%v is not %v", value, argument)
		}
	case "enum":
		if !slices.Contains(argument.([]any), value) {
			return fmt.Sprintf("%v is not one of %v", value, argument)
		}
	case "pattern":
		if isText && !regexp.MustCompile(argument.(string)).MatchString(text) {
			return fmt.Sprintf("%q does not match %v", text, argument)
		}
	case "maxLength":
		if isText && float64(len(text)) > argument.(float64) {
			return "too long"
		}
	case "minimum":
		if isNumber && number < argument.(float64) {
			return "too small"
		}
	case "maximum":
		if isNumber && number > argument.(float64) {
			return "too large"
		}
	case "required":
		for _, name := range argument.([]any) {
			if _, there := object[name.(string)]; object != nil && !there {
				return fmt.Sprintf("%v is missing", name)
			}
		}
	case "properties":
		for name, sub := range argument.(map[string]any) {
			if inner, there := object[name]; there && inner != nil {
				if wrong := s.judge(sub.(map[string]any), inner, fieldpath.Under(path, name)); wrong != "" {
					return wrong
				}
			}
		}
	case "additionalProperties":
		known, _ := node["properties"].(map[string]any)
		for name, inner := range object {
			if _, there := known[name]; there {
				continue
			}
			if argument == false {
				return fmt.Sprintf("%q is not known", name)
			}
			if wrong := s.judge(argument.(map[string]any), inner, fieldpath.Under(path, name)); wrong != "" {
				return wrong
			}
		}
	case "items":
		list, _ := value.([]any)
		for i, inner := range list {
			if wrong := s.judge(argument.(map[string]any), inner, fieldpath.Item(path, i)); wrong != "" {
				return wrong
			}
		}
	default:
		return fmt.Sprintf("the schema has the keyword %q, which this test does not know", keyword)
	}
	return ""
}

func hasType(value any, name string) bool {
	switch v := value.(type) {
	case map[string]any:
		return name == "object"
	case []any:
		return name == "array"
	case string:
		return name == "string"
	case bool:
		return name == "boolean"
	case float64:
		return name == "integer" && v == float64(int64(v))
	}
	return false
}

// defaults collects the defaults below a node by path.
func (s jsonSchema) defaults(node map[string]any, path string, into map[string]any) {
	if value, ok := node["default"]; ok {
		into[path] = value
	}
	node = s.resolve(node)
	if items, ok := node["items"].(map[string]any); ok {
		s.defaults(items, path+"[]", into)
	}
	properties, _ := node["properties"].(map[string]any)
	for name, sub := range properties {
		s.defaults(sub.(map[string]any), fieldpath.Under(path, name), into)
	}
}

// enums collects the enumerations below a node by path; lists are their first
// entry.
func (s jsonSchema) enums(node map[string]any, path string, into map[string][]any) {
	if values, ok := node["enum"].([]any); ok {
		into[path] = values
	}
	node = s.resolve(node)
	if items, ok := node["items"].(map[string]any); ok {
		s.enums(items, fieldpath.Item(path, 0), into)
	}
	properties, _ := node["properties"].(map[string]any)
	for name, sub := range properties {
		s.enums(sub.(map[string]any), fieldpath.Under(path, name), into)
	}
}
