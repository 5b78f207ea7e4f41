package inventory

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/pci"
)

func worker() Record {
	return Record{
		Version:   RecordVersion,
		WorkerKey: WorkerKey{Worker: "gpu-1", Pool: "gpu", KubeCluster: "rke2"}, Lifecycle: "SemiPersistent",
		VM: "9101", UUID: "6e0f0000-0000-4000-8000-000000000001", Host: "pve1", Card: pci.MustCardRef("pve1/0000:03:00.0"),
		Template: "ubuntu 22.04 (new)", Labels: "a=b,c=d e", Taints: "nvidia.com/gpu=present:NoSchedule",
		Created: "2026-11-29T18:00:00Z", Replaced: "5e0f0000-0000-4000-8000-000000000001", By: "ops@desk",
	}
}

func TestARecordSurvivesANote(t *testing.T) {
	for name, text := range map[string]string{
		"alone":                           worker().Line(),
		"below what people wrote":         "# My card\nkeep me\n" + worker().Line(),
		"above what people wrote":         worker().Line() + "\nkeep me too",
		"with a line feed at the end":     worker().Line() + "\n",
		"behind a description, on a line": "the left card " + worker().Line("made"),
		"above a line that mentions us":   worker().Line() + "\ngpuworker-managed, keep me: see gpuworker: docs",
		"below a line that mentions us":   "gpuworker: keep me\n" + worker().Line(),
		"before a mention, on a line":     worker().Line("made") + " gpuworker: keep me",
		"behind a mention, on a line":     "gpuworker: keep me " + worker().Line("made"),
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := ParseRecord(text)
			if !ok || got.Problem != "" || got.Record != worker() {
				t.Errorf("got %v %q, %v", ok, got.Problem, cmp.Diff(worker(), got.Record))
			}
			if strings.Contains(got.Rest, "v=1") || strings.Contains(text, "keep me") != strings.Contains(got.Rest, "keep me") {
				t.Errorf("the rest is %q", got.Rest)
			}
		})
	}
}

func TestARecordWithoutAKubeClusterIsRead(t *testing.T) {
	record := Record{Version: RecordVersion, WorkerKey: WorkerKey{Worker: "builder", Pool: "build"}, VM: "9101", UUID: "11111111-2222-3333-4444-555555555555"}
	line := record.Line()
	note, ok := ParseRecord(line)
	if !ok || note.Problem != "" || note.Record != record || strings.Contains(line, "cluster") {
		t.Errorf("%q is read as %+v", line, note)
	}
	if words := record.PoolWords(); words != "pool build" {
		t.Errorf("it is of %q", words)
	}
}

func TestARecordWithoutAVersionIsRead(t *testing.T) {
	got, ok := ParseRecord("gpuworker: worker=gpu-1 pool=gpu cluster=rke2 lifecycle=SemiPersistent vmid=9101 uuid=6e0f-01 host=pve1 card=0000%3A03%3A00 made")
	want := Record{WorkerKey: WorkerKey{Worker: "gpu-1", Pool: "gpu", KubeCluster: "rke2"}, Lifecycle: "SemiPersistent", VM: "9101", UUID: "6e0f-01", Host: "pve1", Card: pci.MustCardRef("pve1/0000:03:00.0")}
	if !ok || got.Problem != "" || got.Record != want || !got.Has("made") {
		t.Errorf("got %+v, %s", got, cmp.Diff(want, got.Record))
	}
}

func TestUnknownKeysAndFlagsAreKept(t *testing.T) {
	note, _ := ParseRecord(worker().Line("made", "later") + " gpu-uuid=GPU-1%2F2 probe=passed")
	if diff := cmp.Diff([]string{"made", "later"}, note.Flags); diff != "" {
		t.Error(diff)
	}
	again, ok := ParseRecord(note.Record.Line(note.Flags...))
	if diff := cmp.Diff(note, again); !ok || diff != "" {
		t.Error(diff)
	}
	if line := note.Record.Line(); !strings.Contains(line, " gpu-uuid=GPU-1%2F2 probe=passed") {
		t.Errorf("the unknown keys are gone: %s", line)
	}
}

// TestARecordOfANewerProgramIsUnusable: only worker, pool, cluster, vmid and uuid have
// the same meaning in all versions.
func TestARecordOfANewerProgramIsUnusable(t *testing.T) {
	note, ok := ParseRecord("gpuworker: v=2 worker=gpu-1 pool=gpu cluster=rke2 vmid=9101 uuid=6e0f-01 host=3 card=anything made")
	want := Record{Version: 2, WorkerKey: WorkerKey{Worker: "gpu-1", Pool: "gpu", KubeCluster: "rke2"}, VM: "9101", UUID: "6e0f-01"}
	if !ok || note.Record != want {
		t.Error(cmp.Diff(want, note.Record))
	}
	if want := "written by a newer gpuworker (record version 2, this program knows 1)"; !strings.Contains(note.Problem, want) {
		t.Errorf("the problem is %q, want %q in it", note.Problem, want)
	}
}

