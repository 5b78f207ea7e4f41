package pool_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/config"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// TestRefusalsOfAPlan: what the engine refuses, a plan refuses, with the engine's reasons
// and at the attribute that causes them.
func TestRefusalsOfAPlan(t *testing.T) {
	const notValid = ": The configuration is not valid: "
	for name, c := range map[string]struct{ config, said string }{
		"a card that a VM holds": {
			pool(`gpus = [{ card = "pve2/0000:81:00.0" }]`), "error at gpus: Workers of pool gpu are refused: gpu-1:\n" +
				"VM 204 on pve2, card 0000:81:00.0: attached to VM 204 \"vdi-7\", not ours, running (CARD-HELD)\n" +
				"→ choose another card, or remove it from that VM: qm set 204 --delete hostpci0   (on pve2)",
		},
		"a card in one IOMMU group with a network card": {
			pool(`gpus = [{ card = "pve1/0000:41:00.0" }]`), "error at gpus: Workers of pool gpu are refused: gpu-1:\n" +
				"pve1, card 0000:41:00.0: shares IOMMU group 27 with 0000:42:00.0 I350 Gigabit Network Connection (network controller): " +
				"starting a VM with the card would also take this device from the host (CARD-GROUP-SHARED)\n" +
				"→ move the card to another slot, or turn ACS on in the host's firmware",
		},
		"a host with its IOMMU off": {
			pool(`gpus = [{ card = "pve3/0000:0a:00.0" }]`), "error at gpus: Workers of pool gpu are refused: gpu-1:\n" +
				"pve3, card 0000:0a:00.0: the IOMMU is off: no PCI device is in an IOMMU group (HOST-IOMMU-OFF)\n" +
				"→ turn VT-d or AMD-Vi on in the host's firmware (and intel_iommu=on before kernel 6.8), then reboot the host",
		},
		"a template that does not exist": {
			strings.Replace(pool(oneCard), "ubuntu-22.04", "debian-13", 1), "error at template: Workers of pool gpu are refused: gpu-1:\n" +
				"pve1, card 0000:03:00.0: there is no template \"debian-13\" on any visible host (TEMPLATE-MISSING)\n" +
				"→ correct template, or make the template; the login needs VM.Audit to see it",
		},
		"cards that do not exist": {
			pool(`gpus = [{ model = "H100", count = 2 }]`), "error at gpus: Workers of pool gpu are refused: gpu-1, gpu-2:\n" +
				"pve1: no H100 here; the host has 1 × Tesla T4, 1 × GeForce RTX 3090 (CARD-NO-MATCH)\n" +
				"→ correct the model, or allow a host that has one: gpuworker gpus -f FILE\n" +
				"pve2: no H100 here; the host has 2 × Tesla T4 (CARD-NO-MATCH)\n" +
				"→ correct the model, or allow a host that has one: gpuworker gpus -f FILE\n" +
				"pve3: no H100 here; the host has 1 × GeForce RTX 3090 (CARD-NO-MATCH)\n" +
				"→ correct the model, or allow a host that has one: gpuworker gpus -f FILE",
		},
		"a BDF that is none": {
			pool(`gpus = [{ host = "pve1", bdf = "3:0:0" }]`), "error at gpus" + notValid + "gpus[0].bdf: " +
				`"3:0:0" is not a PCI address; write it as domain:bus:device.function, for example "0000:03:00.0" (gpuworker gpus -f FILE lists them)`,
		},
		"an ephemeral pool with GPUs": {
			pool(oneCard + "\nworker_lifecycle = \"Ephemeral\""), "error at worker_lifecycle" + notValid + "worker_lifecycle: " +
				"a pool with gpus cannot be Ephemeral: a GPU worker holds a card, and a replacement would wait for this card. Write SemiPersistent, or leave it out",
		},
		"GPUs and replicas": {
			pool(oneCard + "\nreplicas = 2"), "error at replicas" + notValid + "replicas: a pool has gpus or replicas, not both; with gpus there is one worker for each card",
		},
		"labels that a kubelet cannot set": {
			pool(oneCard + "\nkube_cluster = \"rke2\"\nlabels = { \"node-role.kubernetes.io/gpu\" = \"true\" }"),
			"error at labels" + notValid + "labels[\"node-role.kubernetes.io/gpu\"]: a kubelet may not set this label on its own node: it would refuse to start, and the node would never join. " +
				"Remove it here and set it after the join: kubectl label node gpu-1 node-role.kubernetes.io/gpu=true",
		},
		"a name that is no DNS label": {
			strings.Replace(pool(oneCard), `= "gpu"`, `= "GPU_1"`, 1), "error at name" + notValid + "name: " +
				`"GPU_1" is not a valid name; use lower-case letters, digits, and hyphens inside; for example "gpu-1"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := testlab.New(t)
			run(t, l, nil, resource.TestStep{Config: c.config, PlanOnly: true, ExpectError: regexp.MustCompile("Error: ")})
			l.Expect(c.said)
		})
	}
}

// TestTwoPoolsThatWantOneCard: the second one is refused, and the message names the first.
func TestTwoPoolsThatWantOneCard(t *testing.T) {
	l := testlab.New(t)
	second := strings.NewReplacer(`"gpu" {`, `"other" {`, `= "gpu"`, `= "other"`, variables, "", `template `, "depends_on = [gpuworker_pool.gpu]\ntemplate ").Replace(pool(oneCard))
	run(t, l, nil, resource.TestStep{Config: pool(oneCard) + second, PlanOnly: true, ExpectError: regexp.MustCompile("already used")})
	l.Expect(
		"error at gpus: The configuration is not valid: gpus[0]: the card pve1/0000:03:00.0 is already used; one card is for one worker; see gpu",
		"warning: About workers of pool gpu (HOST-DRIVER): gpu-1 (pve1, card 0000:03:00.0): the kernel driver that holds the card is not known: the API of Proxmox VE does not show it\n"+
			"→ lspci -nnk -s 0000:03:00   (on pve1): it should say vfio-pci, or no driver",
	)
}

// TestATaintedPoolIsNotReplaced, and neither is one that is named with -replace.
func TestATaintedPoolIsNotReplaced(t *testing.T) {
	l, uuids := testlab.Alone(t), config.Variables{}
	const refusal = "error: Pool gpu would be replaced: its resource is tainted, was named with -replace, or has another address in the configuration now, and these workers are semi-persistent; their VMs and disks would be lost: gpu-1 and gpu-2\n" +
		"→ terraform untaint keeps the VMs, and so does moved { from = OLD, to = NEW } after a new address; gpuworker replace -f FILE NAME replaces one worker deliberately, on the same card"
	run(t, l, uuids,
		resource.TestStep{Config: pool(twoGPUs), Check: testlab.RememberUUIDs(uuids, address)},
		resource.TestStep{Config: pool(twoGPUs)},
		resource.TestStep{
			PreConfig: func() { l.Said(); t.Setenv("TF_CLI_ARGS_plan", "-replace="+address) },
			Config:    pool(twoGPUs), ExpectError: regexp.MustCompile("Pool gpu would be replaced"),
		},
		resource.TestStep{
			PreConfig: func() { l.Expect(refusal); t.Setenv("TF_CLI_ARGS_plan", "") },
			Taint:     []string{address}, Config: pool(twoGPUs), ExpectError: regexp.MustCompile("Pool gpu would be replaced"),
		},
	)
	l.Expect(refusal)
}

// TestATaintedPlainPoolIsRefused: with create_before_destroy, Terraform would take its
// VMs for the new ones, and then destroy them.
func TestATaintedPlainPoolIsRefused(t *testing.T) {
	l, before := testlab.New(t), ""
	run(t, l, nil,
		resource.TestStep{Config: plain("2")},
		resource.TestStep{
			PreConfig: func() { before = l.UUID("plain-1") }, Taint: []string{"gpuworker_pool.plain"}, Config: plain("2"),
			ExpectError: regexp.MustCompile("Pool plain would be replaced"),
		},
		testlab.Forget("gpuworker_pool.plain"),
	)
	if l.UUID("plain-1") != before {
		t.Error("plain-1 is another VM")
	}
}

// TestAnotherNameOfAPoolIsRefused while its workers may not be destroyed.
func TestAnotherNameOfAPoolIsRefused(t *testing.T) {
	l, uuids := testlab.New(t), config.Variables{}
	run(t, l, uuids,
		resource.TestStep{Config: pool(oneCard)},
		resource.TestStep{
			PreConfig: func() { l.Said() }, Config: strings.Replace(pool(oneCard), `= "gpu"`, `= "gpus"`, 1), ExpectError: regexp.MustCompile("Pool gpu would be destroyed"),
		},
		resource.TestStep{
			PreConfig: func() {
				uuid := l.UUID("gpu-1")
				l.Expect("error at name: Pool gpu would be destroyed: name and kube_cluster say which pool this is; with another one, all VMs would be destroyed and others made; " +
					"semi-persistent workers are destroyed only when a person names their VMs; the state does not name gpu-1 (VM " + uuid + ")\n" +
					"→ undo the change; to destroy all workers, first apply allow_destroy_uuids = [\"" + uuid + "\"]; " +
					"to keep the VMs and only forget the pool, use removed { lifecycle { destroy = false } }; without Terraform: gpuworker delete -f FILE gpu-1")
			},
			Config: pool(oneCard), Check: testlab.RememberUUIDs(uuids, address),
		},
		resource.TestStep{Config: pool(oneCard)},
	)
}

// TestAPoolWithValuesThatAreNotKnownYet is planned when they do not decide where the
// workers are, and made when they are known.
func TestAPoolWithValuesThatAreNotKnownYet(t *testing.T) {
	l := testlab.New(t)
	key := `resource "terraform_data" "key" { input = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2kS1T0ZkqSDvXyQxEo8yQpJ6wq0kxM9XU3l3Yk8vWl ops" }` + "\n" +
		`resource "terraform_data" "size" { input = 2 }` + "\n"
	withKey := strings.Replace(plain("2"), "replicas", "access = { ssh_keys = [terraform_data.key.output] }\nreplicas", 1)
	withSize := strings.Replace(withKey, "= 2\n}", "= terraform_data.size.output\n}", 1)
	run(t, l, nil,
		resource.TestStep{Config: key + withSize, Check: ofPlain("workers.%", "2")},
	)
	run(t, l, nil, resource.TestStep{Config: key + strings.Replace(withKey, "ubuntu-22.04", "debian-13", 1), PlanOnly: true, ExpectError: regexp.MustCompile("debian-13")})
}

// TestAnEmptyPoolStaysInTheState.
func TestAnEmptyPoolStaysInTheState(t *testing.T) {
	l := testlab.New(t)
	run(t, l, nil, resource.TestStep{Config: plain("0"), Check: ofPlain("workers.%", "0")}, resource.TestStep{Config: plain("1")}, resource.TestStep{Config: plain("0")})
}

// TestAPermissionDoesNotSurviveANewVM: gpu-2 is another VM now, which the state does not
// name.
func TestAPermissionDoesNotSurviveANewVM(t *testing.T) {
	l, uuids, before := testlab.New(t), config.Variables{}, ""
	run(t, l, uuids,
		resource.TestStep{Config: pool(twoGPUs), Check: testlab.RememberUUIDs(uuids, address)},
		resource.TestStep{Config: pool(twoGPUs)},
		resource.TestStep{PreConfig: func() { before = l.UUID("gpu-2"); l.Destroy("gpu-2") }, Config: pool(twoGPUs), Check: has("workers.%", "2")},
		resource.TestStep{PreConfig: func() { l.Said() }, Config: pool(twoGPUs), Destroy: true, ExpectError: regexp.MustCompile("Pool gpu would be destroyed")},
		resource.TestStep{
			PreConfig: func() {
				one, two := l.UUID("gpu-1"), l.UUID("gpu-2")
				if two == before {
					t.Error("gpu-2 is still the same VM")
				}
				l.Expect("error: Pool gpu would be destroyed: semi-persistent workers are destroyed only when a person names their VMs; the state does not name " +
					"gpu-2 (VM " + two + ")\n→ to destroy all workers, first apply allow_destroy_uuids = [\"" + one + "\", \"" + two + "\"]; " +
					"to keep the VMs and only forget the pool, use removed { lifecycle { destroy = false } }; without Terraform: gpuworker delete -f FILE gpu-1 gpu-2")
			},
			Config: pool(twoGPUs), Check: testlab.RememberUUIDs(uuids, address),
		},
		resource.TestStep{Config: pool(twoGPUs)},
	)
}

// TestAPoolThatIsGoneIsMadeAgain after a person has destroyed all its VMs.
func TestAPoolThatIsGoneIsMadeAgain(t *testing.T) {
	l := testlab.New(t)
	var said []string
	run(t, l, nil,
		resource.TestStep{Config: plain("2")},
		resource.TestStep{
			PreConfig: func() { l.Said(); l.Destroy("plain-1"); l.Destroy("plain-2") }, Config: plain("2"),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction("gpuworker_pool.plain", plancheck.ResourceActionCreate)}},
			Check:            func(*terraform.State) error { said = l.Said(); return nil },
		},
	)
	if !slices.Contains(said, "removed from the state: gpuworker_pool") {
		t.Errorf("the provider said %q", said)
	}
}
