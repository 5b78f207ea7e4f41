package testlab

import (
	"context"
	"strings"

	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

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
	task, err := l.root().Stop(context.Background(), vm.Host, vm.ID)
	l.Must(err)
	l.Must(task.Wait(context.Background()))
}

// Configure changes options of a VM like a person at the web interface.
func (l *Lab) Configure(name string, set map[string]string) {
	l.t.Helper()
	vm := l.VM(name)
	l.Must(l.root().UpdateConfig(context.Background(), vm.Host, vm.ID, pve.ConfigUpdate{Set: set}))
}

func (l *Lab) root() *pve.Client {
	l.t.Helper()
	client, err := pve.New(pve.Options{Endpoint: "https://pve1:8006", Username: "root@pam", Password: l.rootPassword, Transport: l.Sim.Transport()})
	l.Must(err)
	return client
}

// Reboot stops and starts a VM like a person at the web interface.
func (l *Lab) Reboot(name string) {
	l.t.Helper()
	l.Stop(name)
	vm := l.VM(name)
	task, err := l.root().Start(context.Background(), vm.Host, vm.ID, 0)
	l.Must(err)
	l.Must(task.Wait(context.Background()))
}

// Destroy destroys a VM like a person at the web interface.
func (l *Lab) Destroy(name string) {
	l.t.Helper()
	l.Configure(name, map[string]string{"protection": "0"})
	l.Stop(name)
	vm := l.VM(name)
	task, err := l.root().Destroy(context.Background(), vm.Host, vm.ID, pve.DestroyOptions{})
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
