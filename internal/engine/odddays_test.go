package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	steps "github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/proxmox"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// TestWhatPeopleEditByHand changes something of a worker by hand and runs every
// command. A VM whose proof fails then must not be touched by any of them; when
// the change is taken back, the file is as declared again.
func TestWhatPeopleEditByHand(t *testing.T) {
	set := func(key, value string) func(*lab, int) {
		return func(l *lab, vmid int) {
			l.must(l.root().UpdateConfig(context.Background(), "pve1", vmid, pve.ConfigUpdate{Set: map[string]string{key: value}}))
		}
	}
	describe := func(text string) func(*lab, int) {
		return func(l *lab, _ int) {
			mapping, err := l.root().Mapping(context.Background(), "gpu-pve1-0000-03-00")
			l.must(err)
			l.must(l.root().UpdateMapping(context.Background(), pve.MappingUpdate{ID: mapping.ID, Map: mapping.Map, Description: text}))
		}
	}
	tests := []struct {
		name  string
		hand  func(*lab, int)
		ours  bool // the VM is still provably ours
		moves bool // a command may rightly act on it
	}{
		{"renamed", set("name", "my-trainer"), false, false},
		{"without our tag", set("tags", "lab"), false, false},
		{"without our note", set("description", "a VM"), false, false},
		{"with a note of another worker", set("description", "gpuworker: worker=gpu-9 pool=gpu cluster=rke2 lifecycle=SemiPersistent vmid=9100 uuid=1"), false, false},
		{"with another UUID", set("smbios1", "uuid=99999999-9999-4999-8999-999999999999"), false, false},
		{"without its register", func(l *lab, _ int) { l.must(l.root().DeleteMapping(context.Background(), "gpu-pve1-0000-03-00")) }, true, true},
		{"with a register without claim", describe("a T4"), true, true},
		{"with a register that another worker claims", describe("gpuworker: worker=x-1 pool=x cluster=rke2 lifecycle=SemiPersistent vmid=9150 uuid=1 host=pve1 card=0000%3A03%3A00 by=eve made"), true, true},
	}
	commands := map[string]command{
		"apply": apply, "restart": restart, "replace": replace("gpu-1"), "delete": remove("gpu-1"),
		"park": park("gpu-1"), "unpark": unpark("gpu-1"), "orphans": orphans, "observe": observe,
	}
	for _, tt := range tests {
		for _, name := range slices.Sorted(maps.Keys(commands)) {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLab(t)
					ctx := context.Background()
					l.must(apply(ctx, l.engine("ops@desk", solo, nil)))
					vmid := l.vmid("gpu-1")
					was := l.sim.State()
					tt.hand(l, vmid)
					l.allow("gpu-1")
					if !tt.ours {
						l.keep(vmid) // nobody can say that it is ours
					}
					err := commands[name](ctx, l.engine("ops@desk", edit("memory: 8Gi", "memory: 16Gi")(solo), nil))
					t.Logf("%v", err)
					l.usable(err)
					l.whole()
					if tt.ours {
						return
					}
					delete(l.foreign, vmid)
					before := was.VMs[vmid].Config
					l.must(l.root().UpdateConfig(ctx, "pve1", vmid, pve.ConfigUpdate{Set: map[string]string{
						"name": before["name"], "tags": before["tags"], "description": before["description"], "smbios1": before["smbios1"],
					}}))
					l.converges(solo, "gpu-1")
				})
			})
		}
	}
}

// TestATombstoneOfADeadEngineIsWaitedFor leaves a register that says "releasing"
// and nobody removes. The next apply waits a minute, and goes on.
func TestATombstoneOfADeadEngineIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.must(l.root().CreateMapping(context.Background(), pve.MappingSpec{
			ID: "gpu-pve1-0000-03-00", Map: []string{"node=pve1,path=0000:03:00.0,id=10de:1eb8,subsystem-id=10de:12a2,iommugroup=14"},
			Description: "gpuworker: worker=x-1 pool=x cluster=rke2 lifecycle=SemiPersistent vmid=9150 uuid=1 host=pve1 card=0000%3A03%3A00 by=eve made releasing",
		}))
		began := time.Now()
		l.must(apply(context.Background(), l.engine("ops@desk", solo, nil)))
		if took := time.Since(began); took < time.Minute {
			t.Errorf("it took %s; its author may have been about to remove it", took)
		}
		l.whole()
		l.asDeclared(solo, "gpu-1")
	})
}

