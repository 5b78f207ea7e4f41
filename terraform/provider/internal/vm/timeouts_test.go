package vm_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/config"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// silent makes the cluster not answer to one request. Without a limit, the operation would
// succeed a minute later.
func silent(l *testlab.Lab, path string) func() {
	return func() { l.Must(l.Sim.Inject(pvesim.Fault{Method: "GET", Path: path, Effect: pvesim.Hang})) }
}

// over matches the error of an operation whose time is over while it waits for a task.
func over(operation, doing, task, fix string) string {
	return `(?s)Error: Worker plain-1 was not \w+( as planned)?\s.*the time of timeouts.` + operation + `, 6s, is over: plain-1: ` + doing +
		` \(UPID:pve1:\S+:` + task + `:\S+\), which may still run\s+→ run the same command again: it continues from here; for more time, ` + fix + `\s*$`
}

// TestAnOperationEndsWhenItsTimeIsOver, says what was going on, and the next apply goes on
// from there.
func TestAnOperationEndsWhenItsTimeIsOver(t *testing.T) {
	l, variables, uuid := testlab.Alone(t), config.Variables{"uuid": config.StringVariable("")}, ""
	made := plainVM(`timeouts = { create = "6s", read = "6s", update = "6s", delete = "6s" }`, `worker_lifecycle = "SemiPersistent"`, "allow_restart = true",
		"allow_destroy_uuid = var.uuid", "machine = { cores = 2 }") + "variable \"uuid\" {}\n"
	restarted := strings.Replace(made, "cores = 2", "cores = 3", 1)
	step := func(config string, more resource.TestStep) resource.TestStep {
		more.Config, more.ConfigVariables = config, variables
		return more
	}
	run(l, t,
		step(made, resource.TestStep{
			PreConfig:   silent(l, "/tasks/.*qmclone.*/status$"),
			ExpectError: testlab.Broken(over("create", "clone: it was waiting for the clone of ubuntu-22.04", "qmclone", "set a longer timeouts.create")),
		}),
		step(made, resource.TestStep{ConfigPlanChecks: planned(plancheck.ResourceActionCreate), Check: resource.ComposeTestCheckFunc(keep(&uuid), testlab.Remember(variables, "uuid", address, "uuid"))}),
		step(restarted, resource.TestStep{
			PreConfig:   silent(l, "/tasks/.*qmshutdown.*/status$"),
			ExpectError: testlab.Broken(over("update", "shutdown: it was waiting for the guest to shut down", "qmshutdown", "set a longer timeouts.update")),
		}),
		step(restarted, resource.TestStep{
			PreConfig: silent(l, "/qemu/9100/pending$"),
			ExpectError: testlab.Broken(`(?s)Error: Worker plain-1 cannot be observed\s.*the time of timeouts.read, 6s, is over: .*
				→ run the same command again; for more time, set a longer timeouts.read and apply it with -refresh=false\s*$`),
		}),
		step(restarted, resource.TestStep{ConfigPlanChecks: planned(plancheck.ResourceActionUpdate), Check: same(&uuid)}),
		step(restarted, resource.TestStep{
			PreConfig: silent(l, "/tasks/.*qmdestroy.*/status$"), Destroy: true,
			ExpectError: testlab.Broken(over("delete", "destroy: it was waiting for the VM and its disks to be removed", "qmdestroy", "first apply a longer timeouts.delete")),
		}),
	)
	if l.VM("plain-1") != nil {
		t.Error("the VM is left")
	}
}
