package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// The variables that both modules have, with type and default. Callers of older modules of
// the same names depend on them. "-" is a variable without a default.
var common = map[string]string{
	"name": "string -", "node": "string -", "template": "string -",
	"cores": "number 2", "disk_pool": `string "local-lvm"`, "network_bridge": `string "vmbr0"`,
	"ssh_authorized_keys": "list(string) []", "cloud_init_user": `string "ubuntu"`, "enable_qga": "bool true",
	"dhcp": "bool true", "disk_slot": "number 0", "network_id": "number 0",
}

func with(all map[string]string, more map[string]string) map[string]string {
	all = maps.Clone(all)
	maps.Copy(all, more)
	return all
}

var interfaces = map[string]struct {
	variables map[string]string
	outputs   []string
}{
	"vm_ubuntu22": {
		with(common, map[string]string{
			"memory_mb": "number 2048", "disk_gb": "number 20", "static_ip_config": "string null", "wait_for_ip_timeout": "number 300",
		}),
		[]string{"vmid", "vm_name", "node", "ip_address"},
	},
	"gpu_worker": {
		with(common, map[string]string{
			"memory_mb": "number 4096", "disk_gb": "number 40", "static_ip_config": `string ""`, "wait_for_ip_timeout": "number 120",
			"gpu_pci_bdf": "string -", "x_vga": "bool false", "host_bind_helper": "bool true",
			// These are new.
			"allow_restart": "bool false", "allow_destroy_uuid": "string null", "template_os": "string null", "driver": "any null", "bootstrap": "any null",
		}),
		[]string{"vmid", "vm_name", "node", "ip_address", "gpu_pci_bdf", "hostpci_assignment", "uuid"},
	},
}

var (
	block    = regexp.MustCompile(`(?ms)^(variable|output) "(\w+)" \{\n(.*?)^\}`)
	argument = regexp.MustCompile(`(?m)^  (type|default) += (.*)$`)
)

func TestTheModulesHaveTheVariablesAndOutputsThatCallersKnow(t *testing.T) {
	for module, want := range interfaces {
		variables, outputs := map[string]string{}, []string{}
		for _, file := range []string{"variables.tf", "outputs.tf"} {
			text, err := os.ReadFile(filepath.Join(root, "terraform/modules", module, file))
			must(t, err)
			for _, found := range block.FindAllStringSubmatch(string(text), -1) {
				if found[1] == "output" {
					outputs = append(outputs, found[2])
					continue
				}
				arguments := map[string]string{"default": "-"}
				for _, pair := range argument.FindAllStringSubmatch(found[3], -1) {
					arguments[pair[1]] = pair[2]
				}
				variables[found[2]] = arguments["type"] + " " + arguments["default"]
			}
		}
		if diff := cmp.Diff(want.variables, variables); diff != "" {
			t.Errorf("variables of %s (- want, + is):\n%s", module, diff)
		}
		if diff := cmp.Diff(want.outputs, outputs); diff != "" {
			t.Errorf("outputs of %s (- want, + is):\n%s", module, diff)
		}
	}
}

func TestAllFilesAreFormatted(t *testing.T) {
	w := &workspace{t: t, terraform: testlab.Tested(t).Path, dir: root}
	for _, dir := range []string{"terraform/modules", "examples", "terraform/provider/e2e/testdata"} {
		if out, code := w.run("fmt", "-check", "-recursive", "-diff", "-no-color", dir); code != 0 {
			t.Errorf("terraform fmt -recursive %s:\n%s", dir, out)
		}
	}
}
