package engine_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/proxmox"
)

// TestAllOrNothingDoesNothingWhenOneHypervisorHasChanged: after the plan for two
// hypervisors is confirmed, somebody takes the worker's name on one of them. With all
// or nothing, nothing is changed on the other one either.
func TestAllOrNothingDoesNothingWhenOneHypervisorHasChanged(t *testing.T) {
	for _, allOrNothing := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			near, far := newFreeLab(t), newLab(t)
			pool := solo[strings.LastIndex(solo, "\napiVersion"):]
			second := strings.NewReplacer("metadata: {name: lab}", "metadata: {name: far}", "pve1:8006", "far:8006").Replace(header[:strings.Index(header, "---\n")])
			documents := solo + "---" + second + "---" + strings.NewReplacer("{name: gpu}", "{name: fargpu}", "hypervisor: lab", "hypervisor: far").Replace(pool)
			e := openEngine(decode(t, documents), "ops@desk", func(h *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
				l := map[string]*lab{"lab": near, "far": far}[h.Name]
				return proxmox.Open(h, proxmox.Login{Token: "gpuworker@pve!engine=" + canary, Transport: l.sim.Transport()})
			})
			ctx := context.Background()
			plans, err := e.Plan(ctx, planOptions{AllOrNothing: allOrNothing})
			near.must(err)
			near.plantOn("pve1", 300, map[string]string{"name": "gpu-1"})
			_, err = e.Apply(ctx, plans, engine.ApplyOptions{})
			if !fault.Is(err, fault.Conflict) {
				t.Errorf("all or nothing %v: %v", allOrNothing, err)
			}
			if allOrNothing {
				far.only()
			} else {
				far.only("fargpu-1")
			}
		})
	}
}
