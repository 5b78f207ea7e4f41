package pool_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/config"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// named is the plain pool with names.
func named(replicas, names string) string {
	return variables + strings.Replace(plain(replicas), "replicas ", "names = "+names+"\n  replicas ", 1)
}

var plainUpdates = resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction("gpuworker_pool.plain", plancheck.ResourceActionUpdate)}}

// uuidsStay is a check that the VMs of these workers are the same at each call.
func uuidsStay(address string, workers ...string) resource.TestCheckFunc {
	first := map[string]string{}
	return func(s *terraform.State) error {
		for _, name := range workers {
			uuid := s.RootModule().Resources[address].Primary.Attributes["workers."+name+".uuid"]
			if first[name] == "" {
				first[name] = uuid
			}
			if uuid == "" || uuid != first[name] {
				return fmt.Errorf("%s was VM %s and is VM %s", name, first[name], uuid)
			}
		}
		return nil
	}
}

// TestAPlainPoolShrinksByAName: the worker with the removed name is destroyed, not the last.
func TestAPlainPoolShrinksByAName(t *testing.T) {
	l := testlab.New(t)
	stay := uuidsStay("gpuworker_pool.plain", "alpha", "gamma")
	run(t, l, nil,
		resource.TestStep{Config: named("3", `["alpha", "beta", "gamma"]`), Check: stay},
		resource.TestStep{
			PreConfig: func() { l.Said() }, Config: named("2", `["alpha", "gamma"]`), ConfigPlanChecks: plainUpdates,
			Check: resource.ComposeAggregateTestCheckFunc(stay, ofPlain("workers.%", "2")),
		},
	)
	l.Expect("warning: Workers of pool plain are destroyed: beta: no longer declared")
}

// TestASemiPersistentPoolShrinksByAName: when its VM is named in the state.
func TestASemiPersistentPoolShrinksByAName(t *testing.T) {
	l, uuids := testlab.New(t), config.Variables{}
	semi := func(replicas, names string) string {
		return strings.Replace(named(replicas, names), "replicas ", "worker_lifecycle = \"SemiPersistent\"\n  allow_destroy_uuids = var.uuids\n  replicas ", 1)
	}
	three, two := semi("3", `["alpha", "beta", "gamma"]`), semi("2", `["alpha", "gamma"]`)
	stay := uuidsStay("gpuworker_pool.plain", "alpha", "gamma")
	beta := ""
	run(t, l, uuids,
		resource.TestStep{Config: three, Check: stay},
		resource.TestStep{Config: two, ExpectError: testlab.Says("Workers of pool plain would be destroyed", "no longer declared;")},
		resource.TestStep{
			PreConfig: func() {
				beta = l.UUID("beta")
				uuids["uuids"] = config.SetVariable(config.StringVariable(beta), config.StringVariable(l.UUID("alpha")), config.StringVariable(l.UUID("gamma")))
				all := l.Said()
				const summary = "error at replicas: Workers of pool plain would be destroyed: "
				want := summary + "beta (VM " + beta + "): no longer declared; semi-persistent workers are destroyed only when a person names their VMs\n" +
					"→ declare them again; or first apply allow_destroy_uuids = [\"" + beta + "\"] with the workers still declared, and then this change; without Terraform: gpuworker delete -f FILE beta"
				if all[0] != want {
					t.Errorf("the provider said:\n%s\nwant:\n%s", all[0], want)
				}
			},
			Config: three, Check: stay,
		},
		resource.TestStep{
			PreConfig: func() { l.Said() }, Config: two, ConfigPlanChecks: plainUpdates,
			Check: resource.ComposeAggregateTestCheckFunc(stay, ofPlain("workers.%", "2")),
		},
	)
	l.Expect("warning: Workers of pool plain are destroyed: beta: no longer declared, and named in allow_destroy_uuids")
}

// TestAGPUPoolShrinksByANameAndACard: of the same worker. The name of one and the card of
// another is refused, with what belongs together and what can be done.
func TestAGPUPoolShrinksByANameAndACard(t *testing.T) {
	l, uuids := testlab.New(t), config.Variables{}
	cards := func(names string, gpus ...string) string {
		return pool("names = " + names + "\n  gpus  = [{ card = \"" + strings.Join(gpus, `" }, { card = "`) + "\" }]")
	}
	const one, two = "pve1/0000:03:00.0", "pve2/0000:03:00.0"
	both := cards(`["alpha", "beta"]`, one, two)
	crossed := cards(`["beta"]`, one)
	const refusal = "gpu-2:\n" +
		"gpu-2: names has no free name for card pve1/0000:03:00.0: beta is a worker with card pve2/0000:03:00.0 and is no longer declared (VM-NAME-TAKEN)\n" +
		"→ keep name and card of the same worker (beta has card pve2/0000:03:00.0, alpha has card pve1/0000:03:00.0), or remove both; " +
		"to use the name for another card, first delete its worker: gpuworker delete -f FILE beta alpha"
	refused := func() { l.Expect("error at names: Workers of pool gpu are refused: " + refusal) }
	stays := uuidsStay(address, "beta")
	run(t, l, uuids,
		resource.TestStep{Config: both, Check: resource.ComposeAggregateTestCheckFunc(stays, testlab.RememberUUIDs(uuids, address))},
		resource.TestStep{PreConfig: func() { l.Said() }, Config: crossed, ExpectError: testlab.OnlyError("Workers of pool gpu are refused", refusal)},
		resource.TestStep{PreConfig: refused, Config: both},
		resource.TestStep{Config: crossed, ExpectError: testlab.OnlyError("Workers of pool gpu are refused", refusal)}, // naming the VMs does not help
		resource.TestStep{
			PreConfig: func() {
				l.Expect("error at names: Workers of pool gpu are refused: "+refusal, "warning: Workers of pool gpu are destroyed: beta, alpha: no longer declared, and named in allow_destroy_uuids")
			},
			Config: cards(`["beta"]`, two), ConfigPlanChecks: updates,
			Check: resource.ComposeAggregateTestCheckFunc(stays, has("workers.%", "1"), has("workers.beta.card", two)),
		},
		resource.TestStep{ // what the refusal says: the worker is deleted first
			PreConfig: func() { l.Work(plan.DeleteWorkers, "beta") }, Config: crossed,
			Check: resource.ComposeAggregateTestCheckFunc(has("workers.beta.card", one), testlab.RememberUUIDs(uuids, address)),
		},
		resource.TestStep{Config: crossed},
	)
}
