package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/proxmox"
	"github.com/gpuworker/gpuworker/internal/thorough"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// TestEditsByHand changes something of a worker by hand and runs every command. An
// unverified VM must not be changed by any of them; when the edit is reverted, the
// world is as declared again.
func TestEditsByHand(t *testing.T) {
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

// TestALoginThatLosesAPrivilege denies one kind of call from some moment on. Each error
// names the privilege and the fix, and once the privilege is back the same command
// converges.
func TestALoginThatLosesAPrivilege(t *testing.T) {
	for _, lost := range []struct{ method, path, acl, privilege string }{
		{"POST", "/clone$", "/vms/9000", "VM.Clone"},
		{"PUT", "/qemu/9100/config$", "/vms/9100", "VM.Config.Options"},
		{"POST", "/status/start$", "/vms/9100", "VM.PowerMgmt"},
		{"POST", "/cluster/mapping/pci$", "/mapping/pci", "Mapping.Modify"},
		{"GET", "/cluster/mapping/pci$", "/mapping/pci", "Mapping.Audit"},
		{"GET", "/qemu/9100/pending$", "/vms/9100", "VM.Audit"},
		{"GET", "/nodes/pve1/qemu$", "/nodes/pve1", "VM.Audit"},
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
					t.Errorf("the error does not name the missing privilege: %s %v", fault.KindOf(err), err)
				}
				l.sim.ClearFaults()
				l.converges(solo, "gpu-1")
			})
		})
	}
}

// TestANumberThatIsTakenBeforeTheClone: somebody makes a VM with the number right
// before our clone. The worker gets another number, and so does its claim.
func TestANumberThatIsTakenBeforeTheClone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, oneHost)
		wire := &meddler{next: l.sim.Transport(), hand: func() { l.tryRecycle(9100, true) }}
		wire.when = func(request string) bool { return strings.HasSuffix(request, "/clone") }
		l.must(apply(context.Background(), l.engine("ops@desk", solo, wire)))
		l.whole()
		l.asDeclared(solo, "gpu-1")
		if at := l.vmid("gpu-1"); at == 9100 {
			t.Error("nobody took the number")
		}
	})
}

// TestAPlanOfAnotherWorldIsNotApplied changes the world between the plan that a person
// saw and the apply.
func TestAPlanOfAnotherWorldIsNotApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, oneHost)
		ctx, e := context.Background(), l.engine("ops@desk", solo, nil)
		plans, err := e.Plan(ctx, planOptions{})
		l.must(err)
		l.plant(300, map[string]string{"name": "theirs", "machine": "q35", "hostpci0": "0000:03:00.0"})
		_, err = e.Apply(ctx, plans, engine.ApplyOptions{})
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "gpu-1") {
			t.Errorf("got %v", err)
		}
		l.usable(err)
		l.whole()
		l.only()
	})
}

// TestAFailedStartOfARunningVMIsDone: the state of the VM counts, not the task.
func TestAFailedStartOfARunningVMIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, oneHost)
		l.must(l.sim.Inject(pvesim.Fault{Method: "POST", Path: "/status/start$", Effect: pvesim.TaskFailsButDone, Text: "start failed: QEMU exited with code 1"}))
		l.must(apply(context.Background(), l.engine("ops@desk", solo, nil)))
		l.whole()
		l.asDeclared(solo, "gpu-1")
	})
}

// TestTooLittleMemoryAtTheStart: other VMs used the host's memory after the plan.
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