// TestATombstoneThatGoesAwayIsNotWaitedForLonger: mostly the author is alive.
func TestATombstoneThatGoesAwayIsNotWaitedForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.must(l.root().CreateMapping(context.Background(), pve.MappingSpec{
			ID: "gpu-pve1-0000-03-00", Map: []string{"node=pve1,path=0000:03:00.0,id=10de:1eb8,subsystem-id=10de:12a2,iommugroup=14"},
			Description: "gpuworker: worker=x-1 pool=x cluster=rke2 lifecycle=SemiPersistent vmid=9150 uuid=1 host=pve1 card=0000%3A03%3A00 by=eve made releasing",
		}))
		gone := time.AfterFunc(8*time.Second, func() { _ = l.root().DeleteMapping(context.Background(), "gpu-pve1-0000-03-00") })
		defer gone.Stop()
		l.must(apply(context.Background(), l.engine("ops@desk", solo, nil)))
		l.whole()
		l.asDeclared(solo, "gpu-1")
	})
}

// TestALockThatGoesAwayIsWaitedFor locks the VM's file for a while at each step,
// as a backup does when it begins.
func TestALockThatGoesAwayIsWaitedFor(t *testing.T) {
	for _, path := range []string{"/config$", "/status/start$", "/resize$"} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.must(l.sim.Inject(pvesim.Fault{Method: "", Path: "/qemu/9100" + path, Effect: pvesim.LockHeld, Times: 2}))
				l.must(apply(context.Background(), l.engine("ops@desk", solo, nil)))
				l.whole()
				l.asDeclared(solo, "gpu-1")
			})
		})
	}
}

// TestALostAnswerToAShutdownDoesNotPullThePlug: a guest that is asked to shut
// down gets its time, also when nobody heard that it was asked.
func TestALostAnswerToAShutdownDoesNotPullThePlug(t *testing.T) {
	for _, effect := range []pvesim.Effect{pvesim.DropAfter, pvesim.DropBefore, pvesim.HalfJSON} {
		t.Run(string(effect), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, slowly(func(timings *pvesim.Timings) { timings.Shutdown = pvesim.Duration(90 * time.Second) }))
				l.must(apply(context.Background(), l.engine("ops@desk", solo, nil)))
				l.must(l.sim.Inject(pvesim.Fault{Method: "POST", Path: "/status/shutdown$", Effect: effect}))
				l.must(park("gpu-1")(context.Background(), l.engine("ops@desk", solo, nil)))
				for _, r := range l.sim.Requests() {
					if strings.HasSuffix(r.Path, "/status/stop") {
						t.Errorf("the plug was pulled %s", r.Time)
					}
				}
				l.whole()
				l.isParked("gpu-1", true)
			})
		})
	}
}

// TestAHostThatIsSilentDuringACloneGetsNoSecondOne cuts the host off for five
// minutes while a clone runs there; one VM must come out of it.
func TestAHostThatIsSilentDuringACloneGetsNoSecondOne(t *testing.T) {
	for name, documents := range map[string]string{"with a card": solo, "plain": edit("  replicas: 1", "  hosts: [pve1]\n  replicas: 1")(duo)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, slowly(func(timings *pvesim.Timings) { timings.CloneFullMin = pvesim.Duration(12 * time.Minute) }))
				time.AfterFunc(time.Minute, func() { _ = l.sim.SetHostOnline("pve1", false) })
				time.AfterFunc(6*time.Minute, func() { _ = l.sim.SetHostOnline("pve1", true) })
				documents := edit("{name: ubuntu-22.04}", "{name: ubuntu-22.04, clone: Full}")(documents)
				l.must(apply(context.Background(), l.engine("ops@desk", documents, nil)))
				clones := 0
				for _, r := range l.sim.Requests() {
					if strings.HasSuffix(r.Path, "/clone") {
						clones++
					}
				}
				if clones != 1 {
					t.Errorf("%d clones were asked for", clones)
				}
				l.whole()
			})
		})
	}
}

// TestALostAnswerToAStartIsWaitedFor: the start of a large GPU worker takes many
// minutes, and nobody heard that it began.
func TestALostAnswerToAStartIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, slowly(func(timings *pvesim.Timings) { timings.StartPinGiB = pvesim.Duration(15 * time.Second) }))
		l.must(l.sim.Inject(pvesim.Fault{Method: "POST", Path: "/status/start$", Effect: pvesim.DropAfter}))
		l.must(apply(context.Background(), l.engine("ops@desk", solo, nil)))
		l.whole()
		l.asDeclared(solo, "gpu-1")
	})
}

