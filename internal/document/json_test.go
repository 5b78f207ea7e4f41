package document

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
)

// fullSets are sets of documents that together have every field that a person may write.
// Some fields exclude each other, so one set is not enough.
func fullSets(t *testing.T) []*v1alpha1.Documents {
	t.Helper()
	files := append(examples(t), lab(t), File{Name: "../../api/v1alpha1/testdata/full.yaml", Data: read(t, "../../api/v1alpha1/testdata/full.yaml")})
	for name, login := range map[string]string{
		"insecure": "tls: {insecure: true}, credentials: {username: root@pam, password: {env: PASSWORD}}",
		"ca":       "tls: {caFile: ca.pem}, credentials: {token: {file: token}}",
	} {
		files = append(files, File{Name: "secrets/" + name + ".yaml", Data: []byte(`
apiVersion: gpuworker.io/v1alpha1
kind: Hypervisor
metadata: {name: ` + name + `, namespace: ops, labels: {}, annotations: {}}
spec:
  requireHostFacts: true
  proxmox: {endpoint: "https://pve1:8006", ` + login + `}
---
apiVersion: gpuworker.io/v1alpha1
kind: KubeCluster
metadata: {name: edge, namespace: ops, labels: {a: b}, annotations: {c: d}}
spec: {server: "https://rke2:9345", joinToken: {file: join-token}}
---
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: gpu, namespace: ops, labels: {a: b}, annotations: {c: d}}
spec:
  hypervisor: ` + name + `
  kubeCluster: edge
  template: {name: ubuntu-22.04}
  gpus: []
  replicas: 0
  hosts: []
  taints: [{key: a, effect: NoSchedule}]
  proxmox: {xVGA: true}
`)})
	}
	var sets []*v1alpha1.Documents
	for _, file := range files {
		d, _, err := Load(file)
		if err != nil {
			t.Fatalf("%s: %v", file.Name, err)
		}
		sets = append(sets, d)
	}
	return sets
}

// throughJSON writes documents and reads them again, as a plan file does.
func throughJSON(t *testing.T, d *v1alpha1.Documents) *v1alpha1.Documents {
	t.Helper()
	text, err := json.Marshal(List{d})
	if err != nil {
		t.Fatal(err)
	}
	var again List
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatalf("what was written is not read: %v\n%s", err, text)
	}
	return again.Documents
}

func TestDocumentsAreTheSameAfterJSON(t *testing.T) {
	for _, d := range fullSets(t) {
		again := throughJSON(t, d)
		files := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".File" || p.Last().String() == ".CAFile" }, cmp.Ignore())
		if diff := cmp.Diff(d, again, cmpopts.EquateEmpty(), files); diff != "" {
			t.Errorf("%s changed by writing and reading (-before +after):\n%s", d.Hypervisors[0].Name, diff)
		}
		first, _ := json.Marshal(List{d})
		if second, _ := json.Marshal(List{again}); string(first) != string(second) {
			t.Errorf("written again it is another text:\n%s\n%s", first, second)
		}
		if !SameLogins(d, again) || !SameLogins(again, d) {
			t.Errorf("%s: the logins are not the same after writing and reading", d.Hypervisors[0].Name)
		}
	}
}

// refusedFields are fields that a document in a file must not have.
var refusedFields = map[string]bool{
	"Hypervisor.spec.proxmox.credentials.token.secretRef.name": true, "Hypervisor.spec.proxmox.credentials.token.secretRef.key": true,
	"Hypervisor.spec.proxmox.credentials.password.secretRef.name": true, "Hypervisor.spec.proxmox.credentials.password.secretRef.key": true,
	"KubeCluster.spec.joinToken.secretRef.name": true, "KubeCluster.spec.joinToken.secretRef.key": true,
	"WorkerPool.spec.template.library": true, "WorkerPool.spec.template.item": true,
}

// The test above checks only fields that a document sets.
func TestTheSetsHaveEveryField(t *testing.T) {
	written := map[string]bool{}
	for _, d := range fullSets(t) {
		for _, list := range []any{d.Hypervisors, d.KubeClusters, d.WorkerPools} {
			noteFields(reflect.ValueOf(list), "", written)
		}
	}
	for _, list := range []any{[]v1alpha1.Hypervisor{}, []v1alpha1.KubeCluster{}, []v1alpha1.WorkerPool{}} {
		kind := reflect.TypeOf(list).Elem().Name()
		for _, path := range fieldPaths(reflect.TypeOf(list).Elem(), kind) {
			if !written[path] && !refusedFields[path] {
				t.Errorf("no set of documents has %s", path)
			}
		}
	}
}

