package pool_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// TestThePoolWaitsForItsGuestsAsLongAsAsked: a worker without a guest agent is made all the
// same, with a warning. Another time changes nothing else.
func TestThePoolWaitsForItsGuestsAsLongAsAsked(t *testing.T) {
	l := testlab.New(t, testlab.Agentless)
	written := -1
	count := func() { l.Watch(func(n int, _ bool) { written = n }) }
	waits := func(wait string) string {
		return strings.Replace(plain("1"), "replicas", `wait_for_address = "`+wait+`"`+"\nreplicas", 1)
	}
	run(t, l, nil,
		resource.TestStep{Config: waits("1s"), Check: resource.ComposeAggregateTestCheckFunc(ofPlain("workers.%", "1"), ofPlain("drift.#", "0"))},
		resource.TestStep{
			PreConfig: func() {
				const warning = "VM 9100 on pve1: agent: still waiting for the guest agent after 1s (STEP-AGENT-LATE)\n→ Look at the VM's console"
				if said := strings.Join(l.Said(), "\n"); !strings.Contains(said, warning) {
					t.Errorf("the provider said:\n%s", said)
				}
				written = 0
				count()
			},
			Config: waits("0s"), Check: ofPlain("wait_for_address", "0s"),
		},
		resource.TestStep{PreConfig: func() {
			if written != 0 {
				t.Errorf("another wait_for_address has made %d requests that write", written)
			}
		}, Config: waits("0s"), PlanOnly: true},
	)
}

// TestAPoolEndsWhenItsTimeIsOver, says what was going on, and the next apply goes on from
// there.
func TestAPoolEndsWhenItsTimeIsOver(t *testing.T) {
	l := testlab.Alone(t)
	limited := strings.Replace(plain("2"), "replicas", `timeouts = { create = "6s", read = "6s", update = "6s", delete = "6s" }`+"\nreplicas", 1)
	silent := func(path string) func() {
		return func() { l.Must(l.Sim.Inject(pvesim.Fault{Method: "GET", Path: path, Effect: pvesim.Hang})) }
	}
	over := func(operation, text string) string {
		return `(?s)the time of timeouts.` + operation + `, 6s, is over: ` + text
	}
	run(t, l, nil,
		resource.TestStep{
			PreConfig: silent("/tasks/.*qmclone.*/status$"), Config: limited,
			ExpectError: testlab.Broken(over("create", `plain-\d: clone: it was waiting for the clone of ubuntu-22.04 \(UPID.*qmclone.*\), which may still run
				→ run the same command again: it continues from here; for more time, set a longer timeouts.create`)),
		},
		resource.TestStep{Config: limited, Check: ofPlain("workers.%", "2")},
		resource.TestStep{
			PreConfig: silent("/qemu/9100/pending$"), Config: limited,
			ExpectError: testlab.Broken(over("read", ".*→ run the same command again; for more time, set a longer timeouts.read and apply it with -refresh=false")),
		},
		resource.TestStep{
			PreConfig: silent("/tasks/.*qmdestroy.*/status$"), Config: limited, Destroy: true,
			ExpectError: testlab.Broken(over("delete", `plain-\d: destroy: it was waiting for the VM and its disks to be removed \(UPID.*qmdestroy.*`)),
		},
	)
	if l.VM("plain-1") != nil || l.VM("plain-2") != nil {
		t.Error("a VM is left")
	}
}
