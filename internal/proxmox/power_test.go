package proxmox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// starting and stopping are the calls of Start and Stop.
func (d driver) starting(ref inventory.VMRef) step {
	return func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return d.Backend.Start(ctx, ref, h)
	}
}

func (d driver) stopping(ref inventory.VMRef) step {
	return func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return d.Backend.Stop(ctx, ref, h)
	}
}

// up makes a worker without a card that has been running for a minute.
func (l *bench) up() inventory.VMRef {
	l.Helper()
	ref := l.worker(1)
	must(l.T, l.b.Start(l.Context(), ref))
	time.Sleep(time.Minute)
	return ref
}

func (l *bench) isUp(ref inventory.VMRef) bool {
	l.Helper()
	status, err := l.root.VMStatus(l.Context(), ref.Host, number(ref.ID))
	must(l.T, err)
	return status.Running()
}

// TestOnlySoManyVMsOfAHostStartAtOnce, and the others wait.
func TestOnlySoManyVMsOfAHostStartAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBench(t)
		var refs []inventory.VMRef
		for n := range 7 {
			refs = append(refs, l.worker(n))
		}
		over := make(chan struct{})
		go func() {
			defer close(over)
			var group sync.WaitGroup
			for _, ref := range refs {
				group.Go(func() {
					if err := l.b.Start(t.Context(), ref); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
		}()
		time.Sleep(500 * time.Millisecond)
		if wait := l.waiting(l.b.starting(refs[6]), ""); wait.CallAfter == 0 {
			t.Errorf("it does not wait for the other starts: %+v", wait)
		}
		if got := most(over, func() int { return len(l.running("pve1", "qmstart")) }); got != 4 {
			t.Errorf("%d starts at once, want 4", got)
		}
		for _, ref := range refs {
			if !l.isUp(ref) {
				t.Errorf("%s does not run", ref.Name)
			}
		}
	})
}

// TestAFailedStartShowsTheTasksError, unless the VM runs.
func TestAFailedStartShowsTheTasksError(t *testing.T) {
	const text = "start failed: QEMU exited with code 1"
	for effect, fails := range map[pvesim.Effect]bool{pvesim.TaskFails: true, pvesim.TaskFailsButDone: false} {
		t.Run(string(effect), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBench(t)
				ref := l.worker(1)
				must(t, l.sim.Inject(pvesim.Fault{Path: "/status/start$", Effect: effect, Text: text}))
				err := l.b.Start(t.Context(), ref)
				if (err != nil) != fails || fails && (!strings.Contains(err.Error(), text) || !fault.Is(err, fault.Failed)) {
					t.Errorf("it ends with %s %v", fault.KindOf(err), err)
				}
				if l.isUp(ref) == fails {
					t.Errorf("it runs: %v", !fails)
				}
			})
		})
	}
}

// TestAStartOfAPersonIsWaitedFor: that task holds the VM's lock for longer than our task
// or our request waits for it.
func TestAStartOfAPersonIsWaitedFor(t *testing.T) {
	for _, atOnce := range []bool{false, true} {
		t.Run(fmt.Sprintf("our request is refused: %v", atOnce), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBench(t, taking(func(timings *pvesim.Timings) { timings.Start = pvesim.Duration(25 * time.Second) }))
				ref := l.worker(1)
				theirs, err := l.root.Start(t.Context(), "pve1", number(ref.ID), 0)
				must(t, err)
				time.Sleep(time.Second)
				if atOnce {
					must(t, l.sim.Inject(pvesim.Fault{Path: "/status/start$", Effect: pvesim.LockHeld}))
				}
				must(t, l.b.Start(t.Context(), ref))
				if ended, err := l.root.Task(theirs.UPID).Poll(t.Context(), time.Now()); !ended || err != nil || !l.isUp(ref) {
					t.Errorf("their start: ended %v, %v; it runs: %v", ended, err, l.isUp(ref))
				}
				if sent := l.sent("POST /nodes/pve1/qemu/9111/status/start"); sent != 1 {
					t.Errorf("it was started %d times", sent)
				}
			})
		})
	}
}

// TestAGuestThatDoesNotShutDownIsSwitchedOff after its time.
func TestAGuestThatDoesNotShutDownIsSwitchedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBench(t)
		ref := l.worker(1)
		must(t, l.b.Start(t.Context(), ref)) // it has not booted yet
		began := time.Now()
		must(t, l.b.Stop(t.Context(), ref))
		if took := time.Since(began); l.isUp(ref) || took < shutdownPatience || took > shutdownPatience+30*time.Second {
			t.Errorf("it runs: %v, after %s", l.isUp(ref), took)
		}
	})
}