// writtenFields are the fields of a type that a person may write.
func writtenFields(t reflect.Type) []field {
	fields := typeFields(t)
	if t == reflect.TypeFor[metav1.ObjectMeta]() {
		fields = slices.DeleteFunc(fields, func(f field) bool { return !slices.Contains(metadataFields, f.name) })
	}
	return fields
}

// quantity is the one struct of the documents that is a single value.
var quantity = reflect.TypeFor[resource.Quantity]()

// fieldPaths are the fields of a type that hold values, with their paths.
func fieldPaths(t reflect.Type, path string) []string {
	switch {
	case t == quantity:
	case t.Kind() == reflect.Pointer, t.Kind() == reflect.Slice:
		return fieldPaths(t.Elem(), path)
	case t.Kind() == reflect.Struct:
		var all []string
		for _, f := range writtenFields(t) {
			all = append(all, fieldPaths(f.typ, path+"."+f.name)...)
		}
		return all
	}
	return []string{path}
}

// noteFields records the paths of all fields that a value sets.
func noteFields(v reflect.Value, path string, into map[string]bool) {
	switch {
	case v.Type() == quantity:
		into[path] = into[path] || !v.IsZero()
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			into[path] = true // a pointer to false is written too
			noteFields(v.Elem(), path, into)
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			if path == "" {
				noteFields(v.Index(i), v.Index(i).Type().Name(), into)
			} else {
				noteFields(v.Index(i), path, into)
			}
		}
	case v.Kind() == reflect.Struct:
		for _, f := range writtenFields(v.Type()) {
			noteFields(v.FieldByIndex(f.index), path+"."+f.name, into)
		}
	default:
		into[path] = into[path] || !v.IsZero()
	}
}

