package status

import (
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
)

const (
	firstGPU  = "GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689"
	secondGPU = "GPU-99999999-fcc4-0110-615b-c894a0d7c689"
)

// TestTheGuestOfAWorker: what the guest says decides the condition, the note and the next
// command; what cannot be read is unknown, never a pass.
func TestTheGuestOfAWorker(t *testing.T) {
	proven := func(vm *inventory.VM) {
		vm.Agent = inventory.On
		vm.Record.Driver, vm.Record.Bootstrapped, vm.Record.GPU = "Packages,580,Open", "2026-11-30T10:00:00Z", firstGPU
	}
	says := func(ready bool, gpu string, findings ...finding.Finding) GuestAnswer {
		return GuestAnswer{Status: &guest.Status{
			Version: 1, Program: "1.2.3", UUID: strings.ToUpper(UUID(9100)), Ready: ready, Findings: findings,
			Driver: &guest.Driver{Version: "580.95.05"}, GPUs: []guest.SeenGPU{{UUID: gpu}},
		}}
	}
	other := says(true, firstGPU)
	other.Status.UUID = UUID(9101)
	missing := finding.Finding{ID: finding.DriverMissing, Verdict: finding.Fail, Reason: "no module is loaded"}
	withDriver := gpuPool("0000:03:00.0")
	withDriver.Spec.Driver, withDriver.Spec.Template.OS = &v1alpha1.Driver{Strategy: v1alpha1.DriverPackages}, v1alpha1.Ubuntu2404
	withDriver.Spec.Bootstrap = &v1alpha1.Bootstrap{Seed: v1alpha1.SeedProxmoxCloudInit}
	for name, c := range map[string]struct {
		answer           GuestAnswer
		want, note, next string
	}{
		"is ready":              {says(true, firstGPU), "True Ready driver 580.95.05, " + firstGPU + ", gpuworker-guest 1.2.3", "", ""},
		"lacks its driver":      {says(false, "", missing), "False NotReady no module is loaded (DRIVER-MISSING)", "no module is loaded (DRIVER-MISSING)", ""},
		"is not done":           {says(false, ""), "False NotReady its bootstrap is not done", "its bootstrap is not done", ""},
		"has another card":      {says(true, secondGPU), "False OtherGPU the guest has " + secondGPU + ", but " + firstGPU + " is recorded (DRIVER-GPU-UUID)", "the guest has " + secondGPU + ", but " + firstGPU + " is recorded (DRIVER-GPU-UUID)", "gpuworker accept gpu-1 --gpu-uuid " + secondGPU},
		"is that of another VM": {other, "Unknown NotRead its status is that of another VM (GUEST-NOT-PROVEN)", "its status is that of another VM (GUEST-NOT-PROVEN)", ""},
		"cannot be read":        {GuestAnswer{Problem: "the agent forbids it"}, "Unknown NotRead the agent forbids it (GUEST-NOT-PROVEN)", "the agent forbids it (GUEST-NOT-PROVEN)", ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := documents(lab(claimed(), finished(VM(9100, "gpu-1", "pve1")).Running().Change(proven)), withDriver)
			row := Report(in, Guests{Version: "1.2.3", ByVM: map[string]GuestAnswer{"9100": c.answer}})[0]
			got := ""
			for _, condition := range row.Conditions {
				if condition.Type == GuestReady {
					got = strings.TrimSpace(string(condition.Status) + " " + condition.Reason + " " + condition.Message)
				}
			}
			if got != c.want {
				t.Errorf("condition %s\nwant      %s", got, c.want)
			}
			if row.Note != c.note || row.Next != c.next {
				t.Errorf("note %q, next %q", row.Note, row.Next)
			}
		})
	}
}
