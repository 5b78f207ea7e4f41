package testlab

import (
	"context"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/proxmox"
	"github.com/gpuworker/gpuworker/pve"
)

// Root is a client with all rights: a person at the web interface.
func (l *Lab) Root() *pve.Client {
	l.t.Helper()
	client, err := pve.New(pve.Options{Endpoint: "https://pve1:8006", Username: "root@pam", Password: l.rootPassword, Transport: l.Sim.Transport()})
	if err != nil {
		l.t.Fatal(err)
	}
	return client
}

// Stop powers a VM off by hand.
func (l *Lab) Stop(host string, vmid int) {
	l.t.Helper()
	task, err := l.Root().Stop(context.Background(), host, vmid)
	if err == nil {
		err = task.Wait(context.Background())
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// Set changes the configuration of a VM by hand.
func (l *Lab) Set(host string, vmid int, options map[string]string) {
	l.t.Helper()
	if err := l.Root().UpdateConfig(context.Background(), host, vmid, pve.ConfigUpdate{Set: options}); err != nil {
		l.t.Fatal(err)
	}
}

// Engine is an engine without Terraform, as the command line has it.
func (l *Lab) Engine() (*engine.Engine, *v1alpha1.Hypervisor) {
	h := v1alpha1.Hypervisor{}
	h.Name, h.Spec.Proxmox = "proxmox", &v1alpha1.Proxmox{Endpoint: "https://pve1:8006"}
	documents := v1alpha1.Documents{Hypervisors: []v1alpha1.Hypervisor{h}}
	v1alpha1.SetDefaults(&documents)
	return engine.New(engine.Options{
		By: "ops@desk",
		Open: func(_ context.Context, _ *v1alpha1.Documents, h *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
			return proxmox.Open(h, proxmox.Login{Token: l.Tokens["engine"], Transport: l.Sim.Transport()})
		},
	}), &documents.Hypervisors[0]
}

// Work does what a command that names a worker does, such as gpuworker replace.
func (l *Lab) Work(verb plan.Verb, worker string) {
	l.t.Helper()
	e, h := l.Engine()
	s := e.NewSession(h)
	ctx := context.Background()
	pool, _, err := s.Existing(ctx, worker, func(vm *inventory.VM) bool { return vm.Name == worker })
	if err != nil {
		l.t.Fatal(err)
	}
	s.Declare(pool)
	if _, err := s.Work(ctx, plan.Request{Verb: verb, Workers: []string{worker}}, func(engine.Plans) error { return nil }, nil); err != nil {
		l.t.Fatal(err)
	}
}

// VMs are the identifiers of the VMs with this name.
func (l *Lab) VMs(name string) []int {
	var found []int
	for id, vm := range l.Sim.State().VMs {
		if strings.EqualFold(vm.Name, name) {
			found = append(found, id)
		}
	}
	return found
}
