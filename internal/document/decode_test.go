package document

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/fieldpath"
	"github.com/gpuworker/gpuworker/internal/golden"
)

// examples are the files that operators start from.
func examples(t testing.TB) []File {
	t.Helper()
	paths, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(paths) < 3 {
		t.Fatalf("found examples %v, %v", paths, err)
	}
	var files []File
	for _, path := range paths {
		files = append(files, File{Name: path, Data: read(t, path)})
	}
	return files
}

func TestEveryExampleIsWithoutProblemsAndWarnings(t *testing.T) {
	for _, file := range examples(t) {
		t.Run(filepath.Base(file.Name), func(t *testing.T) {
			d, warnings, err := Load(file)
			if err != nil || len(warnings) > 0 {
				t.Fatalf("warnings %v, error %v", warnings, err)
			}
			if len(d.Pools()) == 0 {
				t.Error("an example without a pool teaches nothing")
			}
		})
	}
}

func TestTheHomelabExampleHasTheDocumentedValues(t *testing.T) {
	d, _, err := Load(File{Name: "homelab.yaml", Data: read(t, "../../examples/homelab.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	gpu, ok := d.WorkerPool("gpu-workers")
	if !ok || !gpu.IsGPU() || gpu.Size() != 3 || gpu.WorkerName(3) != "gpu-workers-3" || gpu.Spec.Lifecycle != v1alpha1.SemiPersistent {
		t.Errorf("gpu-workers is %+v", gpu)
	}
	want := []v1alpha1.GPURequest{{Host: "pve1", BDF: "0000:03:00.0"}, {Model: "Tesla T4", Count: 1}, {Host: "pve1", BDF: "0000:41:00.0"}}
	if diff := cmp.Diff(want, gpu.Spec.GPUs); diff != "" {
		t.Errorf("cards (-want +got):\n%s", diff)
	}
	plain, ok := d.WorkerPool("workers")
	if !ok || plain.IsGPU() || plain.Size() != 3 || plain.Spec.Lifecycle != v1alpha1.Ephemeral || *plain.Spec.Proxmox.Protection {
		t.Errorf("workers is %+v", plain)
	}
	if h, ok := d.Hypervisor("lab"); !ok || h.Spec.Proxmox.Credentials.Token.Describe() != "environment variable PVE_TOKEN" {
		t.Errorf("hypervisor is %+v", h)
	}
	if _, ok := d.KubeCluster("rke2-lab"); !ok {
		t.Error("the v1alpha1.KubeCluster is missing")
	}
	if got := len(d.PoolsOn("lab")); got != 2 {
		t.Errorf("%d pools on lab, want 2", got)
	}
}

// The golden shows every field after Decode and SetDefaults.
func TestDefaults(t *testing.T) {
	d, _, err := Load(File{Name: "minimal.yaml", Data: read(t, "../../examples/minimal.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "../../api/v1alpha1/testdata/minimal-with-defaults.yaml", string(encode(t, d)))
	again := encode(t, d)
	v1alpha1.SetDefaults(d)
	if diff := cmp.Diff(string(again), string(encode(t, d))); diff != "" {
		t.Errorf("a second v1alpha1.SetDefaults changes something:\n%s", diff)
	}
}

func TestDefaultsKeepWrittenValues(t *testing.T) {
	d, err := Decode(File{Name: "full.yaml", Data: read(t, "../../api/v1alpha1/testdata/full.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	v1alpha1.SetDefaults(d)
	golden.Compare(t, "../../api/v1alpha1/testdata/full-decoded.yaml", string(encode(t, d)))
}

func TestDocumentsSurviveEncodingAndDecoding(t *testing.T) {
	files := append(examples(t), File{Name: "full.yaml", Data: read(t, "../../api/v1alpha1/testdata/full.yaml")})
	for _, file := range files {
		d, err := Decode(file)
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, d)
		v1alpha1.SetDefaults(d)
		roundTrip(t, d)
	}
}

func roundTrip(t *testing.T, d *v1alpha1.Documents) {
	t.Helper()
	text := encode(t, d)
	again, err := Decode(File{Name: "again.yaml", Data: text})
	if err != nil {
		t.Fatalf("what was encoded does not decode: %v\n%s", err, text)
	}
	if diff := cmp.Diff(d, again, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("the round trip changed something (-before +after):\n%s\n%s", diff, text)
	}
}

// encode writes documents as kubectl would.
func encode(t *testing.T, d *v1alpha1.Documents) []byte {
	t.Helper()
	var parts [][]byte
	add := func(document any) {
		data, err := yaml.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, data)
	}
	for _, h := range d.Hypervisors {
		add(h)
	}
	for _, k := range d.KubeClusters {
		add(k)
	}
	for _, p := range d.WorkerPools {
		add(p)
	}
	return bytes.Join(parts, []byte("---\n"))
}

func TestAddressesAreWrittenInOneForm(t *testing.T) {
	d, warnings, err := Load(lab(t), File{Name: "pool.yaml", Data: []byte(poolText("gpu", `
  gpus:
    - {host: pve1, bdf: "0000:AF:00.0"}
    - {host: pve1, bdf: " 3b:00.0 "}
    - {id: "0x10DE:0x1EB8"}
`))})
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	want := []v1alpha1.GPURequest{{Host: "pve1", BDF: "0000:af:00.0"}, {Host: "pve1", BDF: "0000:3b:00.0"}, {ID: "10de:1eb8", Count: 1}}
	if diff := cmp.Diff(want, d.WorkerPools[0].Spec.GPUs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestYAMLIsReadAsPeopleWriteIt(t *testing.T) {
	replicas := func(n int32) *int32 { return &n }
	for name, test := range map[string]struct {
		text string
		want v1alpha1.WorkerPoolSpec
	}{
		"an empty value counts as left out":             {"gpus:\nreplicas: 2\nmachine:", v1alpha1.WorkerPoolSpec{Replicas: replicas(2)}},
		"JSON is YAML too":                              {`{"replicas": 1, "hosts": ["pve1"]}`, v1alpha1.WorkerPoolSpec{Replicas: replicas(1), Hosts: []string{"pve1"}}},
		"a number without unit is bytes":                {"machine: {memory: 1073741824}", v1alpha1.WorkerPoolSpec{Machine: v1alpha1.Machine{Memory: resource.MustParse("1Gi")}}},
		"an alias repeats what its anchor has":          {"hosts: &h [pve1, pve2]\ngpus: [{model: T4, hosts: *h}]", v1alpha1.WorkerPoolSpec{Hosts: []string{"pve1", "pve2"}, GPUs: []v1alpha1.GPURequest{{Model: "T4", Hosts: []string{"pve1", "pve2"}}}}},
		"a merge key fills in what is not written":      {"gpus:\n- &a {host: pve1, bdf: 0000:03:00.0}\n- <<: *a\n  bdf: 0000:04:00.0", v1alpha1.WorkerPoolSpec{GPUs: []v1alpha1.GPURequest{{Host: "pve1", BDF: "0000:03:00.0"}, {Host: "pve1", BDF: "0000:04:00.0"}}}},
		"a list of merge keys prefers the first":        {"gpus:\n- &a {host: pve1}\n- &b {host: pve2, bdf: 0000:03:00.0}\n- <<: [*a, *b]", v1alpha1.WorkerPoolSpec{GPUs: []v1alpha1.GPURequest{{Host: "pve1"}, {Host: "pve2", BDF: "0000:03:00.0"}, {Host: "pve1", BDF: "0000:03:00.0"}}}},
		"an address without quotes is text":             {"gpus: [{host: pve1, bdf: 03:00.0}]", v1alpha1.WorkerPoolSpec{GPUs: []v1alpha1.GPURequest{{Host: "pve1", BDF: "03:00.0"}}}},
		"a date is text where text is wanted":           {"labels: {since: 2026-01-02}", v1alpha1.WorkerPoolSpec{Labels: map[string]string{"since": "2026-01-02"}}},
		"false is not left out":                         {"proxmox: {onBoot: false}", v1alpha1.WorkerPoolSpec{Proxmox: &v1alpha1.ProxmoxWorkers{OnBoot: new(bool)}}},
		"VLAN 0 is no VLAN":                             {"networks: [{vlan: 0}]", v1alpha1.WorkerPoolSpec{Networks: []v1alpha1.Network{{}}}},
		"sizes may be written with decimals when whole": {"machine: {memory: 1.5Gi}", v1alpha1.WorkerPoolSpec{Machine: v1alpha1.Machine{Memory: resource.MustParse("1536Mi")}}},
	} {
		t.Run(name, func(t *testing.T) {
			text := "apiVersion: gpuworker.io/v1alpha1\nkind: WorkerPool\nmetadata: {name: a}\nspec:\n  " + strings.ReplaceAll(test.text, "\n", "\n  ") + "\n"
			d, err := Decode(File{Name: "a.yaml", Data: []byte(text)})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, d.WorkerPools[0].Spec, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDocumentsAreFoundWhereverTheMarkersStand(t *testing.T) {
	document := func(name string) string {
		return "apiVersion: gpuworker.io/v1alpha1\nkind: KubeCluster\nmetadata: {name: " + name + "}\n"
	}
	for name, text := range map[string]string{
		"between two documents":             document("a") + "---\n" + document("b"),
		"before the first":                  "---\n" + document("a") + "---\n" + document("b"),
		"with comments and blanks after":    document("a") + "--- # second\n" + document("b"),
		"with empty documents between":      "---\n---\n" + document("a") + "---\n# nothing\n---\nnull\n---\n" + document("b") + "---\n",
		"with Windows line ends":            strings.ReplaceAll(document("a")+"---\n"+document("b"), "\n", "\r\n"),
		"with a byte order mark":            "\ufeff" + document("a") + "---\n" + document("b"),
		"with a directive":                  "%YAML 1.1\n---\n" + document("a") + "...\n---\n" + document("b"),
		"with content on the marker":        document("a") + "--- " + `{apiVersion: gpuworker.io/v1alpha1, kind: KubeCluster, metadata: {name: b}}`,
		"without a line break at the end":   document("a") + "---\n" + strings.TrimSpace(document("b")),
		"with dashes that are no marker":    document("a") + "# ---- x\n---\n" + document("b") + "#---\n",
		"with blank lines before and after": "\n\n" + document("a") + "\n\n---\n\n\n" + document("b") + "\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Decode(File{Name: "a.yaml", Data: []byte(text)})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, k := range d.KubeClusters {
				names = append(names, k.Name)
			}
			if !slices.Equal(names, []string{"a", "b"}) {
				t.Errorf("found %v in\n%s", names, text)
			}
		})
	}
}

func TestAProblemPointsToItsLine(t *testing.T) {
	text := `# a comment

apiVersion: gpuworker.io/v1alpha1
kind: KubeCluster
metadata: {name: a}
spec: {server: "https://a.example.org:9345"}
---

apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata:
  name: gpu
spec:
  kubeCluster: a
  template:
    name: "ubuntu
      22.04"
  gpus:
    - host: pve1
      bdf: "03"
    - model: Tesla T4
      cuont: 2
  replicas: 1
`
	_, _, err := Load(File{Name: "a.yaml", Data: []byte(text)})
	var problems Problems
	if !asProblems(err, &problems) {
		t.Fatalf("error is %v", err)
	}
	want := map[string]int{ // path → line
		"spec.hypervisor":    13, // not written: the line of what holds it
		"spec.template.name": 16,
		"spec.gpus[0].bdf":   20,
		"spec.gpus[1].cuont": 22,
		"spec.replicas":      23,
	}
	got := make(map[string]int)
	for _, p := range problems {
		got[p.Path] = p.Line
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s\n%v", diff, err)
	}
}

func asProblems(err error, into *Problems) bool {
	problems, ok := err.(Problems)
	*into = problems
	return ok
}

func TestProblemsOfSeveralFilesComeInOrder(t *testing.T) {
	bad := []byte("apiVersion: gpuworker.io/v1alpha1\nkind: KubeCluster\nmetadata: {name: a}\nsepc: {}\nstatus: {}\n")
	_, err := Decode(File{Name: "b.yaml", Data: bad}, File{Name: "a.yaml", Data: bad})
	want := `a.yaml:4: KubeCluster/a: sepc: there is no such field; did you mean "spec"?
a.yaml:5: KubeCluster/a: status: there is no such field; there are kind, apiVersion, metadata and spec
b.yaml:4: KubeCluster/a: sepc: there is no such field; did you mean "spec"?
b.yaml:5: KubeCluster/a: status: there is no such field; there are kind, apiVersion, metadata and spec
4 problems, nothing was changed.`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOtherFilesAreRefusedWithAReason(t *testing.T) {
	for name, test := range map[string]struct{ data, want string }{
		"far too large":       {strings.Repeat("# a log line\n", maxFileSize/12), "a.yaml: the file has 9087650 bytes, more than the limit of 8 MiB; is it the right file?"},
		"binary":              {"MZ\x90\x00", "a.yaml:1: the file is not UTF-8 text here; save it as UTF-8"},
		"with a zero byte":    {"a: b\nc: \x00\n", "a.yaml:2: there is a control character (U+0000) here; is it the right file?"},
		"a password with a *": {"a: b\npassword: *hunter2\n", "a.yaml:2: not YAML: text that begins with * must be in quotes (without them it refers to an anchor, and no anchor has this name)"},
		"empty":               {"", "a.yaml: no documents; write a Hypervisor and a WorkerPool (see examples/minimal.yaml)"},
		"an open quote":       {"a: \"b\n", "a.yaml:2: not YAML: found unexpected end of stream; a quote or bracket before it is not closed"},
		"an open bracket":     {"a: [b\nc: d\n", "a.yaml:2: not YAML: did not find expected ',' or ']'; look at the indentation, brackets and quotes here and below"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(File{Name: "a.yaml", Data: []byte(test.data)})
			if want := test.want + "\n1 problem, nothing was changed."; fmt.Sprint(err) != want {
				t.Errorf("got\n%v\nwant\n%s", err, want)
			}
		})
	}
}

// The reader must know every type of a document: it panics on others.
func TestTheReaderKnowsEveryTypeOfEveryDocument(t *testing.T) {
	seen := make(map[reflect.Type]bool)
	var visit func(typ reflect.Type, path string)
	visit = func(typ reflect.Type, path string) {
		if seen[typ] || typ == quantityType {
			return
		}
		seen[typ] = true
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice:
			visit(typ.Elem(), path)
		case reflect.Map:
			if typ.Key().Kind() != reflect.String {
				t.Errorf("%s: a map with keys of type %s", path, typ.Key())
			}
			visit(typ.Elem(), path)
		case reflect.Struct:
			for _, f := range typeFields(typ) {
				if typ != objectMetaType || slices.Contains(metadataFields, f.name) {
					visit(f.typ, fieldpath.Under(path, f.name))
				}
			}
		case reflect.String, reflect.Bool, reflect.Int, reflect.Int32, reflect.Int64:
		default:
			t.Errorf("%s: type %s cannot be read", path, typ)
		}
	}
	visit(reflect.TypeFor[v1alpha1.Hypervisor](), "Hypervisor")
	visit(reflect.TypeFor[v1alpha1.KubeCluster](), "KubeCluster")
	visit(reflect.TypeFor[v1alpha1.WorkerPool](), "WorkerPool")
	if len(seen) < 20 {
		t.Errorf("visited %d types only", len(seen))
	}
}

func TestTenThousandLinesAreReadInAMoment(t *testing.T) {
	data := manyPools(600)
	if lines := bytes.Count(data, []byte("\n")); lines < 10_000 {
		t.Fatalf("only %d lines", lines)
	}
	start := time.Now()
	d, warnings, err := Load(lab(t), File{Name: "many.yaml", Data: data})
	took := time.Since(start)
	if err != nil || len(warnings) > 0 || len(d.Pools()) != 600 {
		t.Fatalf("%d pools, warnings %v, error %v", len(d.Pools()), warnings, err)
	}
	if took > 5*time.Second { // a tenth of a second; the rest is for slow machines and -race
		t.Errorf("took %v", took)
	}
}

func BenchmarkLoadTenThousandLines(b *testing.B) {
	data := manyPools(600)
	for b.Loop() {
		if _, _, err := Load(lab(b), File{Name: "many.yaml", Data: data}); err != nil {
			b.Fatal(err)
		}
	}
}

func lab(t testing.TB) File {
	return File{Name: "lab.yaml", Data: read(t, "../../api/v1alpha1/testdata/lab.yaml")}
}

func manyPools(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		b.WriteString("---\n" + poolText(fmt.Sprintf("pool-%d", i), fmt.Sprintf(`
  gpus:
    - host: host-%d
      bdf: "0000:%02x:00.0"
  machine:
    cores: 8
    memory: 32Gi
    disk:
      size: 80Gi
  labels:
    zone: a
`, i/200, i%200)))
	}
	return b.Bytes()
}

// poolText is a WorkerPool on testdata/lab.yaml.
func poolText(name, spec string) string {
	return `apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata:
  name: ` + name + `
spec:
  hypervisor: lab
  kubeCluster: rke2
  template:
    name: ubuntu-22.04
` + strings.TrimPrefix(spec, "\n")
}