func slowly(change func(*pvesim.Timings)) func(*pvesim.World) {
	return func(w *pvesim.World) {
		timings := pvesim.DefaultTimings()
		change(&timings)
		w.Timings = &timings
	}
}

// TestInterruptedInALongTask presses Ctrl-C while the VM starts: the error says
// what still runs, and the same command again converges.
func TestInterruptedInALongTask(t *testing.T) {
	for step, slow := range map[string]func(*pvesim.Timings){
		"start": func(timings *pvesim.Timings) { timings.StartPinGiB = pvesim.Duration(15 * time.Second) },
		"clone": func(timings *pvesim.Timings) { timings.CloneLinked = pvesim.Duration(30 * time.Minute) },
	} {
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, slowly(slow))
				ctx, interrupt := context.WithCancel(context.Background())
				time.AfterFunc(time.Minute, interrupt)
				began := time.Now()
				err := apply(ctx, l.engine("ops@desk", solo, nil))
				t.Logf("%v\nfix: %s", err, fault.FixOf(err))
				if !fault.Is(err, fault.Interrupted) || !strings.Contains(err.Error(), "UPID:") || !strings.Contains(err.Error(), "still run") {
					t.Errorf("the error does not say what still runs: %v", err)
				}
				if took := time.Since(began); took > 3*time.Minute {
					t.Errorf("it ended %s after the start", took)
				}
				l.must(apply(context.Background(), l.engine("ops@desk", solo, nil)))
				time.Sleep(time.Hour)
				l.whole()
				l.asDeclared(solo, "gpu-1")
			})
		})
	}
}

// TestALoginThatLosesAPrivilege is refused one kind of call from some moment on.
// Each error says which privilege and what to do, and once it is back the same
// command converges.
func TestALoginThatLosesAPrivilege(t *testing.T) {
	for _, lost := range []struct{ method, path, acl, privilege string }{
		{"POST", "/clone$", "/vms/9000", "VM.Clone"},
		{"PUT", "/qemu/9100/config$", "/vms/9100", "VM.Config.Options"},
		{"POST", "/status/start$", "/vms/9100", "VM.PowerMgmt"},
		{"POST", "/cluster/mapping/pci$", "/mapping/pci", "Mapping.Modify"},
		{"GET", "/cluster/mapping/pci/", "/mapping/pci/gpu-pve1-0000-03-00", "Mapping.Audit"},
		{"GET", "/qemu/9100/pending$", "/vms/9100", "VM.Audit"},
		{"GET", "/qemu/9100/status/current$", "/vms/9100", "VM.Audit"},
		{"GET", "/tasks/.*/status$", "/nodes/pve1", "Sys.Audit"},
	} {
		t.Run(lost.privilege+" "+lost.path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.must(l.sim.Inject(pvesim.Fault{
					Method: lost.method, Path: lost.path, Effect: pvesim.Status, Code: 403, Times: -1,
					Text: fmt.Sprintf("Permission check failed (%s, %s)", lost.acl, lost.privilege),
				}))
				err := apply(context.Background(), l.engine("ops@desk", solo, nil))
				t.Logf("%v\nfix: %s", err, fault.FixOf(err))
				if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), lost.privilege) || !strings.Contains(fault.FixOf(err), "gpuworker role") {
					t.Errorf("the error does not say what is lacking: %s %v", fault.KindOf(err), err)
				}
				l.sim.ClearFaults()
				l.converges(solo, "gpu-1")
			})
		})
	}
}

// TestTooLittleMemoryAtTheStart: the host's memory went elsewhere meanwhile.
func TestTooLittleMemoryAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.must(l.sim.Inject(pvesim.Fault{Method: "POST", Path: "/status/start$", Effect: pvesim.TaskFails, Text: "start failed: QEMU: cannot set up guest memory 'pc.ram': Cannot allocate memory"}))
		err := apply(context.Background(), l.engine("ops@desk", solo, nil))
		t.Logf("%v\nfix: %s", err, fault.FixOf(err))
		if !fault.Is(err, fault.Refused) || !strings.Contains(fault.FixOf(err), "memory") {
			t.Errorf("%s: %v, fix %q", fault.KindOf(err), err, fault.FixOf(err))
		}
		l.converges(solo, "gpu-1")
	})
}

