package engine_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/status"
)

// builder is a pool of one worker with its own name, two networks and no KubeCluster.
var builder = header[:strings.Index(header, "---")] + `---
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: build}
spec:
  hypervisor: lab
  lifecycle: SemiPersistent
  names: [builder]
  template: {name: ubuntu-22.04}
  machine: {memory: 2Gi}
  networks:
    - {macs: ["bc:24:11:00:00:21"]}
    - {name: vmbr1, vlan: 30, addresses: [198.51.100.21/24], macs: ["bc:24:11:00:00:31"]}
`

// onlyRow is the status of the only worker.
func onlyRow(t *testing.T, e testEngine) status.Row {
	t.Helper()
	rows, err := e.Status(context.Background())
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	return rows[0]
}

func TestAVMWithANameTwoNetworksAndNoKubeCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		e := l.engine("ops@desk", builder, nil)
		plans, err := e.Plan(context.Background(), planOptions{})
		l.must(err)
		var text strings.Builder
		l.must(plan.Text(&text, plans.Plans[0], plan.Style{}))
		if strings.Contains(text.String(), "KubeCluster") {
			t.Errorf("the plan speaks of a KubeCluster:\n%s", text.String())
		}
		l.must(apply(context.Background(), e))

		row := onlyRow(t, e)
		want := []inventory.NIC{
			{Network: "vmbr0", MAC: "bc:24:11:00:00:21", Address: "dhcp"},
			{Network: "vmbr1", VLAN: 30, MAC: "bc:24:11:00:00:31", Address: "198.51.100.21/24"},
		}
		if diff := cmp.Diff(want, row.Networks); diff != "" {
			t.Errorf("networks (-want +got):\n%s", diff)
		}
		if row.Worker != "builder" || row.Pool != "build" || row.KubeCluster != "" || row.State != status.Running || row.Note != "" {
			t.Errorf("status says %+v", row)
		}
		plans, err = e.Plan(context.Background(), planOptions{})
		l.must(err)
		for w := range plans.Plans[0].Workers() {
			if w.Action != plan.Keep || !cmp.Equal(want, w.Networks) {
				t.Errorf("a second plan would %s %s: %+v", w.Action, w.Name, w.Changes)
			}
		}
		l.allow("builder")
		plans, err = e.PlanDelete(context.Background(), []string{"builder"})
		l.must(err)
		_, err = e.Apply(context.Background(), plans, engine.ApplyOptions{})
		l.must(err)
		if row := onlyRow(t, e); row.State != status.Missing {
			t.Errorf("after delete it is %s", row.State)
		}
	})
}

// An export has the declared names and networks of a VM.
func TestAnExportKnowsNamesAndNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.must(apply(context.Background(), l.engine("ops@desk", builder, nil)))
		pools := l.exported().WorkerPools
		if len(pools) != 1 {
			t.Fatalf("exported %d pools", len(pools))
		}
		spec := pools[0].Spec
		if !cmp.Equal(spec.Names, []string{"builder"}) || spec.KubeCluster != "" || len(spec.Networks) != 2 || spec.Networks[1].Name != "vmbr1" || spec.Networks[1].VLAN != 30 {
			t.Errorf("exported %+v", spec)
		}
	})
}

// Proxmox chooses the MAC of a clone. It stays when the network changes, so that a DHCP
// server still knows it.
func TestAnotherNetworkKeepsTheMAC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		plain := strings.Replace(builder, `    - {macs: ["bc:24:11:00:00:21"]}`+"\n", "    - {vlan: 0}\n", 1)
		e := l.engine("ops@desk", plain, nil)
		l.must(apply(context.Background(), e))
		before := onlyRow(t, e).Networks[0].MAC
		moved := l.engine("ops@desk", strings.Replace(plain, "    - {vlan: 0}\n", "    - {name: vmbr1}\n", 1), nil)
		l.must(apply(context.Background(), moved))
		after := onlyRow(t, moved).Networks[0]
		if before == "" || after.MAC != before || after.Network != "vmbr1" {
			t.Errorf("the MAC was %q, and the network is %+v", before, after)
		}
	})
}
