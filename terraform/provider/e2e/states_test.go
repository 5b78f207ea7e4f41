package e2e

import (
	"slices"
	"testing"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// in is the same configuration with the state of another workspace of Terraform.
func (w *workspace) in(name string) *workspace {
	w.t.Helper()
	if name != "default" {
		w.do("workspace", "new", name)
	}
	return &workspace{w.t, w.terraform, w.dir, slices.Concat(w.env, []string{"TF_WORKSPACE=" + name})}
}

// TestTwoStates plans in three states before it applies: the same worker in two of them,
// and another worker with the same card in the third.
func TestTwoStates(t *testing.T) {
	t.Parallel()
	l := testlab.Start(t)
	w := newWorkspace(t, "terraform/provider/e2e/testdata/states", login(l))
	w.start()
	first, other, card := w.in("default"), w.in("other"), w.in("card")
	first.do("plan", "-no-color", "-out=first.tfplan")
	other.do("plan", "-no-color", "-out=other.tfplan")
	card.do("plan", "-no-color", "-out=card.tfplan", "-var=name=gpu-2")
	first.do("apply", "-no-color", "first.tfplan")
	uuid := l.UUID("gpu-1")

	card.refused(`Error: Worker gpu-2 is refused
		VM 9100 on pve1, card 0000:03:00.0: attached to VM 9100 "gpu-1", worker gpu-1 of pool gpu-1, running (CARD-HELD)
		→ choose another card, or delete that worker first: gpuworker delete -f FILE gpu-1`, "apply", "-no-color", "card.tfplan")

	out := other.ends(1, "apply", "-no-color", "other.tfplan")
	other.says(out, `Warning: Worker gpu-1 exists already
		VM 9100 on pve1 is proven to be this worker: it is taken into the state and not made again`)
	other.says(out, `Error: Provider produced inconsistent final plan`) // docs/troubleshooting.md says what to do
	other.says(out, `.origin: was cty.StringVal("Made"), but now cty.StringVal("Taken").`)
	other.says(other.apply(), "Apply complete! Resources: 1 added, 0 changed, 0 destroyed.")
	if got := l.UUID("gpu-1"); got != uuid {
		t.Errorf("the VM is %s, not %s", got, uuid)
	}
	wantVMs(t, l, map[string]string{"gpu-1": t4})

	other.do("apply", "-no-color", "-auto-approve", "-var=on_boot=false")
	first.says(first.plan("Plan: 0 to add, 1 to change, 0 to destroy."), "proxmox.onBoot: no → yes (live)")

	// One of them destroys the worker: the other makes it again, and never destroys that.
	first.do("apply", "-no-color", "-auto-approve", "-var=uuid="+uuid)
	first.destroy("-var=uuid=" + uuid)
	wantVMs(t, l, map[string]string{})
	other.plan("Plan: 1 to add, 0 to change, 0 to destroy.")
}
