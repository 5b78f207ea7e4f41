package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// newest starts a cluster with the GPU worker gpu-1, made by a configuration with actions
// and lists, which need Terraform 1.14.
func newest(t *testing.T) (*testlab.Lab, *workspace) {
	t.Helper()
	testlab.Tested(t).NeedsTerraform(t, "v1.14.0", "terraform query and actions")
	l := testlab.Start(t)
	w := newWorkspace(t, "terraform/provider/e2e/testdata/newest", login(l))
	w.start()
	w.apply()
	return l, w
}

// want requires that the worker is in this state, for Terraform too.
func (w *workspace) want(state string) (uuid string) {
	w.t.Helper()
	w.do("apply", "-no-color", "-input=false", "-auto-approve", "-refresh-only")
	var got string
	w.output("state", &got)
	w.output("uuid", &uuid)
	if got != state {
		w.t.Errorf("the worker is %s, want %s", got, state)
	}
	w.empty()
	return uuid
}

func (w *workspace) invoke(action string, args ...string) string {
	w.t.Helper()
	return w.do(append([]string{"apply", "-no-color", "-input=false", "-auto-approve", "-invoke=action.gpuworker_" + action + ".gpu"}, args...)...)
}

func TestTheActionsOfTerraform(t *testing.T) {
	t.Parallel()
	l, w := newest(t)
	uuid := w.want("Running")
	w.says(w.invoke("park"), "gpu-1: shutdown done")
	if vm(t, l, "gpu-1").Running {
		t.Error("the parked worker runs")
	}
	w.want("Parked")
	w.says(w.invoke("park"), "gpu-1: nothing is to be done: already parked")
	w.says(w.invoke("unpark"), "gpu-1: start done")
	if same := w.want("Running"); same != uuid {
		t.Errorf("unpark changed the VM from %s to %s", uuid, same)
	}

	w.refused(`Error: The configuration is not valid
		uuid: "gpu-1" is not a UUID
		→ terraform state show prints the attribute uuid of the worker; gpuworker status -f FILE -o json too`,
		"plan", "-no-color", "-invoke=action.gpuworker_replace.gpu", "-var=uuid=gpu-1")
	w.says(w.invoke("replace", "-var=uuid="+uuid), "gpu-1: replaced done")
	w.says(w.do("plan", "-no-color"), "Warning: Worker gpu-1 is another VM now the state has VM "+uuid+", the worker is VM "+l.UUID("gpu-1")+` now:
		it was replaced by the command line, the action gpuworker_replace, or Terraform with another state`)
	other := w.want("Running")
	if other == uuid {
		t.Errorf("the worker is still VM %s", uuid)
	}
	w.says(w.invoke("replace", "-var=uuid="+uuid), "gpu-1: nothing is to be done: VM "+uuid+" is gone; the worker is VM "+other+" now,")
	if same := w.want("Running"); same != other {
		t.Errorf("the second replace changed the VM from %s to %s", other, same)
	}
	wantVMs(t, l, map[string]string{"gpu-1": t4})
}

// TestTerraformQuery finds workers and VMs that are none, writes the configuration of the
// workers, and imports them by their identity without a change.
func TestTerraformQuery(t *testing.T) {
	t.Parallel()
	l, w := newest(t)
	const worker = "hypervisor=proxmox,kube_cluster=,name=gpu-1,pool=gpu-1 gpu-1: VM 9100 on pve1, card pve1/0000:03:00.0"
	out := w.do("query", "-no-color")
	w.says(out, "list.gpuworker_vm.workers "+worker)
	w.says(out, `list.gpuworker_vm.foreign hypervisor=proxmox,kube_cluster=,name=vdi-7,pool= vdi-7: VM 204 on pve2, card pve2/0000:81:00.0,
		not a worker; gpuworker adopt -f FILE 204 --as NAME makes it one`)

	out = w.do("query", "-no-color", "-generate-config-out=found.tf")
	w.says(out, "list.gpuworker_vm.workers "+worker)
	w.says(out, `Warning: VM 204 is not a worker
		vdi-7: VM 204 on pve2, card pve2/0000:81:00.0: it is left out, because only a worker can be imported
		→ gpuworker adopt -f FILE 204 --as NAME makes it a worker`)

	w.do("state", "rm", "gpuworker_vm.gpu")
	text := string(read(t, filepath.Join(w.dir, "main.tf")))
	head, _, _ := strings.Cut(text, `resource "gpuworker_vm" "gpu"`)
	must(t, os.WriteFile(filepath.Join(w.dir, "main.tf"), []byte(head), 0o600))
	w.plan("Plan: 1 to import, 0 to add, 0 to change, 0 to destroy.")
	w.says(w.apply(), "Apply complete! Resources: 1 imported, 0 added, 0 changed, 0 destroyed.")
	w.do("state", "show", "-no-color", "gpuworker_vm.workers_0")
	wantVMs(t, l, map[string]string{"gpu-1": t4})
}

// TestThePageAboutNewerTerraformIsTrue follows the section of docs/terraform.md about
// query and actions.
func TestThePageAboutNewerTerraformIsTrue(t *testing.T) {
	t.Parallel()
	testlab.Tested(t).NeedsTerraform(t, "v1.14.0", "terraform query and actions")
	w := workspaceIn(t, t.TempDir(), login(testlab.Start(t)))
	p := readPage(t)
	main := p.block("main.tf")
	w.write(main + p.block("actions.tf"))
	must(t, os.WriteFile(filepath.Join(w.dir, "cards.tfquery.hcl"), []byte(p.block("cards.tfquery.hcl")), 0o600))
	w.start()
	w.apply()
	lists := strings.Split(strings.TrimSpace(w.do("query", "-no-color")), "\n\n")
	slices.Sort(lists) // Terraform prints them in any order
	p.shows(newer+"query", typed("query", strings.Join(lists, "\n\n")))

	parked := w.do("apply", "-no-color", "-auto-approve", "-invoke=action.gpuworker_park.gpu")
	lines := slices.Compact(strings.Split(pick(parked, `(?m)^Action .*\n`), "\n")) // a wait is reported again and again
	p.shows(newer+"park", typed("apply -invoke=action.gpuworker_park.gpu", strings.Join(lines, "\n")+"\n"+pick(parked, `(?m)^Apply complete.*`)))

	w.do("query", "-no-color", "-generate-config-out=found.tf")
	w.do("state", "rm", "gpuworker_vm.gpu")
	before, _, _ := strings.Cut(main, `resource "gpuworker_vm"`)
	w.write(before)
	imported := w.apply()
	p.shows(newer+"import", typed("apply", pick(imported, `(?m)^gpuworker_vm.*: Import.*\n`)+"\n"+pick(imported, `(?m)^Apply complete.*`)))
}
