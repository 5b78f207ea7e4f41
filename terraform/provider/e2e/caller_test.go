package e2e

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// newCaller is a configuration that was written for the modules of another provider. Only
// source and required_providers are changed, and only the variables of that provider are
// in the environment.
func newCaller(t *testing.T, l *testlab.Lab) *workspace {
	t.Helper()
	w := newWorkspace(t, "terraform/provider/e2e/testdata/caller", loginOfTelmate(l))
	w.edit("main.tf", `    proxmox = {
      source  = "Telmate/proxmox"
      version = "2.9.14"
    }`, `    gpuworker = {
      source = "gpuworker/gpuworker"
    }`)
	w.edit("main.tf", "\"../modules/vm_ubuntu22\"\n  count  = 1", "\"../../../../modules/vm_ubuntu22\"\n  count  = 1")
	w.edit("main.tf", `"../modules/vm_ubuntu22"`, `"../../../../modules/vm_ubuntu22"`)
	w.edit("main.tf", `"../modules/gpu_worker"`, `"../../../../modules/gpu_worker"`)
	return w
}

func TestACallerOfOtherModulesChangesOnlySourceAndProvider(t *testing.T) {
	t.Parallel()
	l := testlab.Start(t, cardWithALetter)
	w := newCaller(t, l)
	w.start()
	w.plan("Plan: 5 to add, 0 to change, 0 to destroy.")
	w.says(w.apply(), `The VM is named dev-gpu-0000-03-00-0, because dev-gpu-0000-03-00.0 is no DNS label: a VM and its guest have
		one name, of lower-case letters, digits and hyphens, with at most 63 characters. The output vm_name is this
		name. To have no warning, write it so in name.`)
	all := map[string]string{
		"dev-cp-0": "", "dev-worker-0": "", "dev-worker-1": "",
		"dev-gpu-0000-03-00-0": t4, "dev-gpu-0000-4a-00-0": "mapping=gpu-pve1-0000-4a-00,pcie=1",
	}
	wantVMs(t, l, all)
	w.inventory()
	if got, want := vm(t, l, "dev-cp-0").Config["ipconfig0"], "ip=192.168.10.50/24,gw=192.168.10.1"; got != want {
		t.Errorf("the control plane has %q, want %q", got, want)
	}

	w.apply("-var=worker_count=3")
	all["dev-worker-2"] = ""
	wantVMs(t, l, all)

	w.allowDestroy()
	w.apply() // one plain worker less
	uuids := w.allowAll("uuids")
	w.apply(uuids)
	w.destroy(uuids)
	wantVMs(t, l, map[string]string{})
}

// inventory checks the outputs that an Ansible inventory is made from.
func (w *workspace) inventory() {
	w.t.Helper()
	var controlPlane, workers []string
	var gpuWorkers, names map[string]string
	w.output("control_plane_ips", &controlPlane)
	w.output("worker_ips", &workers)
	w.output("gpu_worker_ips", &gpuWorkers)
	w.output("gpu_workers", &names)
	if diff := cmp.Diff([]string{"192.168.10.50"}, controlPlane); diff != "" {
		w.t.Errorf("control_plane_ips (- want, + is):\n%s", diff)
	}
	if len(workers) != 2 {
		w.t.Errorf("worker_ips is %q", workers)
	}
	for _, text := range slices.Concat(workers, []string{gpuWorkers["0000:03:00.0"], gpuWorkers["0000:4A:00.0"]}) {
		if _, err := netip.ParseAddr(text); err != nil {
			w.t.Errorf("a worker has the address %q", text)
		}
	}
	if diff := cmp.Diff(map[string]string{
		"0000:03:00.0": "dev-gpu-0000-03-00-0 pve1 0000:03:00.0 " + t4,
		"0000:4A:00.0": "dev-gpu-0000-4a-00-0 pve1 0000:4a:00.0 mapping=gpu-pve1-0000-4a-00,pcie=1",
	}, names); diff != "" {
		w.t.Errorf("gpu_workers (- want, + is):\n%s", diff)
	}
}

// allowDestroy adds what a caller needs to destroy GPU workers.
func (w *workspace) allowDestroy() {
	w.t.Helper()
	w.edit("main.tf", "  host_bind_helper    = true\n", "  host_bind_helper    = true\n  allow_destroy_uuid  = lookup(var.allow_destroy_uuids, each.key, null)\n")
	w.edit("main.tf", "output \"gpu_workers\" {", `variable "allow_destroy_uuids" {
  type    = map(string)
  default = {}
}

output "uuids" {
  value = { for bdf, vm in module.gpu_worker : bdf => vm.uuid }
}

output "gpu_workers" {`)
}
