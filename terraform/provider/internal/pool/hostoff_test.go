package pool_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/config"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

var stays = does(plancheck.ResourceActionNoop)

const (
	hidden = "VM 9100 on pve1 may be worker gpu-1, but cannot be read: its host pve1 does not answer"

	reason = "gpu-1:\nVM 9100 on pve1: " + hidden + " (VM-UNREADABLE)\n→ bring host pve1 back, then run the same command again"

	notSeen    = "warning: Workers of pool gpu cannot be observed now: gpu-1: " + hidden
	notChanged = "warning: Nothing is changed in pool gpu now: " + reason
)

// TestAnUnchangedPoolIsPlannedWhileAHostIsOff: its state stays as it is, and other
// resources are planned and made. A change that cannot be decided is refused.
func TestAnUnchangedPoolIsPlannedWhileAHostIsOff(t *testing.T) {
	l, uuids := testlab.New(t), config.Variables{}
	online := func(on bool) { l.Must(l.Sim.SetHostOnline("pve1", on)) }
	same := resource.ComposeAggregateTestCheckFunc(has("workers.%", "2"), has("workers.gpu-1.vm_id", "9100"), has("workers.gpu-1.state", "Running"))
	const other = "\nresource \"gpuworker_vm\" \"other\" {\n  name     = \"other\"\n  host     = \"pve2\"\n  template = { name = \"ubuntu-22.04\" }\n}\n"
	run(t, l, uuids,
		resource.TestStep{Config: pool(twoGPUs), Check: testlab.RememberUUIDs(uuids, address)},
		resource.TestStep{Config: pool(twoGPUs)},
		resource.TestStep{
			PreConfig: func() { l.Configure("gpu-1", map[string]string{"cores": "6"}); l.Reboot("gpu-1") }, Config: pool(twoGPUs), Check: has("drift.#", "1"),
		},
		resource.TestStep{
			PreConfig: func() { l.Said(); online(false) }, Config: pool(twoGPUs), ConfigPlanChecks: stays, Check: resource.ComposeAggregateTestCheckFunc(same, has("drift.#", "1")),
		},
		resource.TestStep{PreConfig: func() { l.Expect(notSeen, notChanged) }, RefreshState: true, Check: same},
		resource.TestStep{
			PreConfig: func() { l.Expect(notSeen, notChanged) },
			Config:    pool(`proxmox = { on_boot = false }` + "\n" + twoGPUs), ExpectError: testlab.OnlyError("Workers of pool gpu are refused", reason),
		},
		resource.TestStep{
			PreConfig: func() { l.Expect(notSeen, "error: Workers of pool gpu are refused: "+reason); l.Stop("gpu-2") },
			Config:    pool(twoGPUs) + other, ConfigPlanChecks: stays, Check: resource.ComposeAggregateTestCheckFunc(same, has("workers.gpu-2.state", "Stopped")),
		},
		resource.TestStep{
			PreConfig: func() { l.Said(); online(true) }, Config: pool(twoGPUs), ConfigPlanChecks: updates,
			Check: resource.ComposeAggregateTestCheckFunc(same, has("workers.gpu-2.state", "Running"), has("drift.#", "1")),
		},
	)
}

// TestAnUnchangedPlainPoolIsPlannedWhileAHostIsOff: a VM without a card is found only by
// its identifier.
func TestAnUnchangedPlainPoolIsPlannedWhileAHostIsOff(t *testing.T) {
	l := testlab.New(t)
	run(t, l, nil,
		resource.TestStep{Config: plain("2"), Check: ofPlain("workers.plain-1.host", "pve1")},
		resource.TestStep{
			PreConfig: func() { l.Said(); l.Must(l.Sim.SetHostOnline("pve1", false)) },
			Config:    plain("2"), ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}, Check: ofPlain("workers.%", "2"),
		},
		resource.TestStep{
			PreConfig: func() {
				const hidden = "VM 9100 on pve1 may be worker plain-1, but cannot be read: its host pve1 does not answer"
				l.Expect("warning: Workers of pool plain cannot be observed now: plain-1: "+hidden,
					"warning: Nothing is changed in pool plain now: plain-1:\nVM 9100 on pve1: "+hidden+" (VM-UNREADABLE)\n→ bring host pve1 back, then run the same command again")
			},
			Config: plain("3"), ExpectError: testlab.Says("Workers of pool plain are refused", "VM 9100 on pve1: VM 9100 on pve1 may be worker plain-3, but cannot be read"),
		},
		resource.TestStep{PreConfig: func() { l.Must(l.Sim.SetHostOnline("pve1", true)) }, Config: plain("2"), Check: ofPlain("workers.%", "2")},
	)
}

// TestAMissingWorkerIsRefusedWhileAHostIsOff: the configuration is unchanged, but this
// worker is wanted and cannot be made.
func TestAMissingWorkerIsRefusedWhileAHostIsOff(t *testing.T) {
	l, uuids := testlab.New(t), config.Variables{}
	three := strings.Replace(pool(twoGPUs), "gpus =", "hosts = [\"pve1\", \"pve2\"]\ngpus =", 1)
	run(t, l, uuids,
		resource.TestStep{Config: three, Check: testlab.RememberUUIDs(uuids, address)},
		resource.TestStep{Config: three},
		resource.TestStep{
			PreConfig: func() { l.Work(plan.DeleteWorkers, "gpu-1"); l.Must(l.Sim.SetHostOnline("pve1", false)) },
			Config:    three, ExpectError: testlab.Says("Workers of pool gpu are refused", "gpu-1:"),
		},
		resource.TestStep{PreConfig: func() { l.Must(l.Sim.SetHostOnline("pve1", true)) }, Config: three, Check: testlab.RememberUUIDs(uuids, address)},
		resource.TestStep{Config: three},
	)
}
