package cli

import (
	"errors"
	"slices"
	"strings"
	"testing"

	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
)

// offered returns the values that completion offers, without descriptions.
func offered(t *testing.T, e *fakeEngine, args ...string) []string {
	t.Helper()
	c := (&typed{engine: e}).run(t, append([]string{"__complete"}, args...)...)
	var names []string
	for line := range strings.Lines(c.out) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), "\t"); !strings.HasPrefix(name, ":") {
			names = append(names, name)
		}
	}
	return names
}

func TestNamesAreCompleted(t *testing.T) {
	world := Observed(Host("pve1"), Host("pve2"), VM(204, "vdi-7", "pve2"), Template(9000, "ubuntu-22.04", "pve1"),
		VM(9100, "gpu-workers-1", "pve1").Ours("gpu-workers", "rke2-lab", "SemiPersistent"))
	all := []string{"gpu-workers-1", "gpu-workers-2", "gpu-workers-3", "workers-1", "workers-2"}
	for _, c := range []struct {
		args string
		want []string
	}{
		{"status ", all},
		{"delete gpu-workers-1 ", all[1:]},
		{"park ", all}, {"unpark ", all}, {"replace ", all}, {"disown ", all},
		{"adopt ", []string{"204"}},
		{"adopt 204 ", nil},
		{"adopt 204 --as ", []string{"gpu-workers-3", "workers-1", "workers-2"}},
		{"gpus --ssh ", []string{"root@{host}", "root@pve1", "root@pve2"}},
		{"hosts -o ", outputs},
	} {
		t.Run(c.args, func(t *testing.T) {
			e := &fakeEngine{world: world, rows: rows()}
			if got := offered(t, e, strings.Split("-f "+lab+" "+c.args, " ")...); !slices.Equal(got, c.want) {
				t.Errorf("offered %q, want %q", got, c.want)
			}
		})
	}
}

func TestNamesOfDocumentsAreCompletedWhenNoHypervisorAnswers(t *testing.T) {
	got := offered(t, &fakeEngine{err: errors.New("no answer")}, "-f", lab, "status", "")
	if !slices.Contains(got, "gpu-workers-1") {
		t.Errorf("offered %q", got)
	}
	if got := offered(t, &fakeEngine{}, "-f", "missing.yaml", "status", ""); len(got) > 0 {
		t.Errorf("offered %q without documents", got)
	}
}
