package pool_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/config"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

const variables = `
variable "uuids" {
  type    = set(string)
  default = []
}
`

// pool is the configuration of a GPU pool.
func pool(more string) string {
	return variables + `
resource "gpuworker_pool" "gpu" {
  name                = "gpu"
  allow_destroy_uuids = var.uuids
  template            = { name = "ubuntu-22.04" }
  machine             = { cores = 4, memory = "8Gi", disk = { size = "40Gi" } }
` + more + "\n}\n"
}

const (
	address = "gpuworker_pool.gpu"
	oneCard = `gpus = [{ card = "pve1/0000:03:00.0" }]`
	twoGPUs = `gpus = [{ card = "pve1/0000:03:00.0" }, { model = "Tesla T4" }]`
)

// unknownDrivers is the warning about the hosts of both workers.
const unknownDrivers = "warning: About workers of pool gpu (HOST-DRIVER): gpu-1 (pve1, card 0000:03:00.0), gpu-2 (pve2, card 0000:03:00.0): " +
	"the kernel driver that holds the card is not known: the API of Proxmox VE does not show it\n" +
	"→ lspci -nnk -s 0000:03:00   (on pve1): it should say vfio-pci, or no driver\n" +
	"→ lspci -nnk -s 0000:03:00   (on pve2): it should say vfio-pci, or no driver"

func has(attribute, value string) resource.TestCheckFunc {
	return resource.TestCheckResourceAttr(address, attribute, value)
}

func does(action plancheck.ResourceActionType) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, action)}}
}

var updates = does(plancheck.ResourceActionUpdate)

// run runs the steps with these variables, and then destroys the pools: the last step has
// to allow it.
func run(t *testing.T, l *testlab.Lab, uuids config.Variables, steps ...resource.TestStep) {
	t.Helper()
	for i := range steps {
		steps[i].ConfigVariables = uuids
	}
	resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: l.Providers(), Steps: steps})
}

func TestAGPUPoolIsMadeAndDestroyed(t *testing.T) {
	l, uuids := testlab.New(t), config.Variables{}
	made := pool(twoGPUs)
	run(t, l, uuids,
		resource.TestStep{
			Config: made, ConfigPlanChecks: does(plancheck.ResourceActionCreate),
			Check: resource.ComposeAggregateTestCheckFunc(
				has("id", "/gpu"), has("workers.%", "2"), has("drift.#", "0"),
				has("workers.gpu-1.card", "pve1/0000:03:00.0"), has("workers.gpu-1.iommu_group", "14"), has("workers.gpu-1.model", "Tesla T4"),
				has("workers.gpu-1.host", "pve1"), has("workers.gpu-1.state", "Running"), has("workers.gpu-1.vm_id", "9100"),
				has("workers.gpu-2.card", "pve2/0000:03:00.0"), has("workers.gpu-2.iommu_group", "11"),
				resource.TestMatchResourceAttr(address, "workers.gpu-2.uuid", regexp.MustCompile("^[0-9a-f-]{36}$")),
				resource.TestCheckResourceAttrSet(address, "workers.gpu-1.ip_address"),
			),
		},
		resource.TestStep{
			PreConfig: func() {
				l.Expect(unknownDrivers, "warning: The engine chooses hosts and cards: gpu-2: card pve2/0000:03:00.0, Tesla T4: card alone in IOMMU group 11, host memory 34 of 128 GiB used\n→ apply chooses again")
			},
			Config: made, Destroy: true, ExpectError: regexp.MustCompile("Pool gpu would be destroyed"),
		},
		resource.TestStep{
			PreConfig: func() {
				one, two := l.UUID("gpu-1"), l.UUID("gpu-2")
				l.Expect("error: Pool gpu would be destroyed: semi-persistent workers are destroyed only when a person names their VMs; the state does not name " +
					"gpu-1 (VM " + one + ") and gpu-2 (VM " + two + ")\n→ to destroy all workers, first apply allow_destroy_uuids = [\"" + one + "\", \"" + two + "\"]; " +
					"to keep the VMs and only forget the pool, use removed { lifecycle { destroy = false } }; without Terraform: gpuworker delete -f FILE gpu-1 gpu-2")
			},
			Config: made, Check: testlab.RememberUUIDs(uuids, address),
		},
		resource.TestStep{Config: made, ConfigPlanChecks: updates},
	)
	for _, name := range []string{"gpu-1", "gpu-2"} {
		if vm := l.VM(name); vm != nil {
			t.Errorf("VM %d is left", vm.ID)
		}
	}
}