func TestFilesHaveAbsoluteNamesInJSON(t *testing.T) {
	folder := t.TempDir()
	text := `
apiVersion: gpuworker.io/v1alpha1
kind: Hypervisor
metadata: {name: a}
spec: {proxmox: {endpoint: "https://pve1:8006", tls: {caFile: ../ca.pem}, credentials: {token: {file: token}}}}
---
apiVersion: gpuworker.io/v1alpha1
kind: Hypervisor
metadata: {name: b}
spec: {proxmox: {endpoint: "https://pve2:8006", credentials: {username: root@pam, password: {file: /etc/password}}}}
---
apiVersion: gpuworker.io/v1alpha1
kind: KubeCluster
metadata: {name: edge}
spec: {server: "https://rke2:9345", joinToken: {file: join-token}}
`
	d, _, err := Load(File{Name: filepath.Join(folder, "docs", "lab.yaml"), Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	again := throughJSON(t, d)
	a, b := again.Hypervisors[0].Spec.Proxmox, again.Hypervisors[1].Spec.Proxmox
	for got, want := range map[string]string{
		a.Credentials.Token.File:                  filepath.Join(folder, "docs", "token"),
		a.TLS.CAFile:                              filepath.Join(folder, "ca.pem"),
		b.Credentials.Password.File:               "/etc/password",
		again.KubeClusters[0].Spec.JoinToken.File: filepath.Join(folder, "docs", "join-token"),
	} {
		if got != want {
			t.Errorf("a file is %q, want %q", got, want)
		}
	}
}

// A changed field of a Hypervisor or KubeCluster, whichever it is, makes the logins
// differ.
func TestLoginsDifferWhenAnyFieldDoes(t *testing.T) {
	changed := 0
	for _, list := range []string{"Hypervisors", "KubeClusters"} {
		for range everyField(reflect.TypeOf(v1alpha1.Documents{}), list) {
			changed++
		}
	}
	if changed < 20 {
		t.Fatalf("only %d fields", changed)
	}
	full := func() *v1alpha1.Documents {
		d := &v1alpha1.Documents{Hypervisors: make([]v1alpha1.Hypervisor, 1), KubeClusters: make([]v1alpha1.KubeCluster, 1)}
		fill(reflect.ValueOf(&d.Hypervisors[0]).Elem())
		fill(reflect.ValueOf(&d.KubeClusters[0]).Elem())
		return d
	}
	if !SameLogins(full(), full()) {
		t.Fatal("equal documents have other logins")
	}
	for _, list := range []string{"Hypervisors", "KubeClusters"} {
		for path, change := range everyField(reflect.TypeOf(v1alpha1.Documents{}), list) {
			other := full()
			change(reflect.ValueOf(other).Elem().FieldByName(list).Index(0))
			if SameLogins(full(), other) || SameLogins(other, full()) {
				t.Errorf("the logins are the same with another %s", path)
			}
		}
	}
	fewer := full()
	fewer.KubeClusters = nil
	if SameLogins(full(), fewer) || SameLogins(fewer, full()) {
		t.Error("the logins are the same without the KubeCluster")
	}
}

// JSON may escape any character, and those beyond 16 bits as surrogate pairs.
func TestEscapesOfJSONAreRead(t *testing.T) {
	for written, want := range map[string]string{
		`\ud83d\ude00\udb40\udc41`: "\U0001f600\U000e0041", `\u00e9\/\"\t`: "é/\"\t", `\\ud83d\\ude00`: `\ud83d\ude00`, `\\\ud83d\ude00`: "\\\U0001f600",
	} {
		text := `[{"apiVersion":"gpuworker.io/v1alpha1","kind":"KubeCluster","metadata":{"name":"a","annotations":{"x":"` + written + `"}},"spec":{"server":"https://a:1"}}]`
		var d List
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			t.Errorf("%s: %v", written, err)
		} else if got := d.KubeClusters[0].Annotations["x"]; got != want {
			t.Errorf("%s is read as %q, want %q", written, got, want)
		}
	}
}

// TestDocumentsInJSONAreReadStrictly, as files are.
func TestDocumentsInJSONAreReadStrictly(t *testing.T) {
	valid := `{"apiVersion":"gpuworker.io/v1alpha1","kind":"KubeCluster","metadata":{"name":"a"},"spec":{"server":"https://a:1"}}`
	if err := json.Unmarshal([]byte("["+valid+"]"), new(List)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"no list":            valid,
		"an unknown field":   "[" + strings.Replace(valid, `"spec":{`, `"spec":{"x":1,`, 1) + "]",
		"a field in capital": "[" + strings.Replace(valid, `"spec":{`, `"spec":{"Server":"https://b:1",`, 1) + "]",
		"a field twice":      "[" + strings.Replace(valid, `"spec":{`, `"spec":{"server":"https://b:1",`, 1) + "]",
		"a wrong type":       "[" + strings.Replace(valid, `"https://a:1"`, `7`, 1) + "]",
		"an unknown kind":    "[" + strings.Replace(valid, `KubeCluster`, `Nonsense`, 1) + "]",
		"not valid":          "[" + strings.Replace(valid, `https://a:1`, `ftp://a`, 1) + "]",
		"one name twice":     "[" + valid + "," + valid + "]",
		"a text":             `["---\nkind: x"]`,
	} {
		if err := json.Unmarshal([]byte(text), new(List)); err == nil {
			t.Errorf("%s is read: %s", name, text)
		}
	}
}

// everyField yields each field of the elements of a list, with a function that
// gives it another value in an element.
func everyField(of reflect.Type, list string) func(yield func(path string, change func(reflect.Value)) bool) {
	return func(yield func(string, func(reflect.Value)) bool) {
		f, _ := of.FieldByName(list)
		walkFields(f.Type.Elem(), list, func(v reflect.Value) reflect.Value { return v }, yield)
	}
}

// walkFields yields the fields below a type. at finds the value in an element.
func walkFields(t reflect.Type, path string, at func(reflect.Value) reflect.Value, yield func(string, func(reflect.Value)) bool) bool {
	switch {
	case t.Kind() == reflect.Pointer:
		return walkFields(t.Elem(), path, func(v reflect.Value) reflect.Value { return at(v).Elem() }, yield)
	case t.Kind() == reflect.Struct:
		for _, f := range writtenFields(t) {
			inner := func(v reflect.Value) reflect.Value { return at(v).FieldByIndex(f.index) }
			if !walkFields(f.typ, path+"."+f.name, inner, yield) {
				return false
			}
		}
		return true
	}
	return yield(path, func(v reflect.Value) { alter(at(v)) })
}

// fill sets all fields of a value to something.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for _, f := range writtenFields(v.Type()) {
			fill(v.FieldByIndex(f.index))
		}
	default:
		alter(v)
	}
}

// alter changes a plain value.
func alter(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"a": "b" + strings.Repeat("x", v.Len())}))
	}
}
