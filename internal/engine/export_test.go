package engine_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// exported are the documents of an export, decoded again.
func (l *lab) exported() *v1alpha1.Documents {
	l.t.Helper()
	text, err := l.engine("ops@desk", header[:strings.LastIndex(header, "---")], nil).Export(context.Background())
	l.must(err)
	documents, err := document.Decode(document.File{Name: "exported.yaml", Data: text})
	if err != nil {
		l.t.Fatalf("%v\n%s", err, text)
	}
	return documents
}

// TestAnExportKnowsFullClones: otherwise the next worker of the pool would be a linked
// clone.
func TestAnExportKnowsFullClones(t *testing.T) {
	for name, tt := range map[string]struct {
		template string
		change   func(w *pvesim.World)
		machine  string
		forget   bool // the record is one of those that did not say it yet
		want     v1alpha1.CloneMode
	}{
		"full":                              {"{name: ubuntu-22.04, clone: Full}", nil, "memory: 2Gi", false, v1alpha1.CloneFull},
		"linked":                            {"{name: ubuntu-22.04}", nil, "memory: 2Gi", false, ""},
		"full, to another storage, forgot":  {"{name: ubuntu-22.04, clone: Full}", onSharedStorage(true), "disk: {storage: local-lvm}, memory: 2Gi", true, v1alpha1.CloneFull},
		"full, to the same storage, forgot": {"{name: ubuntu-22.04, clone: Full}", nil, "memory: 2Gi", true, ""}, // nobody can know
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, func(w *pvesim.World) {
					if tt.change != nil {
						tt.change(w)
					}
				})
				documents := edit("{name: ubuntu-22.04}", tt.template)(edit("memory: 2Gi", tt.machine)(duo))
				l.must(apply(context.Background(), l.engine("ops@desk", documents, nil)))
				if tt.forget {
					l.forgetClone()
				}
				pools := l.exported().WorkerPools
				if len(pools) != 1 || pools[0].Spec.Template.Clone != tt.want {
					t.Errorf("exported %d pools, clone %q, want %q", len(pools), pools[0].Spec.Template.Clone, tt.want)
				}
			})
		})
	}
}

// forgetClone removes the kind of clone from plain-1's record.
func (l *lab) forgetClone() {
	l.t.Helper()
	root, err := pve.New(pve.Options{Endpoint: "https://pve1:8006", Username: "root@pam", Password: l.rootPassword, Transport: l.sim.Transport()})
	l.must(err)
	for id, vm := range l.sim.State().VMs {
		note, ours := inventory.ParseRecord(vm.Config["description"])
		if !ours {
			continue
		}
		record := note.Record
		if record.Clone = ""; record.Worker == "plain-1" {
			l.must(root.UpdateConfig(context.Background(), vm.Host, id, pve.ConfigUpdate{Set: map[string]string{"description": record.Line()}}))
		}
	}
}

// TestADeviceNameCannotAddADocument: the names of free cards are in comments.
func TestADeviceNameCannotAddADocument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, func(w *pvesim.World) {
			w.Hosts[0].PCI = slices.Clone(w.Hosts[0].PCI)
			for i := range w.Hosts[0].PCI {
				if w.Hosts[0].PCI[i].Address == "0000:03:00.0" {
					w.Hosts[0].PCI[i].Name = "X [T4\n---\napiVersion: gpuworker.io/v1alpha1\nkind: WorkerPool\n#\u2028\u0085\x1b[2J]"
				}
			}
		})
		if pools := l.exported().WorkerPools; len(pools) != 0 {
			t.Errorf("a card's name became %d pools", len(pools))
		}
	})
}

// TestAnExportIsValidWithoutItsKubeClusters: a file with only a Hypervisor has none, but
// the workers name one.
func TestAnExportIsValidWithoutItsKubeClusters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.must(apply(context.Background(), l.engine("ops@desk", duo, nil)))
		text, err := l.engine("ops@desk", header[:strings.Index(header, "---")], nil).Export(context.Background())
		l.must(err)
		documents, err := document.Decode(document.File{Name: "exported.yaml", Data: text})
		l.must(err)
		v1alpha1.SetDefaults(documents)
		warnings, problems := documents.Validate()
		if len(problems) > 0 || len(warnings) != 1 || warnings[0].Field.Path != "spec.server" {
			t.Errorf("problems %v, warnings %v", problems, warnings)
		}
		if k, known := documents.KubeCluster(documents.WorkerPools[0].Spec.KubeCluster); !known {
			t.Errorf("the export has no KubeCluster %v:\n%s", k, text)
		}
	})
}
