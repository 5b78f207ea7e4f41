package testlab

import (
	"context"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/proxmox"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
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

// Must fails the test on an error.
func (l *Lab) Must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// VM is the VM of this name; nil when there is none.
func (l *Lab) VM(name string) *pvesim.VMState {
	for _, vm := range l.Sim.State().VMs {
		if vm.Name == name && !vm.Template {
			return &vm
		}
	}
	return nil
}

// Stop stops a VM like a person at the web interface.
func (l *Lab) Stop(name string) {
	l.t.Helper()
	vm := l.VM(name)
	task, err := l.Root().Stop(context.Background(), vm.Host, vm.ID)
	l.Must(err)
	l.Must(task.Wait(context.Background()))
}

// Configure changes options of a VM like a person at the web interface.
func (l *Lab) Configure(name string, set map[string]string) {
	l.t.Helper()
	vm := l.VM(name)
	l.Must(l.Root().UpdateConfig(context.Background(), vm.Host, vm.ID, pve.ConfigUpdate{Set: set}))
}

// Reboot stops and starts a VM like a person at the web interface.
func (l *Lab) Reboot(name string) {
	l.t.Helper()
	l.Stop(name)
	vm := l.VM(name)
	task, err := l.Root().Start(context.Background(), vm.Host, vm.ID, 0)
	l.Must(err)
	l.Must(task.Wait(context.Background()))
}

// Destroy destroys a VM like a person at the web interface.
func (l *Lab) Destroy(name string) {
	l.t.Helper()
	l.Configure(name, map[string]string{"protection": "0"})
	l.Stop(name)
	vm := l.VM(name)
	task, err := l.Root().Destroy(context.Background(), vm.Host, vm.ID, pve.DestroyOptions{})
	l.Must(err)
	l.Must(task.Wait(context.Background()))
}

// UUID is the SMBIOS UUID of a VM.
func (l *Lab) UUID(name string) string {
	l.t.Helper()
	vm := l.VM(name)
	if vm == nil {
		l.t.Fatalf("there is no VM %s", name)
	}
	uuid, _, _ := strings.Cut(strings.TrimPrefix(vm.Config["smbios1"], "uuid="), ",")
	return uuid
}

// Agentless makes all guests without a guest agent, for New: no VM reports an address.
func Agentless(world *pvesim.World) {
	world.VMs = slices.Clone(world.VMs)
	for i := range world.VMs {
		world.VMs[i].Guest.Agent = false
	}
}
