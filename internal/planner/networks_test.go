package planner

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/plan"
)

func networks(all ...v1alpha1.Network) poolDoc {
	return spec(func(s *v1alpha1.WorkerPoolSpec) { s.Networks = all })
}

func TestNetworkCardsThatDiffer(t *testing.T) {
	nic := func(network, mac string) inventory.NIC {
		return inventory.NIC{Network: network, MAC: mac, Address: "dhcp"}
	}
	for _, test := range []struct {
		name     string
		has      []inventory.NIC
		declared []v1alpha1.Network
		want     string
	}{
		{"none is declared, and the VM is in the default network", []inventory.NIC{nic("vmbr0", "bc:24:11:00:00:01")}, nil, ""},
		{"none is declared, and the VM is in another", []inventory.NIC{nic("vmbr1", "bc:24:11:00:00:01")}, nil, "networks[0].name: vmbr1 → vmbr0 (live)"},
		{"the VM has one more", []inventory.NIC{nic("vmbr0", "bc:24:11:00:00:01"), nic("vmbr9", "bc:24:11:00:00:02")}, []v1alpha1.Network{{Name: "vmbr0"}}, ""},
		{"the VM lacks one, which gets its MAC at once", []inventory.NIC{nic("vmbr0", "bc:24:11:00:00:01")},
			[]v1alpha1.Network{{}, {Name: "vmbr1", MACs: []string{"bc:24:11:00:00:02"}}},
			"networks[1].name: none → vmbr1 (live), networks[1].addresses: none → dhcp (next boot), networks[1].macs: none → bc:24:11:00:00:02 (live)"},
		{"another MAC needs a stop", []inventory.NIC{nic("vmbr0", "bc:24:11:00:00:01")}, []v1alpha1.Network{{MACs: []string{"bc:24:11:00:00:02"}}},
			"networks[0].macs: bc:24:11:00:00:01 → bc:24:11:00:00:02 (stop/start)"},
		{"another VLAN, and the MAC is nobody's business", []inventory.NIC{nic("vmbr1", "bc:24:11:00:00:01")}, []v1alpha1.Network{{Name: "vmbr1", VLAN: 30}},
			"networks[0].vlan: none → 30 (live)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pool("w", replicas(1), semiPersistent, networks(test.declared...))
			vm := made(p, 1, 9101, "pve1", "").Running().Machine(func(m *inventory.Machine) { m.NICs = test.has })
			w := worker(t, Build(lab(Observed(Host("pve1"), Template(9000, "ubuntu-22.04", "pve1"), vm), p)), "w-1")
			var changes []string
			for _, c := range w.Changes {
				changes = append(changes, c.Field+": "+c.From+" → "+c.To+" ("+string(c.When)+")")
			}
			if diff := cmp.Diff(test.want, strings.Join(changes, ", ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !cmp.Equal(w.Networks, test.has) {
				t.Errorf("the plan says that the VM has %+v", w.Networks)
			}
			if w.Desired != nil && w.Desired.NIC(0).MAC != "bc:24:11:00:00:01" {
				t.Errorf("the first network card becomes %+v", w.Desired.NIC(0))
			}
		})
	}
}

func workerNamed(all ...string) poolDoc {
	return spec(func(s *v1alpha1.WorkerPoolSpec) { s.Names = all })
}