// TestRawAttachIsKilledAtAnyCall is TestKilledAtAnyCall with a root ticket and raw
// addresses.
func TestRawAttachIsKilledAtAnyCall(t *testing.T) {
	t.Parallel()
	documents := strings.Replace(solo, "credentials: {token: {env: PVE_TOKEN}}", "credentials: {username: root@pam, password: {env: PVE_PASSWORD}}\n    attach: Raw", 1)
	open := func(l *lab, wire http.RoundTripper) testEngine {
		return openEngine(decode(l.t, documents), "ops@desk", func(h *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
			return proxmox.Open(h, proxmox.Login{Password: l.rootPassword, Transport: wire})
		})
	}
	points := 0
	for at, cut := 1, true; cut && !t.Failed(); at += thorough.Every {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, oneHost)
			dying, kill := context.WithCancel(context.Background())
			defer kill()
			wire := &cutter{next: l.sim.Transport(), at: at, late: at%2 == 0, kill: kill}
			_ = apply(dying, open(l, wire))
			if cut = wire.dead; cut {
				points++
			}
			l.must(apply(context.Background(), open(l, l.sim.Transport())))
			l.whole()
			l.only("gpu-1")
			if value := l.sim.State().VMs[l.vmid("gpu-1")].Config["hostpci0"]; !strings.HasPrefix(value, "host=0000:03:00") {
				t.Errorf("hostpci0 is %q", value)
			}
		})
	}
	t.Logf("%d cut points", points)
}

// TestProxmox8 makes, changes and deletes workers on Proxmox VE 8.4.
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

// TestSeveralHypervisorsAtOnce applies one file to two hypervisors; a failure of one
// does not stop the work on the other.
func TestSeveralHypervisorsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := newLab(t), newLab(t)
		pool := solo[strings.LastIndex(solo, "\napiVersion"):]
		second := strings.NewReplacer("metadata: {name: lab}", "metadata: {name: far}", "pve1:8006", "far:8006").Replace(header[:strings.Index(header, "---\n")])
		documents := solo + "---" + second + "---" + strings.NewReplacer("{name: gpu}", "{name: fargpu}", "hypervisor: lab", "hypervisor: far").Replace(pool)
		e := func() testEngine {
			return openEngine(decode(t, documents), "ops@desk", func(h *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
				l := map[string]*lab{"lab": near, "far": far}[h.Name]
				return proxmox.Open(h, proxmox.Login{Token: "gpuworker@pve!engine=" + canary, Transport: l.sim.Transport()})
			})
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

// TestAMovedVMIsFoundAndNotDuplicated: a plain worker that somebody moved to another
// host is the same worker there.
func TestAMovedVMIsFoundAndNotDuplicated(t *testing.T) {
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
		plans, err := there.engine("ops@desk", l0, nil).Plan(ctx, planOptions{})
		there.must(err)
		text, _ := json.Marshal(plans.Plans[0].Pools)
		t.Logf("%s", text)
		there.must(apply(ctx, there.engine("ops@desk", l0, nil)))
		there.only("plain-1")
		there.must(remove("plain-1")(ctx, there.engine("ops@desk", l0, nil)))
		there.only()
		there.whole()
	})
}

// TestAHypervisorThatDoesNotAnswerUntilTheDeadlineIsUnseen: completion of names has a
// deadline, and must not lose the answers of the other hypervisors.
func TestAHypervisorThatDoesNotAnswerUntilTheDeadlineIsUnseen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near := newLab(t)
		second := strings.NewReplacer("metadata: {name: lab}", "metadata: {name: far}", "pve1:8006", "far:8006").Replace(header[:strings.Index(header, "---\n")])
		documents := decode(t, solo+"---"+second)
		e := openEngine(documents, "ops@desk", func(h *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
			transport := map[string]http.RoundTripper{"lab": near.sim.Transport(), "far": silent{}}[h.Name]
			return proxmox.Open(h, proxmox.Login{Token: "gpuworker@pve!engine=" + canary, Transport: transport})
		})
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		rows, unseen, err := e.Engine.Status(ctx, documents, nil)
		if err != nil || len(rows) != 1 || rows[0].Worker != "gpu-1" || len(unseen) != 1 || unseen[0].Hypervisor != "far" {
			t.Errorf("got rows %v, unseen %v, error %v", rows, unseen, err)
		}
	})
}

// silent is a hypervisor that accepts requests and never answers.
type silent struct{}

func (silent) RoundTrip(request *http.Request) (*http.Response, error) {
	<-request.Context().Done()
	return nil, request.Context().Err()
}
