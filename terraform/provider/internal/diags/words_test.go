package diags_test

import (
	"testing"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/diags"
)

// TestTextsOfTheEngineAreInTheWordsOfTerraform: attributes instead of fields of documents,
// and commands that work as printed.
func TestTextsOfTheEngineAreInTheWordsOfTerraform(t *testing.T) {
	for text, want := range map[string]string{
		"correct spec.template, or make the template":                               "correct template, or make the template",
		"correct spec.machine.disk.storage, or allow the storage on this host":      "correct machine.disk.storage, or allow the storage on this host",
		"(spec.requireHostFacts)":                                                   "(require_host_facts)",
		"add the host to spec.hosts.":                                               "add the host to hosts.",
		"widen spec.proxmox.vmids of the Hypervisor":                                "widen vmids of the provider",
		"set spec.proxmox.tls.fingerprint to it":                                    "set fingerprint of the provider to it",
		"correct spec.proxmox.resourcePool of the Hypervisor: gpuworker role":       "correct resource_pool of the provider: gpuworker role -f FILE",
		"allow ISO images on spec.proxmox.isoStorage":                               "allow ISO images on iso_storage of the provider",
		"set spec.proxmox.romBar":                                                   "set proxmox.rom_bar",
		"make build, or name a directory with your own builds: --guest-dir DIR":     "make build, or name a directory with your own builds: guest_dir of the provider",
		"To use it as it is: --guest-dir /opt/gpuworker":                            "To use it as it is: guest_dir of the provider = /opt/gpuworker",
		"gpuworker apply --allow-restart":                                           "set allow_restart = true",
		"gpuworker replace gpu-1 --vm 0b7dd7b9-8a51-4a38-8ef2-2f3f5c1f4a10":         "gpuworker replace -f FILE gpu-1 --vm 0b7dd7b9-8a51-4a38-8ef2-2f3f5c1f4a10",
		"gpuworker role -f FILE prints the commands; gpuworker explain HOST-DRIVER": "gpuworker role -f FILE prints the commands; gpuworker explain HOST-DRIVER",
	} {
		if got := diags.Detail(text, ""); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
