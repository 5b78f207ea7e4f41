package inventory

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func worker() Record {
	return Record{
		Worker: "gpu-1", Pool: "gpu", KubeCluster: "rke2", Lifecycle: "SemiPersistent",
		VMID: 9101, UUID: "6e0f…", Host: "pve1", Card: "0000:03:00",
		Template: "ubuntu 22.04 (new)", Labels: "a=b,c=d e", Taints: "nvidia.com/gpu=present:NoSchedule", By: "ops@desk",
	}
}

func TestARecordSurvivesANote(t *testing.T) {
	for name, note := range map[string]string{
		"alone":                           worker().Line(),
		"below what people wrote":         "# My card\nkeep me\n" + worker().Line(),
		"above what people wrote":         worker().Line() + "\nkeep me too",
		"with a line feed at the end":     worker().Line() + "\n",
		"behind a description, on a line": "the left card " + worker().Line("made"),
	} {
		t.Run(name, func(t *testing.T) {
			got, _, rest, ok := ParseRecord(note)
			if !ok || got != worker() {
				t.Errorf("got %v, %v", ok, cmp.Diff(worker(), got))
			}
			if strings.Contains(rest, "gpuworker:") || strings.Contains(note, "keep me") != strings.Contains(rest, "keep me") {
				t.Errorf("rest = %q", rest)
			}
		})
	}
}

func TestWordsThatAreNoFieldAreToldApart(t *testing.T) {
	_, words, _, _ := ParseRecord(worker().Line("made", "releasing", "future=thing"))
	if diff := cmp.Diff([]string{"made", "releasing", "future=thing"}, words); diff != "" {
		t.Error(diff)
	}
}

func TestANoteThatOnlyMentionsUsIsNoRecord(t *testing.T) {
	for _, note := range []string{"", "managed by gpuworker", "gpuworker: hello", "gpuworker: vmid=9101"} {
		if _, _, rest, ok := ParseRecord(note); ok || rest != note {
			t.Errorf("%q was taken for a record (rest %q)", note, rest)
		}
	}
}

func TestOwnershipNeedsTheWholeProof(t *testing.T) {
	ours := func() VM {
		r := worker()
		return VM{VMID: r.VMID, Name: r.Worker, UUID: r.UUID, Tags: []string{"x", OwnerTag}, Record: &r}
	}
	tests := []struct {
		name   string
		change func(*VM)
		want   Ownership
	}{
		{"tag, number, name and UUID fit", func(*VM) {}, Ours},
		{"running or not does not matter then", func(vm *VM) { vm.Running = true }, Ours},
		{"a VM without tag and note is somebody else's", func(vm *VM) { vm.Record, vm.Tags = nil, nil }, Foreign},
		{"a tag alone proves nothing", func(vm *VM) { vm.Record = nil }, Doubtful},
		{"a clone of our VM has its note and another number", func(vm *VM) { vm.VMID = 9102 }, Doubtful},
		{"a renamed VM is not taken for ours", func(vm *VM) { vm.Name = "other" }, Doubtful},
		{"another UUID on a running VM is a restored copy", func(vm *VM) { vm.UUID, vm.Running = "other", true }, Doubtful},
		{"a fresh clone has neither tag nor our UUID yet", func(vm *VM) { vm.UUID, vm.Tags = "template's", nil }, Fresh},
		{"a template is never ours", func(vm *VM) { vm.Template = true }, Doubtful},
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
	f.Add("gpu 1", "a=b", "note", "gpuworker: worker=x")
	f.Fuzz(func(t *testing.T, name, labels, by, note string) {
		ParseRecord(note) // must not panic
		r := Record{Worker: "w" + name, Labels: labels, By: by, VMID: 100}
		got, _, _, ok := ParseRecord(r.Line())
		if !ok || got != r {
			t.Fatalf("%q reads back as %+v", r.Line(), got)
		}
	})
}