const plainPool = `
resource "gpuworker_pool" "plain" {
  name         = "plain"
  kube_cluster = "rke2"
  template     = { name = "ubuntu-22.04" }
  machine      = { cores = 2, memory = "2Gi" }
  replicas     = REPLICAS
}
`

func plain(replicas string) string { return strings.Replace(plainPool, "REPLICAS", replicas, 1) }

// ofPlain is a check of an attribute of the plain pool.
func ofPlain(attribute, value string) resource.TestCheckFunc {
	return resource.TestCheckResourceAttr("gpuworker_pool.plain", attribute, value)
}

// TestAPlainPoolGrowsShrinksAndIsRepaired: its workers are ephemeral, so what happens to
// them is only announced.
func TestAPlainPoolGrowsShrinksAndIsRepaired(t *testing.T) {
	l := testlab.New(t)
	bios := strings.Replace(plain("1"), `memory = "2Gi"`, `memory = "2Gi", firmware = "BIOS"`, 1)
	first := ""
	run(t, l, nil,
		resource.TestStep{Config: plain("2"), Check: resource.ComposeAggregateTestCheckFunc(ofPlain("workers.%", "2"), ofPlain("id", "rke2/plain"))},
		resource.TestStep{
			PreConfig: func() {
				l.Expect("warning: The engine chooses hosts and cards: plain-1: on pve1: host memory 3 of 128 GiB used\nplain-2: on pve2: host memory 34 of 128 GiB used\n→ apply chooses again")
			},
			Config: plain("3"), Check: ofPlain("workers.%", "3"),
		},
		resource.TestStep{
			PreConfig: func() { l.Said(); l.Stop("plain-2") }, Config: plain("3"),
			Check: resource.ComposeAggregateTestCheckFunc(ofPlain("workers.plain-2.state", "Running"), resource.TestCheckResourceAttrSet("gpuworker_pool.plain", "workers.plain-2.ip_address")),
		},
		resource.TestStep{
			PreConfig: func() { l.Expect(); l.Destroy("plain-1") }, Config: plain("3"), Check: ofPlain("workers.%", "3"),
		},
		resource.TestStep{
			PreConfig: func() { l.Said() }, Config: plain("1"), Check: ofPlain("workers.%", "1"),
		},
		resource.TestStep{
			PreConfig: func() {
				l.Expect("warning: Workers of pool plain are destroyed: plain-2, plain-3: no longer declared")
				first = l.UUID("plain-1")
			},
			Config: bios, Check: ofPlain("workers.%", "1"),
		},
	)
	l.Expect("warning: Workers of pool plain are replaced: plain-1: they are ephemeral, and cannot be changed in place: machine.firmware: UEFI → BIOS (replace only)")
	if first == "" || l.VM("plain-1") != nil {
		t.Error("plain-1 is left")
	}
}