// TestRawAttachIsKilledAtAnyCall is the life with a root ticket and raw addresses.
func TestRawAttachIsKilledAtAnyCall(t *testing.T) {
	documents := strings.Replace(solo, "credentials: {token: {env: PVE_TOKEN}}", "credentials: {username: root@pam, password: {env: PVE_PASSWORD}}\n    attach: Raw", 1)
	open := func(l *lab, wire http.RoundTripper) *engine.Engine {
		return engine.New(engine.Options{Documents: decode(l.t, documents), By: "ops@desk",
			Open: func(_ context.Context, h *v1alpha1.Hypervisor) (engine.Backend, error) {
				return proxmox.Open(h, proxmox.Login{Password: l.rootPassword, Transport: wire})
			}})
	}
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late %v", late), func(t *testing.T) {
			t.Parallel()
			calls := 0
			for at, cut := 1, true; cut && !t.Failed(); at++ {
				synctest.Test(t, func(t *testing.T) {
					l := newLab(t)
					dying, kill := context.WithCancel(context.Background())
					defer kill()
					wire := &cutter{next: l.sim.Transport(), at: at, late: late, kill: kill}
					_ = apply(dying, open(l, wire))
					cut, calls = wire.dead, at
					l.must(apply(context.Background(), open(l, l.sim.Transport())))
					l.whole()
					l.only("gpu-1")
					if value := l.sim.State().VMs[l.vmid("gpu-1")].Config["hostpci0"]; !strings.HasPrefix(value, "host=0000:03:00") {
						t.Errorf("hostpci0 is %q", value)
					}
				})
			}
			t.Logf("%d cut points", calls-1)
		})
	}
}

// TestProxmox8 does a life on Proxmox VE 8.4.
func TestProxmox8(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, func(w *pvesim.World) {
			w.Version = "8.4.1"
			w.Roles = maps.Clone(w.Roles)
			for name, privileges := range w.Roles {
				privileges = slices.DeleteFunc(slices.Clone(privileges), func(p string) bool { return strings.HasPrefix(p, "VM.GuestAgent.") })
				if name == "GpuWorkerVM" {
					privileges = append(privileges, "VM.Monitor")
				}
				w.Roles[name] = privileges
			}
		})
		ctx := context.Background()
		l.must(apply(ctx, l.engine("ops@desk", fleet, nil)))
		l.asDeclared(fleet, "gpu-1", "gpu-2", "plain-1")
		l.allow("gpu-1", "gpu-2")
		l.must(replace("gpu-1")(ctx, l.engine("ops@desk", fleet, nil)))
		l.must(park("gpu-2")(ctx, l.engine("ops@desk", fleet, nil)))
		l.must(unpark("gpu-2")(ctx, l.engine("ops@desk", fleet, nil)))
		l.asDeclared(fleet, "gpu-1", "gpu-2", "plain-1")
		l.whole()
	})
}

// TestManyWorkersKeepTheLimits makes 30 workers on one host by full clones: one
// clone at a time on the storage, four workers at a time on the host; and counts
// what it asks of the API.
func TestManyWorkersKeepTheLimits(t *testing.T) {
	for _, n := range []int{1, 10, 30} {
		t.Run(fmt.Sprintf("%d workers", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, func(w *pvesim.World) {
					w.Hosts[0].MemoryGiB = 512
					w.Storages = slices.Clone(w.Storages)
					w.Storages[1].CapacityGiB = 5000
				})
				documents := edit("  replicas: 1", fmt.Sprintf("  hosts: [pve1]\n  replicas: %d", n))(duo)
				documents = edit("{name: ubuntu-22.04}", "{name: ubuntu-22.04, clone: Full}")(documents)
				e := l.engine("ops@desk", documents, nil)
				plans, err := e.Plan(context.Background(), engine.PlanOptions{})
				l.must(err)
				asked := len(l.sim.Requests())
				t.Logf("plan of nothing there: %d requests", asked)
				var watch limits
				_, err = e.Apply(context.Background(), plans, engine.ApplyOptions{Progress: watch.see})
				l.must(err)
				if watch.most > 4 {
					t.Errorf("%d workers of one host at once", watch.most)
				}
				if n > 4 && watch.most < 4 {
					t.Errorf("never more than %d workers at once", watch.most)
				}
				t.Logf("apply: %d requests in %s", len(l.sim.Requests())-asked, time.Since(watch.began))
				asked = len(l.sim.Requests())
				l.must(apply(context.Background(), l.engine("ops@desk", documents, nil)))
				t.Logf("apply that changes nothing: %d requests", len(l.sim.Requests())-asked)
				l.whole()
				if together := l.clonesTogether(); together > 1 {
					t.Errorf("%d full clones at once on one storage", together)
				}
			})
		})
	}
}