func TestWorkersWithNames(t *testing.T) {
	world := func(parts ...Part) *inventory.Snapshot {
		return Observed(append(parts, Host("pve1", T4("03:00"), T4("04:00")), Template(9000, "ubuntu-22.04", "pve1"))...)
	}
	static := networks(v1alpha1.Network{Addresses: []string{"192.0.2.21/24", "192.0.2.22/24"}, Gateway: "192.0.2.1"})
	ab := pool("w", workerNamed("alpha", "beta"), static)
	cards := pool("gpu", exact("pve1", "03:00.0"), exact("pve1", "04:00.0"), workerNamed("alpha", "beta"))

	t.Run("are made by their names, and take the addresses of their places", func(t *testing.T) {
		p := Build(lab(world(), ab))
		for name, address := range map[string]string{"alpha": "192.0.2.21/24", "beta": "192.0.2.22/24"} {
			if w := worker(t, p, name); w.Action != plan.Create || w.Record.Worker != name || w.Desired.NIC(0).Address != address {
				t.Errorf("%s: %s %+v", name, w.Action, w.Desired)
			}
		}
	})
	t.Run("keep their names and places when one is gone", func(t *testing.T) {
		p := Build(lab(world(made(ab, 2, 9102, "pve1", "").Running()), ab))
		if a, b := worker(t, p, "alpha"), worker(t, p, "beta"); a.Action != plan.Create || b.Action != plan.Keep {
			t.Errorf("alpha: %s, beta: %s %v", a.Action, b.Action, b.Changes)
		}
	})
	t.Run("are other workers than those with the pool's numbers", func(t *testing.T) {
		numbered := pool("gpu", exact("pve1", "03:00.0"))
		p := Build(lab(world(made(numbered, 1, 9101, "pve1", "03:00").Running(), claim(numbered, 1, 9101, "pve1", "03:00")), cards))
		if old, a, b := worker(t, p, "gpu-1"), worker(t, p, "alpha"), worker(t, p, "beta"); old.Action != plan.Hold || !old.Undeclared || a.Action != plan.Refuse || b.Action != plan.Create {
			t.Errorf("gpu-1: %s, alpha: %s, beta: %s", old.Action, a.Action, b.Action)
		}
	})
	t.Run("take the place of plain workers with the pool's numbers", func(t *testing.T) {
		numbered := pool("w", replicas(2))
		p := Build(lab(world(made(numbered, 1, 9101, "pve1", "").Running(), made(numbered, 2, 9102, "pve1", "").Running()), ab))
		if old, a, b := worker(t, p, "w-2"), worker(t, p, "alpha"), worker(t, p, "beta"); old.Action != plan.Destroy || a.Action != plan.Create || b.Action != plan.Create {
			t.Errorf("w-2: %s, alpha: %s, beta: %s", old.Action, a.Action, b.Action)
		}
	})
	t.Run("are not made under a name that a worker without a declared card has", func(t *testing.T) {
		other := pool("gpu", exact("pve1", "05:00.0"), exact("pve1", "06:00.0"), workerNamed("alpha", "beta"))
		there := []Part{Host("pve2", T4("05:00"))}
		p := Build(lab(world(append(there, made(other, 1, 9101, "pve2", "05:00").Running(), claim(other, 1, 9101, "pve2", "05:00"))...), cards))
		refused := 0
		for w := range p.Workers() {
			if w.Name == "alpha" && !w.Undeclared {
				t.Errorf("a second alpha: %s", w.Action)
			}
			if w.Action == plan.Refuse && len(w.Refusals) == 1 && w.Refusals[0].ID == finding.VMNameTaken {
				refused++
			}
		}
		if refused != 1 {
			t.Errorf("%d workers are refused for want of a name", refused)
		}
	})
	t.Run("and the cards of others that are removed are refused, with what belongs together", func(t *testing.T) {
		less := pool("gpu", exact("pve1", "03:00.0"), workerNamed("beta"))
		p := Build(lab(world(
			made(cards, 1, 9101, "pve1", "03:00").Running(), claim(cards, 1, 9101, "pve1", "03:00"),
			made(cards, 2, 9102, "pve1", "04:00").Running(), claim(cards, 2, 9102, "pve1", "04:00"),
		), less))
		const (
			reason = "spec.names has no free name for card pve1/0000:03:00.0: beta is a worker with card pve1/0000:04:00.0 and is no longer declared"
			fix    = "keep name and card of the same worker (beta has card pve1/0000:04:00.0, alpha has card pve1/0000:03:00.0), or remove both; " +
				"to use the name for another card, first delete its worker: gpuworker delete beta alpha"
		)
		for w := range p.Workers() {
			switch {
			case w.Undeclared && w.Action != plan.Hold:
				t.Errorf("%s: %s", w.Name, w.Action)
			case !w.Undeclared && (w.Action != plan.Refuse || w.Refusals[0].Reason != reason || w.Refusals[0].Fix != fix):
				t.Errorf("%s: %s %+v", w.Name, w.Action, w.Refusals)
			}
		}
	})
	t.Run("are found by their names", func(t *testing.T) {
		p, err := BuildDelete(lab(world(made(ab, 1, 9101, "pve1", "").Running()), ab), []string{"alpha", "w-1"})
		if err != nil || worker(t, p, "alpha").Action != plan.Destroy || len(p.Absent) != 1 || p.Absent[0].Name != "w-1" {
			t.Errorf("%v: %+v", err, p)
		}
	})
	t.Run("of another hypervisor are not deleted here", func(t *testing.T) {
		in := lab(world(made(ab, 1, 9101, "pve1", "").Running()))
		in.OtherPools = []*v1alpha1.WorkerPool{&ab}
		p, err := BuildDelete(in, []string{"alpha"})
		if err != nil || len(p.Absent) != 1 {
			t.Errorf("%v: %+v", err, p)
		}
	})
}

func TestWorkersThatJoinNoKubeCluster(t *testing.T) {
	alone := spec(func(s *v1alpha1.WorkerPoolSpec) { s.KubeCluster = "" })
	p := pool("w", replicas(1), alone)
	world := func(parts ...Part) *inventory.Snapshot {
		return Observed(append(parts, Host("pve1"), Template(9000, "ubuntu-22.04", "pve1"))...)
	}
	t.Run("have records without a KubeCluster", func(t *testing.T) {
		w := worker(t, Build(lab(world(), p)), "w-1")
		if line := w.Record.Line(); w.Action != plan.Create || strings.Contains(line, "cluster=") {
			t.Errorf("%s: %s", w.Action, line)
		}
	})
	t.Run("are not the workers of a KubeCluster's pool of the same name", func(t *testing.T) {
		joined := pool("w", replicas(1))
		got := Build(lab(world(made(joined, 1, 9101, "pve1", "").Running()), p))
		var actions []plan.Action
		for w := range got.Workers() {
			actions = append(actions, w.Action)
		}
		if !cmp.Equal(actions, []plan.Action{plan.Refuse, plan.Hold}) {
			t.Errorf("actions are %v", actions)
		}
	})
	t.Run("are told of when a document has such a pool, and else left to others", func(t *testing.T) {
		other := pool("other", replicas(1), alone)
		there := world(made(p, 1, 9101, "pve1", "").Running())
		if got := Build(lab(there, other)); len(got.Pools) != 2 {
			t.Errorf("%d pools are told of", len(got.Pools))
		}
		if got := Build(lab(there, pool("joined", replicas(1)))); len(got.Pools) != 1 {
			t.Errorf("%d pools are told of", len(got.Pools))
		}
	})
}