// TestAfterAStoppedShutdownTaskTheVMIsSwitchedOff: the guest was asked, and then a
// person stopped the task.
func TestAfterAStoppedShutdownTaskTheVMIsSwitchedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBench(t)
		ref := l.worker(1)
		must(t, l.b.Start(t.Context(), ref))
		began := time.Now()
		wait := l.waiting(l.b.stopping(ref), "")
		for _, task := range l.running("pve1", "qmshutdown") {
			must(t, l.root.StopTask(t.Context(), task.UPID))
		}
		time.Sleep(wait.CallAfter)
		if wait = l.waiting(l.b.stopping(ref), wait.Handle); wait.For != stopWords {
			t.Errorf("it waits for %s", wait.For)
		}
		must(t, goOn(t.Context(), l.b.stopping(ref), wait.Handle))
		if took := time.Since(began); l.isUp(ref) || took > 10*time.Second {
			t.Errorf("it runs: %v, after %s", l.isUp(ref), took)
		}
	})
}

// TestAGuestIsAskedOnceWhenTheHandleIsLost: a second shutdown waits for the lock of the
// first, and the VM is not switched off because of that.
func TestAGuestIsAskedOnceWhenTheHandleIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBench(t, taking(func(timings *pvesim.Timings) { timings.Shutdown = pvesim.Duration(time.Minute) }))
		ref := l.up()
		l.waiting(l.b.stopping(ref), "")
		must(t, l.b.Stop(t.Context(), ref))
		if pulls := l.sent("POST /nodes/pve1/qemu/9111/status/stop"); l.isUp(ref) || pulls > 0 {
			t.Errorf("it runs: %v, it was switched off %d times", l.isUp(ref), pulls)
		}
	})
}

// TestAVMThatCannotBeAskedIsSwitchedOff: Proxmox refuses the request to shut it down.
func TestAVMThatCannotBeAskedIsSwitchedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBench(t)
		ref := l.up()
		must(t, l.sim.Inject(pvesim.Fault{Path: "/status/shutdown$", Effect: pvesim.Status, Code: 501, Text: "Method 'POST' not implemented", Times: -1}))
		must(t, l.b.Stop(t.Context(), ref))
		if asked := l.sent("POST /nodes/pve1/qemu/9111/status/shutdown"); l.isUp(ref) || asked != 1 {
			t.Errorf("it runs: %v, asked %d times", l.isUp(ref), asked)
		}
	})
}

// TestALostRequestToSwitchOffIsSentAgain, and the guest is not asked again.
func TestALostRequestToSwitchOffIsSentAgain(t *testing.T) {
	for effect, sent := range map[pvesim.Effect]int{pvesim.DropBefore: 2, pvesim.DropAfter: 1} {
		t.Run(string(effect), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBench(t, taking(func(timings *pvesim.Timings) { timings.Stop = pvesim.Duration(8 * time.Second) }))
				ref := l.worker(1)
				must(t, l.b.Start(t.Context(), ref))
				must(t, l.sim.Inject(pvesim.Fault{Path: "/status/shutdown$", Effect: pvesim.TaskFails, Text: "VM quit/powerdown failed - got timeout"}))
				must(t, l.sim.Inject(pvesim.Fault{Path: "/status/stop$", Effect: effect}))
				must(t, l.b.Stop(t.Context(), ref))
				asked, pulled := l.sent("POST /nodes/pve1/qemu/9111/status/shutdown"), l.sent("POST /nodes/pve1/qemu/9111/status/stop")
				if l.isUp(ref) || asked != 1 || pulled != sent {
					t.Errorf("it runs: %v, asked %d times, switched off %d times, want 1 and %d", l.isUp(ref), asked, pulled, sent)
				}
			})
		})
	}
}

// TestAVMOfTheHAManagerIsStoppedAndStartedByIt: the tasks only ask the manager, which
// acts some seconds later. The guest has time to shut down there too.
func TestAVMOfTheHAManagerIsStoppedAndStartedByIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBench(t, func(w *pvesim.World) {
			w.VMs = append(w.VMs, pvesim.VM{ID: 9150, Host: "pve1", HA: true, Guest: pvesim.Guest{OS: "ubuntu", Agent: true}, Running: true, Config: map[string]any{
				"name": "web-9", "tags": inventory.OwnerTag, "smbios1": "uuid=" + plain(9).UUID, "description": haNote(),
			}})
		})
		time.Sleep(time.Minute)
		r := haRecord()
		must(t, l.b.Stop(t.Context(), refOf(r)))
		if pulls := l.sent("POST /nodes/pve1/qemu/9150/status/stop"); l.isUp(refOf(r)) || pulls > 0 {
			t.Errorf("it runs: %v, it was switched off %d times", l.isUp(refOf(r)), pulls)
		}
		must(t, l.b.Start(t.Context(), refOf(r)))
		if !l.isUp(refOf(r)) {
			t.Error("the start is done, and it does not run")
		}
	})
}

func haRecord() inventory.Record {
	r := plain(9)
	r.VM = "9150"
	return r
}

func haNote() string { return note(haRecord(), "") }