// limits watches how many workers are at work at once.
type limits struct {
	mu    sync.Mutex
	began time.Time
	busy  map[string]bool
	most  int
}

func (w *limits) see(e steps.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy == nil {
		w.busy, w.began = map[string]bool{}, time.Now()
	}
	switch {
	case e.Phase == steps.Began:
		w.busy[e.Worker] = true
	case e.Step == "agent" && (e.Phase == steps.Done || e.Phase == steps.Warned):
		delete(w.busy, e.Worker)
	}
	w.most = max(w.most, len(w.busy))
}

// clonesTogether is the largest number of clone tasks that ran at once.
func (l *lab) clonesTogether() int {
	l.t.Helper()
	tasks, err := l.root().Tasks(context.Background(), "pve1", pve.TaskFilter{Source: "all", Type: "qmclone", Limit: 500})
	l.must(err)
	if len(tasks) == 0 {
		l.t.Error("no clone is listed")
	}
	most := 0
	for _, at := range tasks {
		n := 0
		for _, other := range tasks {
			if other.StartTime <= at.StartTime && at.StartTime < other.EndTime {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// TestSeveralHypervisorsAtOnce applies one file to two clusters; trouble with one
// does not stop the work on the other.
func TestSeveralHypervisorsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := newLab(t), newLab(t)
		pool := solo[strings.LastIndex(solo, "\napiVersion"):]
		second := strings.NewReplacer("metadata: {name: lab}", "metadata: {name: far}", "pve1:8006", "far:8006").Replace(header[:strings.Index(header, "---\n")])
		documents := solo + "---" + second + "---" + strings.NewReplacer("{name: gpu}", "{name: fargpu}", "hypervisor: lab", "hypervisor: far").Replace(pool)
		e := func() *engine.Engine {
			return engine.New(engine.Options{Documents: decode(t, documents), By: "ops@desk",
				Open: func(_ context.Context, h *v1alpha1.Hypervisor) (engine.Backend, error) {
					l := map[string]*lab{"lab": near, "far": far}[h.Name]
					return proxmox.Open(h, proxmox.Login{Token: "gpuworker@pve!engine=" + canary, Transport: l.sim.Transport()})
				}})
		}
		near.must(near.sim.Inject(pvesim.Fault{Method: "POST", Path: "/status/start$", Effect: pvesim.TaskFails, Text: "start failed: boom"}))
		err := apply(context.Background(), e())
		if err == nil || !strings.Contains(err.Error(), "boom") {
			t.Errorf("got %v", err)
		}
		far.only("fargpu-1")
		near.must(apply(context.Background(), e()))
		near.only("gpu-1")
		far.only("fargpu-1")
		near.whole()
		far.whole()
	})
}

// TestAMovedVMIsFoundAndNotDoubled: a plain worker that somebody moved to
// another host is the same worker there.
func TestAMovedVMIsFoundAndNotDoubled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here := newLab(t)
		l0 := edit("  replicas: 1", "  hosts: [pve1]\n  replicas: 1")(duo)
		here.must(apply(context.Background(), here.engine("ops@desk", l0, nil)))
		vm := here.sim.State().VMs[9100]
		config := map[string]any{}
		for key, value := range vm.Config {
			config[key] = value
		}
		there := newLab(t, func(w *pvesim.World) {
			w.VMs = append(slices.Clone(w.VMs), pvesim.VM{ID: 9100, Host: "pve2", Running: true, Config: config, Guest: pvesim.Guest{OS: "ubuntu", Agent: true}})
		})
		delete(there.foreign, 9100)
		ctx := context.Background()
		plans, err := there.engine("ops@desk", l0, nil).Plan(ctx, engine.PlanOptions{})
		there.must(err)
		text, _ := json.Marshal(plans[0].Pools)
		t.Logf("%s", text)
		there.must(apply(ctx, there.engine("ops@desk", l0, nil)))
		there.only("plain-1")
		there.must(remove("plain-1")(ctx, there.engine("ops@desk", l0, nil)))
		there.only()
		there.whole()
	})
}
