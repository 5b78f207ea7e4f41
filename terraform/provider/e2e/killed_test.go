package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// moments is how many moments of an apply terraform is killed at.
const moments = 20

// outcome is what an apply leaves: the VMs of gpuworker with their cards, and all PCI
// resource mappings. Claims are in their descriptions, without what differs in each run;
// the number of the VM is written as its name.
type outcome struct{ VMs, Mappings map[string]string }

func outcomeOf(t *testing.T, l *testlab.Lab) outcome {
	t.Helper()
	mappings, err := l.Root().Mappings(context.Background())
	must(t, err)
	found := outcome{ours(l), map[string]string{}}
	for _, one := range mappings {
		claim := ""
		for word := range strings.FieldsSeq(one.Description) {
			switch key, value, _ := strings.Cut(word, "="); {
			case key == "worker" || key == "pool" || word == "made":
				claim += " " + word
			case key == "vmid":
				id, err := strconv.Atoi(value)
				must(t, err)
				claim += " VM " + l.Sim.State().VMs[id].Name
			}
		}
		found.Mappings[one.ID] = strings.Join(one.Map, ";") + claim
	}
	return found
}

// TestTerraformIsKilled kills terraform and the provider at 20 moments of an apply. Then
// one apply is enough: it leaves the same as an undisturbed run, a second plan is empty,
// and no worker was cloned twice.
func TestTerraformIsKilled(t *testing.T) {
	t.Parallel()
	calm := testlab.Start(t)
	w := newWorkspace(t, "terraform/provider/e2e/testdata/killed", login(calm))
	var writes atomic.Int64
	calm.Watch(func(n int, _ bool) { writes.Store(int64(n)) })
	w.start()
	w.apply("-parallelism=1") // resources at the same time may have to repeat a write
	want := outcomeOf(t, calm)
	t.Logf("an undisturbed apply makes %d writes", writes.Load())
	for i := range moments {
		at, answered := 1+i*int(writes.Load())/moments, i%2 == 1
		t.Run(fmt.Sprintf("write %d, answered %v", at, answered), func(t *testing.T) {
			t.Parallel()
			l := testlab.Start(t)
			w := newWorkspace(t, "terraform/provider/e2e/testdata/killed", login(l))
			w.start()
			w.killed(l, at, answered)
			before := ours(l)
			w.apply()
			if diff := cmp.Diff(want, outcomeOf(t, l)); diff != "" {
				t.Errorf("it does not leave what an undisturbed run leaves (- want, + is):\n%s", diff)
			}
			w.inState(l)
			t.Logf("after the kill there were the VMs %v", before)
		})
	}
}

// killed runs an apply and kills it at a write: before or after the answer.
func (w *workspace) killed(l *testlab.Lab, at int, answered bool) {
	w.t.Helper()
	apply := exec.Command(w.terraform, "-chdir="+w.dir, "apply", "-no-color", "-input=false", "-auto-approve")
	apply.Env = w.env
	apply.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the provider too
	var pid atomic.Int64
	l.Watch(func(n int, done bool) {
		if n == at && done == answered {
			_ = syscall.Kill(-int(pid.Load()), syscall.SIGKILL)
		}
	})
	must(w.t, apply.Start())
	pid.Store(int64(apply.Process.Pid))
	if err := apply.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		w.t.Fatalf("it was not killed: %v", err)
	}
	l.Watch(func(int, bool) {})
}

// inState requires that the UUIDs in the state are those of the VMs.
func (w *workspace) inState(l *testlab.Lab) {
	w.t.Helper()
	var uuids map[string]string
	w.output("uuids", &uuids)
	for name, uuid := range uuids {
		if config := vm(w.t, l, name).Config["smbios1"]; !strings.Contains(config, uuid) {
			w.t.Errorf("the state has UUID %s for %s, the VM has %s", uuid, name, config)
		}
	}
}
