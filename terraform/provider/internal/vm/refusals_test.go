package vm_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// refused is a worker on a card that the engine refuses.
func refused(host, gpu string, more ...string) string {
	return strings.NewReplacer(`"pve1"`, host, `{ bdf = "0000:03:00.0" }`, gpu).Replace(gpuVM(more...))
}

// TestWhatTheEngineRefusesIsRefusedAtThePlan compares each text in full.
func TestWhatTheEngineRefusesIsRefusedAtThePlan(t *testing.T) {
	const resourceLine = `resource "gpuworker_vm" "gpu" {`
	for name, test := range map[string]struct {
		token, config         string
		summary, line, detail string
	}{
		"the card is in another VM": {config: refused(`"pve2"`, `{ bdf = "0000:81:00.0" }`), line: resourceLine, summary: "Worker gpu-1 is refused", detail: `VM 204 on pve2, card 0000:81:00.0: attached to VM 204 "vdi-7", not ours, running (CARD-HELD)
				→ choose another card, or remove it from that VM: qm set 204 --delete hostpci0 (on pve2)`},
		"the group has a network card": {config: refused(`"pve1"`, `{ bdf = "0000:41:00.0" }`), line: resourceLine, summary: "Worker gpu-1 is refused", detail: `pve1, card 0000:41:00.0: shares IOMMU group 27 with 0000:42:00.0 I350 Gigabit Network Connection
				(network controller): starting a VM with the card would also take this device from the host (CARD-GROUP-SHARED)
				→ move the card to another slot, or turn ACS on in the host's firmware`},
		"the IOMMU is off": {config: refused(`"pve3"`, `{ bdf = "0000:0a:00.0" }`), line: resourceLine, summary: "Worker gpu-1 is refused", detail: `pve3, card 0000:0a:00.0: the IOMMU is off: no PCI device is in an IOMMU group (HOST-IOMMU-OFF)
				→ turn VT-d or AMD-Vi on in the host's firmware (and intel_iommu=on before kernel 6.8), then reboot the host`},
		"the token may not make mappings": {token: "weak", config: gpuVM(), line: resourceLine, summary: "Worker gpu-1 is refused", detail: `hypervisor proxmox: the login lacks Mapping.Modify on /mapping/pci, needed to claim cards (PRIVILEGE-MISSING)
				→ gpuworker role -f FILE prints the commands that make the right login`},
		"there is no such template": {config: strings.Replace(gpuVM(), "ubuntu-22.04", "ubuntu-2204", 1), line: resourceLine, summary: "Worker gpu-1 is refused", detail: `pve1, card 0000:03:00.0: there is no template "ubuntu-2204" on any visible host (TEMPLATE-MISSING)
				→ correct template, or make the template; the login needs VM.Audit to see it`},
		"there is no such card": {config: refused(`"pve1"`, `{ bdf = "0000:99:00.0" }`), line: resourceLine, summary: "Worker gpu-1 is refused", detail: `pve1, card 0000:99:00.0: the host has no device at this address; it has 0000:03:00.0 Tesla T4, 0000:41:00.0 GeForce RTX 3090 (CARD-MISSING)
				→ gpuworker gpus -f FILE lists the cards; addresses change when cards are added or moved`},
		"the BDF is malformed":     {config: refused(`"pve1"`, `{ bdf = "0000:03:0g.0" }`), line: `gpu      = { bdf = "0000:03:0g.0" }`, summary: "The configuration is not valid", detail: `gpu.bdf: "0000:03:0g.0" is not a PCI address; write it as domain:bus:device.function, for example "0000:03:00.0" (gpuworker gpus -f FILE lists them)`},
		"the name is no DNS label": {config: strings.Replace(gpuVM(), `"gpu-1"`, `"gpu_1"`, 1), line: `name     = "gpu_1"`, summary: "The configuration is not valid", detail: `name: "gpu_1" is not a valid name; use lower-case letters, digits, and hyphens inside; for example "gpu-1"`},
		"the host is empty":        {config: refused(`""`, `{ card = "pve1/0000:03:00.0" }`), line: `host     = ""`, summary: "The configuration is not valid", detail: `host is empty: leave it out, or write null, for the default`},
		"the pool is empty":        {config: gpuVM(`pool = ""`), line: `pool = ""`, summary: "The configuration is not valid", detail: `pool is empty: leave it out, or write null, for the default`},
		"the disk is no quantity":  {config: gpuVM(`machine = { disk = { size = "40 gigs" } }`), line: `machine = { disk = { size = "40 gigs" } }`, summary: "The configuration is not valid", detail: `machine.disk.size: "40 gigs" is not a quantity; write a number with a unit, for example "40Gi"`},
	} {
		t.Run(name, func(t *testing.T) {
			l := testlab.New(t)
			if test.token != "" {
				l.Set("GPUWORKER_TOKEN", l.Tokens[test.token])
			}
			run(l, t, resource.TestStep{
				Config: test.config, PlanOnly: true, ExpectError: testlab.Error(address, test.summary, test.line, test.detail),
			})
		})
	}
}

// TestTwoResourcesThatWantOneCard: Terraform plans them in any order, so either is refused.
func TestTwoResourcesThatWantOneCard(t *testing.T) {
	l := testlab.New(t)
	second := strings.NewReplacer(`"gpuworker_vm" "gpu"`, `"gpuworker_vm" "other"`, `"gpu-1"`, `"gpu-2"`).Replace(gpuVM())
	run(l, t, resource.TestStep{Config: gpuVM() + second, PlanOnly: true, ExpectError: regexp.MustCompile(`(?s)Error: The configuration is not valid.*bdf = "0000:03:00.0".*` +
		`gpu: the card pve1/0000:03:00.0 is already used; one card is for one\s+worker;\s+see gpu-[12]\s*$`)})
}
