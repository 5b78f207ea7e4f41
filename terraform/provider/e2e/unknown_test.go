package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// TestCardsThatAreKnownOnlyAfterApply: the plan decides nothing about the workers. The
// apply makes each on its card, and refuses a second worker on one card.
func TestCardsThatAreKnownOnlyAfterApply(t *testing.T) {
	t.Parallel()
	l := testlab.Start(t)
	w := newWorkspace(t, "terraform/provider/e2e/testdata/unknown", login(l))
	w.start()
	one := filepath.Join(w.dir, "terraform.tfvars")
	must(t, os.WriteFile(one, []byte(`cards = { gpu-1 = "pve1/0000:03:00.0", gpu-2 = "pve1/0000:03:00.0" }`), 0o600))
	out := w.ends(1, "apply", "-no-color", "-auto-approve")
	w.says(out, "Plan: 4 to add, 0 to change, 0 to destroy.")
	if lines := strings.Count(out, "+ card        = (known after apply)"); lines != 2 {
		t.Errorf("%d cards are known only after apply, want 2:\n%s", lines, out)
	}
	w.says(out, "gpu: the card pve1/0000:03:00.0 is already used; one card is for one worker; see gpu-")
	made := ours(l)
	if len(made) != 1 {
		t.Fatalf("there are the VMs %v, want one", made)
	}

	right := `cards = { gpu-1 = "pve1/0000:03:00.0", gpu-2 = "pve2/0000:03:00.0" }`
	want := map[string]string{"gpu-1": t4, "gpu-2": "mapping=gpu-pve2-0000-03-00,pcie=1"}
	if made["gpu-2"] != "" { // Terraform makes them in any order, and a worker keeps its card
		right = `cards = { gpu-1 = "pve2/0000:03:00.0", gpu-2 = "pve1/0000:03:00.0" }`
		want["gpu-1"], want["gpu-2"] = want["gpu-2"], want["gpu-1"]
	}
	must(t, os.WriteFile(one, []byte(right), 0o600))
	w.says(w.apply(), "Apply complete! Resources: 1 added, 1 changed, 0 destroyed.")
	wantVMs(t, l, want)
}
