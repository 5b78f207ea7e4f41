package main

import (
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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

// Each example works as it is against a cluster that has what it names: workers are
// planned, and all else is applied.
func TestEachExampleWorks(t *testing.T) {
	for _, name := range files(t) {
		t.Run(name, func(t *testing.T) {
			l := testlab.New(t)
			text, err := os.ReadFile(filepath.Join(examples, name))
			if err != nil {
				t.Fatal(err)
			}
			step := resource.TestStep{
				Config: placeholder.ReplaceAllStringFunc(string(text), func(found string) string {
					if strings.HasPrefix(found, "https") {
						return l.Endpoint
					}
					return `"` + os.Getenv("GPUWORKER_FINGERPRINT") + `"`
				}),
				ConfigVariables: config.Variables{},
			}
			if strings.Contains(step.Config, "required_providers") {
				t.Setenv("TF_ACC_PROVIDER_NAMESPACE", "gpuworker")
			}
			if strings.Contains(step.Config, "var.token") {
				step.ConfigVariables["token"] = config.StringVariable(os.Getenv("GPUWORKER_TOKEN"))
				t.Setenv("GPUWORKER_TOKEN", "")
			}
			if strings.HasPrefix(name, "provider/") {
				step.Config += "\ndata \"gpuworker_hosts\" \"all\" {}\n" // so that the provider is used
				t.Setenv("GPUWORKER_ENDPOINT", "")
				t.Setenv("GPUWORKER_FINGERPRINT", "")
			}
			if strings.HasPrefix(name, "resources/") {
				step.PlanOnly, step.ExpectNonEmptyPlan = true, true
			}
			resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: l.Providers(), Steps: []resource.TestStep{step}})
		})
	}
}

func TestTheExamplesAreFormatted(t *testing.T) {
	testlab.New(t)
	if output, err := exec.CommandContext(t.Context(), "terraform", "fmt", "-check", "-recursive", "-diff", examples).CombinedOutput(); err != nil {
		t.Errorf("run terraform fmt -recursive: %v\n%s", err, output)
	}
}

// parsed is the schema as gendocs writes it.
func parsed(t *testing.T) map[string]any {
	t.Helper()
	text, err := schemaOf(t.Context(), provider.New("test", io.Discard))
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
	testlab.New(t)
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
	ask := exec.CommandContext(t.Context(), "terraform", "providers", "schema", "-json")
	ask.Dir = dir
	text, err := ask.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := providerIn(t, text, provider.Address)
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