// TestAVMThatAPersonDestroysIsGone: between our proof and our request, a person destroys
// it or starts to.
func TestAVMThatAPersonDestroysIsGone(t *testing.T) {
	begin := func(l *bench, ref inventory.VMRef) (pve.Task, error) {
		return l.root.Destroy(context.Background(), "pve1", number(ref.ID), pve.DestroyOptions{})
	}
	for name, tt := range map[string]struct {
		hand  func(*bench, inventory.VMRef)
		takes time.Duration
	}{
		"it is gone": {func(l *bench, ref inventory.VMRef) { l.await(begin(l, ref)) }, time.Second},
		"it goes while our task waits for its lock": {func(l *bench, ref inventory.VMRef) { _, _ = begin(l, ref) }, 5 * time.Second},
		"it goes after our task has given up":       {func(l *bench, ref inventory.VMRef) { _, _ = begin(l, ref) }, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBench(t, taking(func(timings *pvesim.Timings) { timings.Destroy = pvesim.Duration(tt.takes) }))
				ref := l.worker(1)
				wire := &before{next: l.sim.Transport(), method: "DELETE", hand: func() { tt.hand(l, ref) }}
				l.b = openOver(t, wire, tokenOf(t, world(t), "gpuworker@pve!engine"))
				must(t, l.b.Destroy(t.Context(), ref))
				if _, there := l.sim.State().VMs[number(ref.ID)]; there {
					t.Error("the VM is there")
				}
			})
		})
	}
}

// TestAVMThatMovesAwayIsNotGone: between our proof and our request, a person migrates it
// to another host. It still exists, so its card must not be released.
func TestAVMThatMovesAwayIsNotGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBench(t)
		ref := l.worker(1)
		wire := &before{next: l.sim.Transport(), method: "DELETE", hand: func() { l.migrate(ref, "pve2") }}
		l.b = openOver(t, wire, tokenOf(t, world(t), "gpuworker@pve!engine"))
		err := l.b.Destroy(t.Context(), ref)
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "is on host pve2 now") {
			t.Errorf("error %v", err)
		}
		if vm := l.sim.State().VMs[number(ref.ID)]; vm.Host != "pve2" {
			t.Errorf("the VM: %+v", vm)
		}
	})
}

// migrate moves a VM that does not run, and waits until it is there.
func (l *bench) migrate(ref inventory.VMRef, target string) {
	l.Helper()
	call := func(path string, header http.Header, form url.Values) (answer struct{ Data json.RawMessage }) {
		r, err := http.NewRequest("POST", "https://pve1:8006/api2/json"+path, strings.NewReader(form.Encode()))
		must(l.T, err)
		r.Header = header
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		response, err := l.sim.Transport().RoundTrip(r)
		must(l.T, err)
		defer response.Body.Close()
		if response.StatusCode != 200 {
			l.Fatalf("%s: %s", path, response.Status)
		}
		must(l.T, json.NewDecoder(response.Body).Decode(&answer))
		return answer
	}
	var login struct{ Ticket, CSRFPreventionToken string }
	must(l.T, json.Unmarshal(call("/access/ticket", http.Header{}, url.Values{"username": {"root@pam"}, "password": {"homelab-root"}}).Data, &login))
	var upid pve.UPID
	header := http.Header{"Cookie": {"PVEAuthCookie=" + url.QueryEscape(login.Ticket)}, "Csrfpreventiontoken": {login.CSRFPreventionToken}}
	must(l.T, json.Unmarshal(call("/nodes/"+ref.Host+"/qemu/"+ref.ID+"/migrate", header, url.Values{"target": {target}}).Data, &upid))
	l.await(l.root.Task(upid), nil)
}

// TestAWorkerIsMarkedWhenItIsComplete: until its configuration and its disk are as
// declared, it stays an unmarked clone, also when a write was carried out in part.
func TestAWorkerIsMarkedWhenItIsComplete(t *testing.T) {
	for name, broken := range map[string]pvesim.Fault{
		"the configuration is written in part": {Method: "PUT", Path: "/config$", Effect: pvesim.PartialConfig, Options: 3, Text: "no space left"},
		"the disk does not grow":               {Method: "PUT", Path: "/resize$", Effect: pvesim.TaskFails, Text: "no space left"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBench(t)
				r, desired := gpuRecord(), gpuMachine()
				desired.DiskMiB, desired.Guest.SSHKeys = 40*1024, nil
				must(t, l.b.Claim(t.Context(), r, inventory.Record{}))
				must(t, l.b.Clone(t.Context(), order(r)))
				for n := 1; ; n++ { // it breaks at the first write, at the second, …
					broken.Nth = n
					l.sim.ClearFaults()
					must(t, l.sim.Inject(broken))
					err := l.b.Configure(t.Context(), r, desired)
					vm, lookErr := l.b.ObserveVM(t.Context(), refOf(r))
					must(t, lookErr)
					if err == nil {
						break
					}
					if ownership, why := vm.Ownership(); ownership != inventory.Unmarked {
						t.Errorf("broken at write %d (%v) it is %s: %s", n, err, ownership, why)
					}
				}
				vm, err := l.b.ObserveVM(t.Context(), refOf(r))
				must(t, err)
				if ownership, why := vm.Ownership(); ownership != inventory.Ours || vm.Machine.DiskMiB != 40*1024 || !vm.Machine.Protection {
					t.Errorf("in the end it is %s (%s): %s", ownership, why, fmt.Sprint(vm.Machine))
				}
			})
		})
	}
}
