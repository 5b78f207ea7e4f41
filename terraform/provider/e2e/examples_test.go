package e2e

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// ours are the VMs with the mark of gpuworker: name, and the value of hostpci0.
func ours(l *testlab.Lab) map[string]string {
	found := map[string]string{}
	for _, vm := range l.Sim.State().VMs {
		if slices.Contains(strings.Split(vm.Config["tags"], ";"), "gpuworker") {
			found[vm.Name] = vm.Config["hostpci0"]
		}
	}
	return found
}

// vm returns the VM with this name.
func vm(t *testing.T, l *testlab.Lab, name string) pvesim.VMState {
	t.Helper()
	all := slices.Collect(maps.Values(l.Sim.State().VMs))
	at := slices.IndexFunc(all, func(vm pvesim.VMState) bool { return vm.Name == name && !vm.Template })
	if at < 0 {
		t.Fatalf("there is no VM %s", name)
	}
	return all[at]
}

// wantVMs requires these VMs of ours, and no others.
func wantVMs(t *testing.T, l *testlab.Lab, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, ours(l)); diff != "" {
		t.Fatalf("VMs of gpuworker (- want, + is):\n%s", diff)
	}
}

const t4 = "mapping=gpu-pve1-0000-03-00,pcie=1"

func TestTheExampleOfOneGPUWorker(t *testing.T) {
	t.Parallel()
	l := testlab.Start(t)
	w := newWorkspace(t, "examples/gpu_worker", login(l))
	w.start()
	w.plan("Plan: 1 to add, 0 to change, 0 to destroy.")
	w.apply()
	wantVMs(t, l, map[string]string{"gpu-1": t4})
	var assignment, uuid string
	w.output("hostpci_assignment", &assignment)
	w.output("uuid", &uuid)
	if assignment != t4 {
		t.Errorf("hostpci_assignment is %q, the VM has %q", assignment, t4)
	}

	w.edit("main.tf", "cores     = 4", "cores     = 8")
	w.refused(`Error: Worker gpu-1 would have to be restarted
		it is semi-persistent, and this change cannot be made while the VM runs: machine.cores: 4 → 8 (stop/start)
		→ set allow_restart = true, or undo the change`, "plan", "-no-color")
	w.edit("main.tf", `gpu_pci_bdf = "0000:03:00.0"`, "gpu_pci_bdf   = \"0000:03:00.0\"\n  allow_restart = true")
	w.says(w.plan("Plan: 0 to add, 1 to change, 0 to destroy."), "shut down, changed and started: machine.cores: 4 → 8 (stop/start)")
	w.apply()
	if got := vm(t, l, "gpu-1").Config["cores"]; got != "8" {
		t.Errorf("the VM has %s cores", got)
	}

	w.refused(`Error: Worker gpu-1 would be destroyed
		gpu-1: a semi-persistent worker is destroyed only when a person names its VM, `+uuid+`
		→ to destroy it, first apply allow_destroy_uuid = "`+uuid+`"; to keep the VM and only forget it,
		use removed { lifecycle { destroy = false } }; without Terraform: gpuworker delete -f FILE gpu-1`,
		"destroy", "-no-color", "-auto-approve")
	w.apply("-var=allow_destroy_uuid=" + uuid)
	w.destroy("-var=allow_destroy_uuid=" + uuid)
	wantVMs(t, l, map[string]string{})
}

// aloneInItsGroup moves the network card out of the IOMMU group of the RTX 3090 of pve1, so
// that the card can be used.
func aloneInItsGroup(world *pvesim.World) {
	for i := range world.Hosts {
		for j, function := range world.Hosts[i].PCI {
			if function.Address == "0000:42:00.0" {
				world.Hosts[i].PCI[j].Group = 28
			}
		}
	}
}

func TestTheExampleOfAPool(t *testing.T) {
	t.Parallel()
	l := testlab.Start(t, aloneInItsGroup)
	w := newWorkspace(t, "examples/gpu_pool", login(l))
	w.start()
	w.plan("Plan: 5 to add, 0 to change, 0 to destroy.")
	w.apply()
	all := map[string]string{
		"dev-cp-0": "", "dev-worker-0": "", "dev-worker-1": "",
		"dev-gpu-0000-03-00-0": t4, "dev-gpu-0000-41-00-0": "mapping=gpu-pve1-0000-41-00,pcie=1",
	}
	wantVMs(t, l, all)
	for name, count := range map[string]int{"control_plane_ips": 1, "worker_ips": 2, "gpu_worker_ips": 2} {
		var addresses []string
		w.output(name, &addresses)
		if len(addresses) != count || slices.Contains(addresses, "") {
			t.Errorf("%s is %q, want %d addresses", name, addresses, count)
		}
	}

	w.apply("-var=workers=1")
	delete(all, "dev-worker-1")
	wantVMs(t, l, all)

	uuids := w.allowAll("gpu_worker_uuids")
	w.apply("-var=workers=1", uuids)
	w.destroy("-var=workers=1", uuids)
	wantVMs(t, l, map[string]string{})
}

// allowAll returns the argument that allows to destroy the VMs of this output.
func (w *workspace) allowAll(output string) string {
	w.t.Helper()
	var uuids map[string]string
	w.output(output, &uuids)
	var entries []string
	for key, uuid := range uuids {
		entries = append(entries, `"`+key+`"="`+uuid+`"`)
	}
	return "-var=allow_destroy_uuids={" + strings.Join(entries, ",") + "}"
}

func TestTheExamplePoolSaysAtThePlanThatACardCannotBeUsed(t *testing.T) {
	t.Parallel()
	l := testlab.Start(t)
	w := newWorkspace(t, "examples/gpu_pool", login(l))
	w.start()
	w.refused(`dev-gpu-0000-41-00-0 is refused`, "plan", "-no-color")
}
