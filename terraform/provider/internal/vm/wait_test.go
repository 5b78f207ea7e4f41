package vm_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// asked is how often the cluster was asked for addresses of guests.
func asked(l *testlab.Lab) int {
	n := 0
	for _, r := range l.Sim.Requests() {
		if strings.Contains(r.Path, "/agent/") {
			n++
		}
	}
	return n
}

// TestAGuestWithoutAnAgentIsWaitedForAsLongAsAsked: it is made all the same, with a warning.
// Another time changes only the state: nothing is written to the cluster.
func TestAGuestWithoutAnAgentIsWaitedForAsLongAsAsked(t *testing.T) {
	l := testlab.New(t, testlab.Agentless)
	uuid, writes := "", 0
	changed := func(to string) resource.TestStep {
		return resource.TestStep{
			PreConfig: func() { l.Watch(func(n int, _ bool) { writes = n }) },
			Config:    gpuVM(to), ConfigPlanChecks: planned(plancheck.ResourceActionUpdate), Check: same(&uuid),
		}
	}
	run(l, t,
		resource.TestStep{Config: gpuVM(`wait_for_address = "1s"`), ConfigPlanChecks: planned(plancheck.ResourceActionCreate), Check: resource.ComposeTestCheckFunc(keep(&uuid),
			has("state", "Running", "addresses.#", "0", "attachment", "mapping=gpu-pve1-0000-03-00,pcie=1"))},
		resource.TestStep{
			PreConfig: func() {
				l.Expect("warning: About worker gpu-1: pve1, card 0000:03:00.0: the kernel driver that holds the card is not known: the API of Proxmox VE does not show it (HOST-DRIVER)\n"+
					"→ lspci -nnk -s 0000:03:00   (on pve1): it should say vfio-pci, or no driver",
					"warning: Worker gpu-1 runs, with a warning: gpu-1, VM 9100 on pve1: agent: still waiting for the guest agent after 1s (STEP-AGENT-LATE)\n"+
						"→ Look at the VM's console: whether the guest still boots, whether qemu-guest-agent runs, which the template must have installed and enabled, and whether the guest has an address.")
			},
			Config: gpuVM(`wait_for_address = "1s"`), ConfigPlanChecks: empty,
		},
		changed(`wait_for_address = "2m"`), changed(``), changed(`wait_for_address = "0s"`),
		testlab.Forget(address),
	)
	if writes > 0 {
		t.Errorf("a change of wait_for_address has made %d requests that write", writes)
	}
}

// TestNothingIsWaitedFor: the agent is not asked before the next refresh, which finds the
// address.
func TestNothingIsWaitedFor(t *testing.T) {
	l := testlab.New(t)
	none := func(*terraform.State) error {
		if n := asked(l); n > 0 {
			t.Errorf("the guest agent was asked %d times", n)
		}
		return nil
	}
	config := plainVM(`wait_for_address = "0"`)
	run(l, t,
		resource.TestStep{Config: config, Check: resource.ComposeTestCheckFunc(none, has("addresses.#", "0"), resource.TestCheckNoResourceAttr(address, "ip_address"))},
		resource.TestStep{RefreshState: true, Check: resource.TestCheckResourceAttrSet(address, "ip_address")},
		resource.TestStep{Config: config, ConfigPlanChecks: empty},
	)
}

// TestARestartedGuestIsWaitedForToo, and a time that is no duration is refused.
func TestARestartedGuestIsWaitedForToo(t *testing.T) {
	l := testlab.New(t, testlab.Agentless)
	waits := func(wait, cores string) string {
		return plainVM(`wait_for_address = "`+wait+`"`, `machine = { cores = `+cores+` }`)
	}
	refused := func(wait string) resource.TestStep {
		return resource.TestStep{Config: waits(wait, "2"), ExpectError: testlab.Error(address, "The configuration is not valid", `wait_for_address = "`+wait+`"`,
			`wait_for_address: "`+wait+`" is not a duration of zero or more
			→ write "90s" or "2m", or "0s" to not wait`)}
	}
	run(l, t, refused("2 minutes"), refused("-5m"), refused("120"),
		resource.TestStep{Config: waits("0s", "2")},
		resource.TestStep{PreConfig: func() { l.Said() }, Config: waits("1s", "3"), ConfigPlanChecks: planned(plancheck.ResourceActionUpdate)},
	)
	if said := strings.Join(l.Said(), "\n"); !strings.Contains(said, "VM 9100 on pve1: agent: still waiting for the guest agent after 1s (STEP-AGENT-LATE)") {
		t.Errorf("the provider said:\n%s", said)
	}
}
