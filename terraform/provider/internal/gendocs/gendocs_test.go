package main

import (
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/terraform-plugin-testing/config"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/provider"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

const examples = "../../examples"

// files are the example files, below examples, with slashes.
func files(t *testing.T) []string {
	t.Helper()
	var all []string
	err := fs.WalkDir(os.DirFS(examples), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			all = append(all, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// placeholder are the endpoint and the fingerprint in the examples of the provider.
var placeholder = regexp.MustCompile(`https://pve1\.example\.org:8006|"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}"`)

// importTo is the resource of an import block.
var importTo = regexp.MustCompile(`to\s*=\s*(\S+)`)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(examples, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Each example works as it is against a cluster that has what it names: workers are
// planned, and all else is applied. Examples for a newer Terraform are only compared with
// the schema.
func TestEachExampleWorks(t *testing.T) {
	for _, name := range files(t) {
		kind, _, _ := strings.Cut(name, "/")
		t.Run(name, func(t *testing.T) {
			text := read(t, name)
			switch {
			case kind == "actions", kind == "list-resources", path.Base(name) == "import-by-identity.tf":
				checkAgainstSchema(t, name, text)
			case path.Base(name) == "import.sh": // tested with the resource
			case path.Base(name) == "import-by-string-id.tf":
				all := read(t, path.Join(path.Dir(name), "resource.tf"))
				kept := testlab.Forget(slices.Compact([]string{importTo.FindStringSubmatch(text)[1], "gpuworker_vm.gpu"})...)
				try(t, testlab.New(t), resource.TestStep{Config: all}, kept, resource.TestStep{Config: all + text}, kept)
			case kind == "resources":
				try(t, testlab.New(t), resource.TestStep{Config: text, PlanOnly: true, ExpectNonEmptyPlan: true})
			case kind == "provider":
				tryProvider(t, text)
			default:
				try(t, testlab.New(t), resource.TestStep{Config: text})
			}
		})
	}
}

func try(t *testing.T, l *testlab.Lab, steps ...resource.TestStep) {
	t.Helper()
	resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: l.Providers(), Steps: steps})
}

// tryProvider uses a configuration of the provider with the endpoint and the login of a
// lab, which are then not in the environment.
func tryProvider(t *testing.T, text string) {
	t.Helper()
	l := testlab.Alone(t)
	l.Set("GPUWORKER_ENDPOINT", "")
	l.Set("GPUWORKER_FINGERPRINT", "")
	step := resource.TestStep{ConfigVariables: config.Variables{}}
	step.Config = placeholder.ReplaceAllStringFunc(text, func(found string) string {
		if strings.HasPrefix(found, "https") {
			return l.Endpoint
		}
		return `"` + l.Fingerprint + `"`
	}) + "\ndata \"gpuworker_hosts\" \"all\" {}\n" // so that the provider is used
	if strings.Contains(text, "required_providers") {
		t.Setenv("TF_ACC_PROVIDER_NAMESPACE", "gpuworker")
	}
	if strings.Contains(text, "var.token") {
		step.ConfigVariables["token"] = config.StringVariable(l.Tokens["engine"])
		l.Set("GPUWORKER_TOKEN", "")
	}
	try(t, l, step)
}

// checkAgainstSchema compares the attributes of an example with the schema.
func checkAgainstSchema(t *testing.T, name, text string) {
	t.Helper()
	file, problems := hclsyntax.ParseConfig([]byte(text), name, hcl.InitialPos)
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	block := file.Body.(*hclsyntax.Body).Blocks[0]
	part := map[string]string{"action": "action_schemas", "list": "list_resource_schemas", "import": "resource_identity_schemas"}[block.Type]
	of, attributes := path.Base(path.Dir(name)), []string{}
	if block.Type == "import" {
		for _, item := range block.Body.Attributes["identity"].Expr.(*hclsyntax.ObjectConsExpr).Items {
			attributes = append(attributes, hcl.ExprAsKeyword(item.KeyExpr))
		}
	} else {
		of, attributes = block.Labels[0], slices.Collect(maps.Keys(block.Body.Blocks[0].Body.Attributes))
	}
	schema, _ := parsed(t)[part].(map[string]any)[of].(map[string]any)
	if inner, is := schema["block"].(map[string]any); is {
		schema = inner
	}
	known, _ := schema["attributes"].(map[string]any)
	for _, attribute := range attributes {
		if known[attribute] == nil {
			t.Errorf("%s of %s has no attribute %s", part, of, attribute)
		}
	}
	for attribute, properties := range known {
		needed := properties.(map[string]any)
		if (needed["required"] == true || needed["required_for_import"] == true) && !slices.Contains(attributes, attribute) {
			t.Errorf("%s of %s needs %s", part, of, attribute)
		}
	}
}

func TestTheExamplesAreFormatted(t *testing.T) {
	if output, err := exec.CommandContext(t.Context(), testlab.Tested(t).Path, "fmt", "-check", "-recursive", "-diff", examples).CombinedOutput(); err != nil {
		t.Errorf("run terraform fmt -recursive: %v\n%s", err, output)
	}
}

// parsed is the schema as gendocs writes it.
func parsed(t *testing.T) map[string]any {
	t.Helper()
	text, err := schemaOf(t.Context(), provider.New("test", io.Discard, os.Getenv))
	if err != nil {
		t.Fatal(err)
	}
	return providerIn(t, text, providerName)
}

func providerIn(t *testing.T, text []byte, name string) map[string]any {
	t.Helper()
	var all struct {
		Providers map[string]map[string]any `json:"provider_schemas"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if all.Providers[name] == nil {
		t.Fatalf("no provider %s in the schema", name)
	}
	return all.Providers[name]
}

func TestEachPartOfTheProviderHasAnExample(t *testing.T) {
	all := files(t)
	for part, file := range map[string]string{
		"resource_schemas": "resources/NAME/resource.tf", "data_source_schemas": "data-sources/NAME/data-source.tf",
		"functions": "functions/NAME/function.tf", "action_schemas": "actions/NAME/action.tf",
		"list_resource_schemas": "list-resources/NAME/list-resource.tfquery.hcl",
	} {
		of, _ := parsed(t)[part].(map[string]any)
		for name := range of {
			if want := strings.Replace(file, "NAME", name, 1); !slices.Contains(all, want) {
				t.Errorf("there is no example %s", want)
			}
		}
	}
}

// The schema is that of terraform, except the parts that only a newer terraform writes.
func TestTheSchemaIsThatOfTerraform(t *testing.T) {
	tested := testlab.Tested(t)
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "terraform-provider-gpuworker"), "../..")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("cli.tfrc", "provider_installation {\n  dev_overrides { \"gpuworker/gpuworker\" = \""+dir+"\" }\n}\n")
	write("main.tf", "terraform {\n  required_providers {\n    gpuworker = { source = \"gpuworker/gpuworker\" }\n  }\n}\n")
	t.Setenv("TF_CLI_CONFIG_FILE", filepath.Join(dir, "cli.tfrc"))
	ask := exec.CommandContext(t.Context(), tested.Path, "providers", "schema", "-json")
	ask.Dir = dir
	text, err := ask.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := providerIn(t, text, tested.Registry()+"/gpuworker/gpuworker")
	got := parsed(t)
	for name := range got {
		if _, known := want[name]; !known && (name == "action_schemas" || name == "list_resource_schemas" || name == "resource_identity_schemas") {
			delete(got, name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-terraform +gendocs):\n%s", diff)
	}
}
