package proxmox

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

func world(t *testing.T) pvesim.World {
	t.Helper()
	data, err := os.ReadFile("../../testdata/worlds/homelab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w, err := pvesim.LoadWorld(data)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// tokenOf returns the complete token of an identity.
func tokenOf(t *testing.T, w pvesim.World, name string) string {
	t.Helper()
	for _, token := range w.Tokens {
		if token.ID == name {
			return name + "=" + token.Secret
		}
	}
	t.Fatalf("the world has no token %s", name)
	return ""
}

func open(t *testing.T, sim *pvesim.Sim, token string) driver {
	t.Helper()
	return openOver(t, sim.Transport(), token)
}

func openOver(t *testing.T, wire http.RoundTripper, token string) driver {
	t.Helper()
	hypervisor := &v1alpha1.Hypervisor{Spec: v1alpha1.HypervisorSpec{Proxmox: &v1alpha1.Proxmox{
		Endpoint: "https://pve1:8006", VMIDs: v1alpha1.VMIDRange{First: 9100, Last: 9199},
	}}}
	hypervisor.Name = "lab"
	b, err := Open(hypervisor, Login{Token: token, Transport: wire})
	if err != nil {
		t.Fatal(err)
	}
	return driver{b}
}

func gpuRecord() inventory.Record {
	return inventory.Record{
		Version: inventory.RecordVersion, WorkerKey: inventory.WorkerKey{Worker: "gpu-1", Pool: "gpu", KubeCluster: "rke2"}, Lifecycle: "SemiPersistent", VM: "9101",
		UUID: "0b7dd7b9-8a51-4a38-8ef2-2f3f5c1f4a10", Host: "pve1", Card: pci.MustCardRef("pve1/0000:03:00.0"), Template: "ubuntu-22.04", By: "ops@desk",
	}
}

// TestAWorkersWholeLife makes every call of the contract twice: the second call must
// find the work done.
func TestAWorkersWholeLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t)
		sim, err := pvesim.New(w, pvesim.WithLog(t.Logf))
		if err != nil {
			t.Fatal(err)
		}
		defer sim.Close()
		b := open(t, sim, tokenOf(t, w, "gpuworker@pve!engine"))
		ctx := context.Background()
		before := sim.State()

		r := gpuRecord()
		ref := inventory.VMRef{Host: "pve1", ID: "9101", Name: "gpu-1", UUID: r.UUID}
		card := inventory.Card{Ref: pci.MustCardRef("pve1/0000:03:00.0"), PCIe: true, ROMBar: true}
		desired := gpuMachine()
		desired.DiskMiB, desired.Card, desired.MemoryMiB = 40*1024, &card, 16*1024
		desired.Guest.SSHKeys = nil

		twice := func(what string, do func() error) {
			t.Helper()
			for n := range 2 {
				if err := do(); err != nil {
					t.Fatalf("%s, time %d: %v", what, n+1, err)
				}
			}
		}
		twice("claim", func() error { return b.Claim(ctx, r, inventory.Record{}) })
		twice("clone", func() error {
			return b.Clone(ctx, order(r))
		})
		twice("configure", func() error { return b.Configure(ctx, r, desired) })
		twice("attach", func() error { return b.Attach(ctx, r, card) })
		twice("start", func() error { return b.Start(ctx, ref) })
		twice("agent", func() error { _, err := b.Agent(ctx, ref); return err })

		s, err := b.Observe(ctx, hypervisor.Scope{Cards: true, Agents: true})
		if err != nil {
			t.Fatal(err)
		}
		vm := s.VM("9101")
		if vm == nil {
			t.Fatal("the VM is not in the snapshot")
		}
		if ownership, why := vm.Ownership(); ownership != inventory.Ours || !vm.Running || !vm.Holds(card.Ref) {
			t.Errorf("after the start: %s (%s), running %v, cards %v", ownership, why, vm.Running, vm.Cards)
		}
		if vm.Machine.DiskMiB != 40*1024 || vm.Machine.Firmware != inventory.FirmwareUEFI || vm.Machine.Card == nil || *vm.Machine.Card != card {
			t.Errorf("machine: %+v", vm.Machine)
		}
		if claim := s.Claim(card.Ref); claim == nil || claim.Record != r || claim.Stale != "" {
			t.Errorf("claim: %+v", claim)
		}
		if len(s.Missing) > 0 || !s.Supported {
			t.Errorf("missing rights %v, supported %v", s.Missing, s.Supported)
		}

		twice("park", func() error { return b.SetParked(ctx, ref, true) })
		twice("unprotect", func() error { return b.Unprotect(ctx, ref) })
		twice("stop", func() error { return b.Stop(ctx, ref) })
		twice("destroy", func() error { return b.Destroy(ctx, ref) })
		twice("release", func() error { return b.Release(ctx, r, card.Ref) })

		after := sim.State()
		if len(after.VMs) != len(before.VMs) || len(after.Mappings) != len(before.Mappings) || len(after.Volumes) != len(before.Volumes) {
			left, _ := json.MarshalIndent(after.Mappings, "", "  ")
			t.Errorf("left over: %d VMs, %d mappings, %d volumes, before %d, %d, %d\n%s",
				len(after.VMs), len(after.Mappings), len(after.Volumes), len(before.VMs), len(before.Mappings), len(before.Volumes), left)
		}
	})
}

func TestACardThatIsClaimedIsNotClaimedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t)
		sim, err := pvesim.New(w, pvesim.WithLog(t.Logf))
		if err != nil {
			t.Fatal(err)
		}
		defer sim.Close()
		b := open(t, sim, tokenOf(t, w, "gpuworker@pve!engine"))
		ctx := context.Background()
		if err := b.Claim(ctx, gpuRecord(), inventory.Record{}); err != nil {
			t.Fatal(err)
		}
		other := gpuRecord()
		other.Worker, other.Pool, other.By = "vision-1", "vision", "eve@elsewhere"
		err = b.Claim(ctx, other, gpuRecord())
		if !fault.Is(err, fault.Exists) {
			t.Fatalf("second claim: %v, want Exists", err)
		}
		t.Log(err)
		if err := b.Release(ctx, other, pci.MustCardRef("pve1/0000:03:00.0")); err != nil {
			t.Fatal(err)
		}
		if s, err := b.Observe(ctx, hypervisor.Scope{}); err != nil || s.Claim(pci.MustCardRef("pve1/0000:03:00.0")) == nil {
			t.Fatalf("the release of another worker removed the claim (%v)", err)
		}
	})
}