// TestAChangeOfAGPUPool: in place, with a restart, and refused because it needs a replace.
func TestAChangeOfAGPUPool(t *testing.T) {
	l, uuids := testlab.New(t), config.Variables{}
	joined := `kube_cluster = "rke2"` + "\n"
	labelled := joined + `labels = { zone = "a" }` + "\n"
	more := func(text string) string { return strings.Replace(pool(labelled+twoGPUs), `memory = "8Gi"`, text, 1) }
	restarted := strings.Replace(more(`memory = "12Gi"`), "name ", "allow_restart = true\nname ", 1)
	other := strings.Replace(restarted, `template            = { name = "ubuntu-22.04" }`, `template = { name = "debian-13" }`, 1)
	run(t, l, uuids,
		resource.TestStep{Config: pool(joined + twoGPUs), Check: testlab.RememberUUIDs(uuids, address)},
		resource.TestStep{Config: pool(labelled + twoGPUs), ConfigPlanChecks: updates, Check: has("drift.#", "0")},
		resource.TestStep{PreConfig: func() { l.Said() }, Config: more(`memory = "12Gi"`), ExpectError: regexp.MustCompile("would have to be restarted")},
		resource.TestStep{
			PreConfig: func() {
				l.Expect("error at machine: Workers of pool gpu would have to be restarted: gpu-1, gpu-2: semi-persistent, and this change cannot be made while the VM runs: " +
					"machine.memory: 8 GiB → 12 GiB (stop/start)\n→ set allow_restart = true, or undo the change")
			},
			Config: restarted, ConfigPlanChecks: updates, Check: resource.TestCheckResourceAttrSet(address, "workers.gpu-2.ip_address"),
		},
		resource.TestStep{
			PreConfig: func() {
				l.Expect(unknownDrivers, "warning: Workers of pool gpu are restarted: gpu-1, gpu-2: shut down, changed and started: machine.memory: 8 GiB → 12 GiB (stop/start)")
			},
			Config: other, ExpectError: regexp.MustCompile("would have to be replaced"),
		},
		resource.TestStep{
			PreConfig: func() {
				l.Expect("error at template: Workers of pool gpu would have to be replaced: gpu-1, gpu-2: semi-persistent, and this change cannot be made while the VM runs: " +
					"template: ubuntu-22.04 → debian-13 (replace only)\n→ undo the change; or replace the VMs deliberately:\n" +
					"gpuworker replace -f FILE gpu-1 --vm " + l.UUID("gpu-1") + "\ngpuworker replace -f FILE gpu-2 --vm " + l.UUID("gpu-2"))
			},
			Config: restarted,
		},
	)
}

// TestAGPUPoolGrowsAndShrinks: a worker that is no longer declared is destroyed only when
// its VM is named in the state.
func TestAGPUPoolGrowsAndShrinks(t *testing.T) {
	l, uuids, none := testlab.New(t), config.Variables{}, config.Variables{}
	run(t, l, none,
		resource.TestStep{Config: pool(oneCard)},
		resource.TestStep{Config: pool(twoGPUs), Check: resource.ComposeAggregateTestCheckFunc(has("workers.%", "2"), testlab.RememberUUIDs(uuids, address))},
		resource.TestStep{PreConfig: func() { l.Said() }, Config: pool(oneCard), ExpectError: regexp.MustCompile("Workers of pool gpu would be destroyed")},
		resource.TestStep{ // naming it in the same apply is not enough
			PreConfig: func() {
				l.Expect(shrinks(l))
				none["uuids"] = uuids["uuids"]
			},
			Config: pool(oneCard), ExpectError: regexp.MustCompile("Workers of pool gpu would be destroyed"),
		},
		resource.TestStep{PreConfig: func() { l.Expect(shrinks(l)) }, Config: pool(twoGPUs)},
		resource.TestStep{Config: pool(oneCard), ConfigPlanChecks: updates, Check: resource.ComposeAggregateTestCheckFunc(has("workers.%", "1"), has("workers.gpu-1.vm_id", "9100"))},
	)
	l.Expect("warning: Workers of pool gpu are destroyed: gpu-2: no longer declared, and named in allow_destroy_uuids")
}

// shrinks is the refusal to take gpu-2 out of the pool.
func shrinks(l *testlab.Lab) string {
	uuid := l.UUID("gpu-2")
	return "error at gpus: Workers of pool gpu would be destroyed: gpu-2 (VM " + uuid + "): no longer declared; semi-persistent workers are destroyed only when a person names their VMs\n" +
		"→ declare them again; or first apply allow_destroy_uuids = [\"" + uuid + "\"] with the workers still declared, and then this change; without Terraform: gpuworker delete -f FILE gpu-2"
}

// TestAnEphemeralPoolGoesToAnotherKubeCluster: its workers keep their names, so the old
// VMs must be gone before anything can be decided about the new ones.
func TestAnEphemeralPoolGoesToAnotherKubeCluster(t *testing.T) {
	l := testlab.New(t)
	other := strings.Replace(plain("2"), `"rke2"`, `"k3s"`, 1)
	run(t, l, nil,
		resource.TestStep{Config: plain("2")},
		resource.TestStep{Config: other, Check: resource.ComposeAggregateTestCheckFunc(ofPlain("workers.%", "2"), ofPlain("id", "k3s/plain"))},
	)
}
