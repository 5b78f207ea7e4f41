package planner

import (
	"bytes"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// poolDoc is a WorkerPool as a test writes it.
type poolDoc func(*v1alpha1.WorkerPool)

func pool(name string, changes ...poolDoc) v1alpha1.WorkerPool {
	p := v1alpha1.WorkerPool{Spec: v1alpha1.WorkerPoolSpec{Hypervisor: "lab", KubeCluster: "rke2-lab", Proxmox: &v1alpha1.ProxmoxWorkers{}}}
	p.Name, p.Spec.Template.Name = name, "ubuntu-22.04"
	for _, change := range changes {
		change(&p)
	}
	docs := &v1alpha1.Documents{WorkerPools: []v1alpha1.WorkerPool{p}}
	v1alpha1.SetDefaults(docs)
	return docs.WorkerPools[0]
}

func exact(host, bdf string) poolDoc {
	return func(p *v1alpha1.WorkerPool) {
		p.Spec.GPUs = append(p.Spec.GPUs, v1alpha1.GPURequest{Host: host, BDF: bdf})
	}
}

func model(name string, count int32, hosts ...string) poolDoc {
	return func(p *v1alpha1.WorkerPool) {
		p.Spec.GPUs = append(p.Spec.GPUs, v1alpha1.GPURequest{Model: name, Count: count, Hosts: hosts})
	}
}

func replicas(n int32) poolDoc {
	return func(p *v1alpha1.WorkerPool) { p.Spec.Replicas = &n }
}

func semiPersistent(p *v1alpha1.WorkerPool) { p.Spec.Lifecycle = v1alpha1.SemiPersistent }

func label(key, value string) poolDoc {
	return func(p *v1alpha1.WorkerPool) {
		if p.Spec.Labels == nil {
			p.Spec.Labels = map[string]string{}
		}
		p.Spec.Labels[key] = value
	}
}

func memory(quantity string) poolDoc {
	return func(p *v1alpha1.WorkerPool) { p.Spec.Machine.Memory = resource.MustParse(quantity) }
}

func spec(change func(*v1alpha1.WorkerPoolSpec)) poolDoc {
	return func(p *v1alpha1.WorkerPool) { change(&p.Spec) }
}

// replaceNamed is BuildReplace of whichever VMs the workers have.
func replaceNamed(in Input, names []string) (*plan.Plan, error) {
	in.Request.Verb, in.Request.Workers = plan.ReplaceWorkers, names
	return BuildReplace(in)
}

func lab(world *inventory.Snapshot, pools ...v1alpha1.WorkerPool) Input {
	docs := &v1alpha1.Documents{Hypervisors: []v1alpha1.Hypervisor{{Spec: v1alpha1.HypervisorSpec{Proxmox: &v1alpha1.Proxmox{}}}}}
	docs.Hypervisors[0].Name = "lab"
	v1alpha1.SetDefaults(docs)
	return Input{Hypervisor: &docs.Hypervisors[0], Pools: pools, KubeClusters: []string{"rke2-lab"}, Snapshot: world}
}

// made is the VM of a worker exactly as the pool declares it.
func made(p v1alpha1.WorkerPool, n, vmid int, host, slot string) *inventorytest.VMBuilder {
	b := inventorytest.VM(vmid, p.WorkerName(n), host).Ours(p.Name, p.Spec.KubeCluster, string(p.Spec.Lifecycle))
	b.Machine(func(m *inventory.Machine) {
		machine, _ := declaredMachine(inventory.Capabilities{DefaultNetwork: "vmbr0"}, &p, n, pci.CardRef{})
		machine.DiskMiB, machine.Storage = max(machine.DiskMiB, 10240), "local-lvm"
		*m = machine
	})
	b.Record(func(r *inventory.Record) {
		r.Labels, r.Taints = labelText(p.Spec.Labels), taintText(p.Spec.Taints)
	})
	if slot != "" {
		b.Card(slot)
	}
	return b
}

func claim(p v1alpha1.WorkerPool, n, vmid int, host, slot string) *inventorytest.ClaimBuilder {
	return inventorytest.Claim(host, slot, p.WorkerName(n), p.Name, p.Spec.KubeCluster, vmid).Newest()
}

func textOf(t *testing.T, p *plan.Plan) string {
	t.Helper()
	var out bytes.Buffer
	if err := plan.Text(&out, p, plan.Style{}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// worker finds a worker of a plan.
func worker(t *testing.T, p *plan.Plan, name string) *plan.Worker {
	t.Helper()
	for w := range p.Workers() {
		if w.Name == name {
			return w
		}
	}
	t.Fatalf("no worker %s in the plan:\n%s", name, textOf(t, p))
	return nil
}
