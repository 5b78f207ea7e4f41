package engine_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// Work that can never succeed is refused by check and plan, and not tried.

// onSharedStorage leaves one template, on pve1, with all of its drives on a storage that
// all hosts share, or all except its cloud-init drive.
func onSharedStorage(cloudInitToo bool) func(*pvesim.World) {
	return func(w *pvesim.World) {
		w.Storages = append(slices.Clone(w.Storages), pvesim.Storage{
			Name: "nas", Type: "dir", Path: "/mnt/nas", Content: []string{"images"}, CapacityGiB: 500, Shared: true,
		})
		w.VMs = slices.DeleteFunc(slices.Clone(w.VMs), func(vm pvesim.VM) bool { return vm.ID == 9001 || vm.ID == 9002 })
		for i := range w.VMs {
			if w.VMs[i].ID != 9000 {
				continue
			}
			w.VMs[i].Config = maps.Clone(w.VMs[i].Config)
			w.VMs[i].Config["scsi0"] = "nas:9000/base-9000-disk-0.raw,size=10G"
			if cloudInitToo {
				w.VMs[i].Config["ide2"] = "nas:9000/vm-9000-cloudinit.qcow2,media=cdrom"
			}
		}
		w.ACL = append(slices.Clone(w.ACL), pvesim.ACL{Path: "/storage/nas", Subject: "gpuworker@pve", Role: "Administrator"},
			pvesim.ACL{Path: "/storage/nas", Subject: "gpuworker@pve!engine", Role: "Administrator"})
	}
}

// refusals are the refusals of a plan, by worker.
func refusals(plans engine.Plans) map[string][]finding.ID {
	all := map[string][]finding.ID{}
	for _, p := range plans.Plans {
		for w := range p.Workers() {
			for _, f := range w.Refusals {
				all[w.Name] = append(all[w.Name], f.ID)
			}
		}
	}
	return all
}

// fails are the findings of check that fail.
func (l *lab) fails(e testEngine) (failing []finding.Finding) {
	l.t.Helper()
	worlds, err := e.Check(context.Background())
	l.must(err)
	for _, w := range worlds {
		for _, f := range w.Findings {
			if f.Verdict == finding.Fail {
				failing = append(failing, f)
			}
		}
	}
	return failing
}

func hasID(findings []finding.Finding, id finding.ID) bool {
	return slices.ContainsFunc(findings, func(f finding.Finding) bool { return f.ID == id && f.Fix != "" })
}

// TestAFullCloneGoesToAnotherHostOnSharedStorageOnly: Proxmox answers with 500
// "can't clone to non-shared storage", or "VM uses local storage", each time.
func TestAFullCloneGoesToAnotherHostOnSharedStorageOnly(t *testing.T) {
	const template, local = "{name: ubuntu-22.04, clone: Full}", "disk: {storage: local-lvm}, memory: 2Gi"
	for name, tt := range map[string]struct {
		hosts, machine string
		cloudInitToo   bool
		refused        finding.ID // "" when the worker can be made
		host           string
	}{
		"another host, its own storage":    {"[pve2]", local, true, finding.StorageLocal, ""},
		"the template's host is left":      {"[pve1, pve2]", local, true, "", "pve1"},
		"another host, the shared storage": {"[pve2]", "memory: 2Gi", true, "", "pve2"},
		"a cloud-init drive that is local": {"[pve2]", "memory: 2Gi", false, finding.TemplateMissing, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, onSharedStorage(tt.cloudInitToo))
				documents := edit("  replicas: 1", "  hosts: "+tt.hosts+"\n  replicas: 1")(duo)
				documents = edit("{name: ubuntu-22.04}", template)(documents)
				documents = edit("memory: 2Gi", tt.machine)(documents)
				e := l.engine("ops@desk", documents, nil)
				if failing := l.fails(e); tt.refused != "" && !hasID(failing, tt.refused) {
					t.Errorf("check does not say %s: %v", tt.refused, failing)
				}
				plans, err := e.Plan(context.Background(), planOptions{})
				l.must(err)
				if got := refusals(plans)["plain-1"]; tt.refused != "" && !slices.Equal(got, []finding.ID{tt.refused}) {
					t.Errorf("refused with %v, want %s", got, tt.refused)
				}
				_, err = e.Apply(context.Background(), plans, engine.ApplyOptions{})
				l.must(err)
				found := ""
				for _, vm := range l.sim.State().VMs {
					if vm.Name == "plain-1" {
						found = vm.Host
					}
				}
				if found != tt.host {
					t.Errorf("the worker is on %q, want %q", found, tt.host)
				}
				l.whole()
			})
		})
	}
}