// TestADamagedRecordIsUnusable: names are printed in commands that people copy.
func TestADamagedRecordIsUnusable(t *testing.T) {
	for _, line := range []string{
		"worker=gpu-2%20%3B%20touch%20x", "worker=gpu-1 pool=%1b%5D0;x", "worker=gpu-1 cluster=a%0Ab", "worker=%zz", "worker=",
		"worker=gpu-1 worker=gpu-2", "worker=gpu-1 vmid=9101%3Bid", "worker=gpu-1 vmid=-1", "worker=gpu-1 uuid=$(id)", "worker=gpu-1 host=pve1%3Bid",
		"worker=gpu-1 v=x", "v=9", "worker=gpu-1 replacing=x%20y", "worker=gpu-1 card=%60id%60", "v=2 worker=%60id%60",
		"worker=" + strings.Repeat("a", 64),
		"worker=gpu-1\ngpuworker: worker=gpu-1", "worker=gpu-1 made gpuworker: worker=gpu-2", "v=2 worker=gpu-1\ngpuworker: worker=gpu-1",
	} {
		note, ok := ParseRecord("gpuworker: " + line)
		if !ok || note.Problem == "" {
			t.Errorf("%s is taken for a record: %+v", line, note)
		}
		if note.Record.Worker != "" || note.Record.Pool != "" || strings.ContainsAny(note.Record.VM, ";-") {
			t.Errorf("%s: names of a damaged record are passed on: %+v", line, note.Record)
		}
	}
}

func TestATextThatOnlyMentionsUsIsNotARecord(t *testing.T) {
	for _, text := range []string{"", "managed by gpuworker", "gpuworker: hello", "gpuworker: vmid=9101"} {
		if note, ok := ParseRecord(text); ok || note.Rest != text {
			t.Errorf("%q was taken for a record (rest %q)", text, note.Rest)
		}
	}
}

func TestOwnershipNeedsTheWholeProof(t *testing.T) {
	ours := func() VM {
		r := worker()
		return VM{ID: r.VM, Name: r.Worker, UUID: r.UUID, Tags: []string{"x", OwnerTag}, Record: &r}
	}
	tests := []struct {
		name   string
		change func(*VM)
		want   Ownership
	}{
		{"tag, number, name and UUID match", func(*VM) {}, Ours},
		{"running or not does not matter then", func(vm *VM) { vm.Running = true }, Ours},
		{"a VM without tag and note is foreign", func(vm *VM) { vm.Record, vm.Tags = nil, nil }, Foreign},
		{"a tag alone proves nothing", func(vm *VM) { vm.Record = nil }, Unverified},
		{"a clone of our VM has its note and another number", func(vm *VM) { vm.ID = "9102" }, Unverified},
		{"a renamed VM is not taken for ours", func(vm *VM) { vm.Name = "other" }, Unverified},
		{"another UUID on a running VM is a restored copy", func(vm *VM) { vm.UUID, vm.Running = "other", true }, Unverified},
		{"a new clone has neither tag nor our UUID yet", func(vm *VM) { vm.UUID, vm.Tags = "template's", nil }, Unmarked},
		{"where the hypervisor chose the identifier, the record names none", func(vm *VM) { vm.Record.VM = "" }, Ours},
		{"then another UUID is a copy, stopped or not", func(vm *VM) { vm.Record.VM, vm.UUID = "", "other" }, Unverified},
		{"and so is a VM without our tag", func(vm *VM) { vm.Record.VM, vm.Tags = "", nil }, Unverified},
		{"a template is never ours", func(vm *VM) { vm.Template = true }, Unverified},
		{"a damaged record proves nothing", func(vm *VM) { vm.Record, vm.RecordProblem = nil, "it is damaged" }, Unverified},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			vm := ours()
			tt.change(&vm)
			if got, why := vm.Ownership(); got != tt.want {
				t.Errorf("got %s (%s), want %s", got, why, tt.want)
			}
		})
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("gpu-1", "a=b", "note", "gpuworker: worker=x")
	f.Add("gpu-1", "a=b", "note", "gpuworker: v=3 worker=x vmid=7 a=%zz made")
	f.Fuzz(func(t *testing.T, name, labels, by, text string) {
		if note, ok := ParseRecord(text); ok && note.Problem == "" {
			again, _ := ParseRecord(note.Record.Line(note.Flags...))
			again.Record.Version, note.Record.Version, again.Rest, note.Rest = 0, 0, "", ""
			if diff := cmp.Diff(note, again); diff != "" {
				t.Fatalf("%q is written as another record: %s", text, diff)
			}
		}
		r := Record{Version: RecordVersion, WorkerKey: WorkerKey{Worker: name}, Labels: labels, By: by, VM: "100"}
		note, _ := ParseRecord(r.Line())
		if valid := name != "" && nameForm.MatchString(name); valid != (note.Problem == "" && note.Record == r) {
			t.Fatalf("%q reads back as %+v", r.Line(), note)
		}
	})
}
