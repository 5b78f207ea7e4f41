package e2e

import (
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// TestTheModuleWaitsForTheAddressAsLongAsItsVariableSays: the guests have no agent.
func TestTheModuleWaitsForTheAddressAsLongAsItsVariableSays(t *testing.T) {
	l := testlab.Start(t, testlab.Agentless)
	w := newWorkspace(t, "terraform/modules/gpu_worker", login(l))
	w.start()
	set := []string{"-var=name=gpu-1", "-var=node=pve1", "-var=template=ubuntu-22.04", "-var=gpu_pci_bdf=0000:03:00.0", "-var=allow_restart=true"}
	with := func(more ...string) []string { return append(set[:len(set):len(set)], more...) }

	w.says(w.apply(with("-var=wait_for_ip_timeout=1")...), `gpu-1, VM 9100 on pve1: agent: still waiting for the guest agent after 1s (STEP-AGENT-LATE)
		→ Look at the VM's console: whether the guest still boots, whether qemu-guest-agent runs, which the template must have installed and
		enabled, and whether the guest has an address.`)
	wantVMs(t, l, map[string]string{"gpu-1": t4})
	uuid := l.UUID("gpu-1")

	for _, none := range [][]string{
		{"-var=wait_for_ip_timeout=0"},
		{"-var=wait_for_ip_timeout=0", "-var=cores=3"}, // restarts the VM
		{"-var=enable_qga=false", "-var=cores=4"},
	} {
		if out := w.apply(with(none...)...); strings.Contains(flat(out), "still waiting for the guest agent") {
			t.Errorf("with %q, it has waited:\n%s", none, out)
		}
	}
	if now := l.UUID("gpu-1"); now != uuid || l.VM("gpu-1").Config["cores"] != "4" {
		t.Errorf("the VM is %s with %s cores, was %s", now, l.VM("gpu-1").Config["cores"], uuid)
	}
}

// TestTheModuleSaysThatItsHelperCannotBeLeftOut: a variable without effect warns.
func TestTheModuleSaysThatItsHelperCannotBeLeftOut(t *testing.T) {
	l := testlab.Start(t)
	w := newWorkspace(t, "terraform/modules/gpu_worker", login(l))
	w.start()
	const text = `host_bind_helper = false has no effect: files/bind_gpu.sh is a file of this module in any case, and Terraform never runs it.
		Remove the argument to have no warning.`
	for value, warns := range map[string]bool{"true": false, "false": true} {
		out := w.plan("Plan: 1 to add, 0 to change, 0 to destroy.", "-var=name=gpu-1", "-var=node=pve1", "-var=template=ubuntu-22.04", "-var=gpu_pci_bdf=0000:03:00.0", "-var=host_bind_helper="+value)
		if strings.Contains(flat(out), flat(text)) != warns {
			t.Errorf("with host_bind_helper = %s:\n%s", value, out)
		}
	}
}