// TestAMissingResourcePoolIsRefusedFirst: otherwise the clone would fail, after the
// card was claimed.
func TestAMissingResourcePoolIsRefusedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, func(w *pvesim.World) {
			w.ACL = append(slices.Clone(w.ACL), pvesim.ACL{Path: "/pool", Subject: "gpuworker@pve", Role: "Administrator"},
				pvesim.ACL{Path: "/pool", Subject: "gpuworker@pve!engine", Role: "Administrator"})
		})
		in := func(pool string) string {
			return edit("    vmids:", "    resourcePool: "+pool+"\n    vmids:")(fleet)
		}
		e := l.engine("ops@desk", in("gpupool"), nil)
		failing := l.fails(e)
		if !hasID(failing, finding.PoolMissing) {
			t.Errorf("check does not say it: %v", failing)
		}
		plans, err := e.Plan(context.Background(), planOptions{})
		l.must(err)
		for _, worker := range []string{"gpu-1", "gpu-2", "plain-1"} {
			if got := refusals(plans)[worker]; !slices.Equal(got, []finding.ID{finding.PoolMissing}) {
				t.Errorf("%s is refused with %v", worker, got)
			}
		}
		l.must(apply(context.Background(), e))
		l.only()
		// A pool that exists is used.
		l.must(apply(context.Background(), l.engine("ops@desk", in("gpu-workers"), nil)))
		l.only("gpu-1", "gpu-2", "plain-1")
		for id, vm := range l.sim.State().VMs {
			if ours := recordOf(vm) != nil; ours && vm.Pool != "gpu-workers" {
				t.Errorf("VM %d (%s) is in the pool %q", id, vm.Name, vm.Pool)
			}
		}
		// What is there is not held up by its end.
		plans, err = l.engine("ops@desk", in("gpupool"), nil).Plan(context.Background(), planOptions{})
		l.must(err)
		if got := refusals(plans); len(got) > 0 {
			t.Errorf("refused: %v", got)
		}
		l.whole()
	})
}

// TestWithoutQuorumNothingIsTried: every verb that would change something is refused
// with the reason; reports still work.
func TestWithoutQuorumNothingIsTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		ctx := context.Background()
		l.must(apply(ctx, l.engine("ops@desk", fleet, nil)))
		l.must(l.sim.SetQuorum(false))
		more := edit("replicas: 1", "replicas: 2")(fleet)
		e := l.engine("ops@desk", more, nil)
		failing := l.fails(e)
		if !hasID(failing, finding.ClusterNoQuorum) || !strings.Contains(failing[0].Reason+failing[0].Fix, "pvecm status") {
			t.Errorf("check says %v", failing)
		}
		rows, err := e.Status(ctx)
		if err != nil || len(rows) < 3 {
			t.Errorf("status: %d rows, %v", len(rows), err)
		}
		for verb, build := range map[string]func() (engine.Plans, error){
			"apply":  func() (engine.Plans, error) { return e.Plan(ctx, planOptions{}) },
			"delete": func() (engine.Plans, error) { return e.PlanDelete(ctx, []string{"gpu-1"}) },
			"park":   func() (engine.Plans, error) { return e.PlanPark(ctx, []string{"gpu-1"}) },
			"replace": func() (engine.Plans, error) {
				return e.PlanReplace(ctx, replaceOptions{Names: []string{"gpu-1"}})
			},
		} {
			plans, err := build()
			l.must(err)
			told := false
			for _, p := range plans.Plans {
				told = told || hasID(p.Findings, finding.ClusterNoQuorum)
				for w := range p.Workers() {
					if len(w.Steps) > 0 {
						t.Errorf("%s: %s %s, by %v", verb, w.Action, w.Name, w.Steps)
					}
				}
			}
			if !told || verb != "apply" && !slices.Equal(refusals(plans)["gpu-1"], []finding.ID{finding.ClusterNoQuorum}) {
				t.Errorf("%s: %v, told %v", verb, refusals(plans), told)
			}
		}
		l.must(l.sim.SetQuorum(true))
		l.must(apply(ctx, e))
		l.only("gpu-1", "gpu-2", "plain-1", "plain-2")
		l.whole()
	})
}

// TestALostQuorumIsNamed loses the quorum right before each write of an apply: the
// error names it, and the same command continues when it is back.
func TestALostQuorumIsNamed(t *testing.T) {
	for step, path := range map[plan.StepKind]string{
		plan.StepClaim: `^/cluster/mapping/pci$`, plan.StepClone: `/clone$`, plan.StepConfigure: `/config$`, plan.StepStart: `/status/start$`,
	} {
		t.Run(string(step), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, func(w *pvesim.World) {
					method := "POST"
					if step == plan.StepConfigure {
						method = "PUT"
					}
					w.Faults = append(w.Faults, pvesim.Fault{Method: method, Path: path, Effect: pvesim.QuorumLost})
				})
				ctx := context.Background()
				err := apply(ctx, l.engine("ops@desk", solo, nil))
				if err == nil || !strings.Contains(err.Error(), "the cluster has lost its quorum, nothing can be written") ||
					!strings.Contains(fault.FixOf(err), "pvecm status") || fault.ExitCode(err) != fault.ExitUnavailable {
					t.Errorf("%v\nfix: %s\nexit code %d", err, fault.FixOf(err), fault.ExitCode(err))
				}
				l.must(l.sim.SetQuorum(true))
				l.must(apply(ctx, l.engine("ops@desk", solo, nil)))
				l.only("gpu-1")
				l.whole()
			})
		})
	}
}
