package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// recycle does what people do at the web interface, at the same time: they destroy the VMs
// of workers and make other VMs with their numbers and these options, which run.
func recycle(t *testing.T, l *testlab.Lab, workers map[string]map[string]string) (ids []int) {
	t.Helper()
	var group sync.WaitGroup
	problems := make(chan error, len(workers))
	for worker, options := range workers {
		old := vm(t, l, worker)
		ids = append(ids, old.ID)
		group.Go(func() { problems <- anotherVM(l.Root(), old.Host, old.ID, options) })
	}
	group.Wait()
	close(problems)
	for err := range problems {
		must(t, err)
	}
	return ids
}

// anotherVM destroys a VM and makes another one with its number.
func anotherVM(root *pve.Client, host string, id int, options map[string]string) error {
	ctx := context.Background()
	set := func(options map[string]string) func() (pve.Task, error) {
		return func() (pve.Task, error) {
			return pve.Task{}, root.UpdateConfig(ctx, host, id, pve.ConfigUpdate{Set: options})
		}
	}
	for _, work := range []func() (pve.Task, error){
		set(map[string]string{"protection": "0"}),
		func() (pve.Task, error) { return root.Stop(ctx, host, id) },
		func() (pve.Task, error) { return root.Destroy(ctx, host, id, pve.DestroyOptions{}) },
		func() (pve.Task, error) {
			return root.Clone(ctx, host, 9000, pve.CloneOptions{NewID: id, Name: options["name"]})
		},
		set(options),
		func() (pve.Task, error) { return root.Start(ctx, host, id, 0) },
	} {
		task, err := work()
		if err == nil && task != (pve.Task{}) {
			err = task.Wait(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// TestStrangersWithTheNumbersOfWorkers: between two runs of Terraform, the VMs of all
// workers were destroyed, and their numbers belong to VMs of somebody else now: one has the
// name and the card of the worker, one another name, and one the name, the tag and the note
// of the worker, like a copy of its VM. Terraform never touches them.
func TestStrangersWithTheNumbersOfWorkers(t *testing.T) {
	t.Parallel()
	l := testlab.Start(t)
	w := newWorkspace(t, "terraform/provider/e2e/testdata/stranger", login(l))
	w.start()
	w.do("apply", "-no-color", "-auto-approve")
	var uuid string
	w.output("uuid", &uuid)
	allow := "-var=uuid=" + uuid
	w.do("apply", "-no-color", "-auto-approve", allow)
	state := read(t, filepath.Join(w.dir, "terraform.tfstate"))

	gpu, copied := vm(t, l, "gpu-1").Config, vm(t, l, "plain-2").Config
	ids := recycle(t, l, map[string]map[string]string{
		"gpu-1":   {"name": "gpu-1", "machine": "q35", "hostpci0": gpu["hostpci0"]},
		"plain-1": {"name": "payroll"},
		"plain-2": {"name": "plain-2", "tags": copied["tags"], "description": copied["description"]},
		"w-1":     {"name": "accounts"},
	})
	before := strangers(l, ids)
	untouched := func(after string) {
		t.Helper()
		if diff := cmp.Diff(before, strangers(l, ids)); diff != "" {
			t.Fatalf("%s touches VMs of somebody else (- was, + is):\n%s", after, diff)
		}
	}

	refused := "Error: Worker plain-2 was not destroyed plain-2: plain-2, VM "
	w.says(w.ends(1, "destroy", "-no-color", "-auto-approve", "-refresh=false", allow), refused)
	if left := strings.TrimSpace(w.do("state", "list")); left != `gpuworker_vm.plain["plain-2"]` {
		t.Errorf("the state still has %s", left)
	}
	untouched("destroy -refresh=false")

	must(t, os.WriteFile(filepath.Join(w.dir, "terraform.tfstate"), state, 0o600))
	out := w.do("apply", "-no-color", "-auto-approve", allow)
	w.says(out, "Plan: 2 to add, 0 to change, 0 to destroy.") // plain-1 and w-1; the others need a person
	for worker, why := range map[string]string{
		"gpu-1":   " has this name and is not ours (VM-NAME-TAKEN)",
		"plain-2": " looks like ours, but owner tag or SMBIOS UUID does not match its note, and it is running; it is not touched (VM-IDENTITY)",
	} {
		id := vm(t, l, worker).ID
		w.says(out, fmt.Sprintf("it stays in the state: %s, VM %d on pve1: VM %d %q on pve1%s", worker, id, id, worker, why))
	}
	untouched("apply")
	w.says(w.ends(1, "destroy", "-no-color", "-auto-approve", allow), refused)
	untouched("destroy")
	for _, made := range []string{"plain-1", "w-1"} {
		if left := l.VM(made); left != nil {
			t.Errorf("the VM that the apply made for %s is not destroyed", made)
		}
	}
}

// strangers are these VMs as they are now.
func strangers(l *testlab.Lab, ids []int) []pvesim.VMState {
	var all []pvesim.VMState
	for _, id := range ids {
		all = append(all, l.Sim.State().VMs[id])
	}
	return all
}
