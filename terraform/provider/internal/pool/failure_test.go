package pool_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/config"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// full is a disk that is full: the clone of one VM fails.
var full = pvesim.Fault{Method: "POST", Path: "/clone$", VMID: 9101, Effect: pvesim.TaskFails, Text: "no space left on device"}

// TestACreateThatFailsInTheMiddleIsFinishedByTheNextApply: the first worker is not made
// twice, and the pool is in the state afterwards.
func TestACreateThatFailsInTheMiddleIsFinishedByTheNextApply(t *testing.T) {
	l, uuids, first := testlab.New(t), config.Variables{}, ""
	run(t, l, uuids,
		resource.TestStep{
			PreConfig: func() { l.Must(l.Sim.Inject(full)) }, Config: pool(twoGPUs), ExpectError: regexp.MustCompile("no space left on device"),
		},
		resource.TestStep{
			PreConfig: func() {
				first = l.UUID("gpu-1")
				if said := strings.Join(l.Said(), "\n"); !strings.Contains(said, "warning: Pool gpu is not in the state: 1 worker made: gpu-1\n"+
					"→ apply again: it finds the VMs, proves that they are the workers, and makes only what is missing") {
					t.Errorf("the provider said:\n%s", said)
				}
			},
			Config: pool(twoGPUs), ConfigPlanChecks: does(plancheck.ResourceActionCreate),
			Check: resource.ComposeAggregateTestCheckFunc(has("workers.%", "2"), testlab.RememberUUIDs(uuids, address)),
		},
		resource.TestStep{
			PreConfig: func() {
				if now := l.UUID("gpu-1"); now != first {
					t.Errorf("gpu-1 was VM %s, is %s", first, now)
				}
				if said := strings.Join(l.Said(), "\n"); !strings.Contains(said,
					"warning: Workers of pool gpu exist already: gpu-1: their VMs are proven to be these workers: they are taken into the state and not made again") {
					t.Errorf("the provider said:\n%s", said)
				}
			},
			Config: pool(twoGPUs), ConfigPlanChecks: updates,
		},
	)
}

// TestAnUpdateThatFailsInTheMiddleIsFinishedByTheNextApply: the pool grows, one worker
// fails, another one is changed in place.
func TestAnUpdateThatFailsInTheMiddleIsFinishedByTheNextApply(t *testing.T) {
	l := testlab.New(t)
	grown := strings.Replace(plain("2"), "replicas", `labels = { zone = "a" }`+"\nreplicas", 1)
	run(t, l, nil,
		resource.TestStep{Config: plain("1")},
		resource.TestStep{
			PreConfig: func() { l.Must(l.Sim.Inject(full)) }, Config: grown, ExpectError: regexp.MustCompile("no space left on device"),
		},
		resource.TestStep{Config: grown, Check: resource.ComposeAggregateTestCheckFunc(ofPlain("workers.%", "2"), ofPlain("drift.#", "0"))},
	)
}

// TestAShrinkThatFailsInTheMiddleIsFinishedByTheNextApply: the permission of the prior
// state stays.
func TestAShrinkThatFailsInTheMiddleIsFinishedByTheNextApply(t *testing.T) {
	l, uuids := testlab.New(t), config.Variables{}
	run(t, l, uuids,
		resource.TestStep{Config: pool(twoGPUs), Check: testlab.RememberUUIDs(uuids, address)},
		resource.TestStep{Config: pool(twoGPUs)},
		resource.TestStep{
			PreConfig: func() {
				l.Must(l.Sim.Inject(pvesim.Fault{Method: "DELETE", Path: "/qemu/9101$", Effect: pvesim.TaskFails, Text: "storage is busy"}))
			},
			Config: strings.Replace(pool(oneCard), "var.uuids", "[]", 1), ExpectError: regexp.MustCompile("storage is busy"),
		},
		resource.TestStep{Config: pool(oneCard), Check: has("workers.%", "1")},
	)
	if l.VM("gpu-2") != nil {
		t.Error("gpu-2 is left")
	}
}

// TestADestroyThatFailsInTheMiddleIsFinishedByTheNextOne.
func TestADestroyThatFailsInTheMiddleIsFinishedByTheNextOne(t *testing.T) {
	l, uuids := testlab.New(t), config.Variables{}
	run(t, l, uuids,
		resource.TestStep{Config: pool(twoGPUs), Check: testlab.RememberUUIDs(uuids, address)},
		resource.TestStep{Config: pool(twoGPUs)},
		resource.TestStep{
			PreConfig: func() {
				l.Must(l.Sim.Inject(pvesim.Fault{Method: "DELETE", Path: "/qemu/9101$", Effect: pvesim.TaskFails, Text: "storage is busy"}))
			},
			Config: pool(twoGPUs), Destroy: true, ExpectError: regexp.MustCompile("storage is busy"),
		},
	)
	if len(l.Sim.State().Mappings) != 1 { // that of somebody else
		t.Errorf("claims are left: %v", l.Sim.State().Mappings)
	}
}
