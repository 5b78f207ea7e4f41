package proxmox

import (
	"context"
	"net/http"
	"slices"
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

// slowly makes a full clone take a hundred seconds instead of ten.
var slowly = taking(func(timings *pvesim.Timings) { timings.CloneFullGiB = pvesim.Duration(10 * time.Second) })

// TestOnlySoManyClonesWriteToAStorageAtOnce starts eight clones and counts the
// tasks that run at once. Full clones that a person started count too.
func TestOnlySoManyClonesWriteToAStorageAtOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		order  func(inventory.Record) hypervisor.CloneOrder
		byHand int
		most   int
	}{
		"linked":                   {order, 0, 4},
		"full":                     {full, 0, 2},
		"linked, with one by hand": {order, 1, 4},
		"full, with one by hand":   {full, 1, 2},
		"linked, with more by hand than the limit": {order, 5, 5},
		"full, with as many by hand as the limit":  {full, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBench(t, slowly)
				for n := range tt.byHand {
					_, err := l.root.Clone(t.Context(), "pve1", 9000, pve.CloneOptions{NewID: 300 + n, Full: true})
					must(t, err)
				}
				over := make(chan struct{})
				go func() {
					defer close(over)
					var group sync.WaitGroup
					for n := range 8 {
						group.Go(func() {
							if err := l.b.Clone(t.Context(), tt.order(plain(n))); err != nil {
								t.Error(err)
							}
						})
					}
					group.Wait()
				}()
				if got := most(over, func() int { return len(l.running("pve1", "qmclone")) }); got != tt.most {
					t.Errorf("%d clones at once, want %d", got, tt.most)
				}
			})
		})
	}
}

// withNAS adds a storage that all hosts share, with a template on pve1 and on pve2.
func withNAS(w *pvesim.World) {
	w.Storages = append(w.Storages, pvesim.Storage{Name: "nas", Type: "dir", Path: "/mnt/nas", Content: []string{"images"}, Shared: true, CapacityGiB: 1000})
	for id, host := range map[int]string{400: "pve1", 401: "pve2"} {
		w.VMs = append(w.VMs, pvesim.VM{ID: id, Host: host, Config: map[string]any{"name": "shared", "template": 1,
			"scsi0": "nas:" + idOf(id) + "/base-" + idOf(id) + "-disk-0.raw,size=10G", "ide2": "none,media=cdrom", "net0": "virtio=BC:24:11:40:00:0" + idOf(id)[2:] + ",bridge=vmbr0"}})
	}
}

// toNAS orders a full clone of the template on pve1 to the shared storage.
func toNAS(record inventory.Record) hypervisor.CloneOrder {
	o := full(record)
	o.Template = inventory.VMRef{Host: "pve1", ID: "400", Name: "shared"}
	o.TargetStorage, o.TargetHost = "nas", ""
	return o
}

// TestClonesOfAllHostsCountForASharedStorage: clones of a person run on another
// host, from the other template.
func TestClonesOfAllHostsCountForASharedStorage(t *testing.T) {
	for name, tt := range map[string]struct {
		order func(inventory.Record) hypervisor.CloneOrder
		waits bool
	}{
		"to the shared storage":        {toNAS, true},
		"to the host's own storage":    {full, false},
		"linked on the shared storage": {func(r inventory.Record) hypervisor.CloneOrder { o := toNAS(r); o.Full = false; return o }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBench(t, withNAS, slowly)
				for n := range 2 {
					_, err := l.root.Clone(t.Context(), "pve2", 401, pve.CloneOptions{NewID: 300 + n, Full: true})
					must(t, err)
				}
				wait := l.waiting(l.b.cloning(tt.order(gpuRecord())), "")
				if sent := l.sent("POST /nodes/pve1/qemu/") > 0; sent == tt.waits || tt.waits && !strings.Contains(wait.For, "2 clones on nas are running") {
					t.Errorf("the clone was asked for: %v; it waits for %s", sent, wait.For)
				}
				must(t, l.b.Clone(t.Context(), tt.order(gpuRecord())))
			})
		})
	}
}

// onItsWay is a network that loses the answers to clone requests. The requests are
// carried out later, or never.
type onItsWay struct {
	next    http.RoundTripper
	arrives bool
	after   time.Duration
	lost    int // how many of the first requests
	asked   int
	carried sync.WaitGroup
}

func (o *onItsWay) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method != http.MethodPost || !strings.HasSuffix(request.URL.Path, "/clone") {
		return o.next.RoundTrip(request)
	}
	if o.asked++; o.asked > o.lost {
		return o.next.RoundTrip(request)
	}
	if o.arrives {
		late := request.Clone(context.Background())
		o.carried.Go(func() {
			time.Sleep(o.after)
			if answer, err := o.next.RoundTrip(late); err == nil {
				_ = answer.Body.Close()
			}
		})
	}
	return nil, http.ErrServerClosed
}

// TestACloneWithoutAnAnswerIsLookedFor: the request may have arrived, still be on its
// way, or be lost.
func TestACloneWithoutAnAnswerIsLookedFor(t *testing.T) {
	for name, tt := range map[string]struct {
		wire  *onItsWay
		asked int
	}{
		"it arrived":             {&onItsWay{arrives: true, lost: 1}, 1},
		"it is on its way":       {&onItsWay{arrives: true, after: 28 * time.Second, lost: 1}, 1},
		"it got lost":            {&onItsWay{lost: 1}, 2},
		"it got lost, and again": {&onItsWay{lost: 2}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBench(t)
				wire := tt.wire
				wire.next = l.sim.Transport()
				l.b = openOver(t, wire, tokenOf(t, world(t), "gpuworker@pve!engine"))
				vms := len(l.sim.State().VMs)
				must(t, l.b.Clone(t.Context(), full(gpuRecord())))
				wire.carried.Wait()
				if state := l.sim.State(); wire.asked != tt.asked || len(state.VMs) != vms+1 || state.VMs[9101].Lock != "" {
					t.Errorf("asked for %d times, %d new VMs, lock %q", wire.asked, len(state.VMs)-vms, state.VMs[9101].Lock)
				}
			})
		})
	}
}

// TestACloneWhoseHandleIsLostIsFoundAgain by the engine that requested it, or by
// another one. At first the VM has no name, so it is unknown whose it is.
func TestACloneWhoseHandleIsLostIsFoundAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBench(t, slowVolumes)
		l.waiting(l.b.cloning(full(gpuRecord())), "")
		wait := l.waiting(l.another().cloning(full(gpuRecord())), "")
		if !wait.UnderWay || !strings.Contains(wait.For, "9101") {
			t.Errorf("it waits for %+v", wait)
		}
		must(t, l.another().Clone(t.Context(), full(gpuRecord())))
		if state := l.sim.State(); state.VMs[9101].Name != "gpu-1" || state.VMs[9101].Lock != "" {
			t.Errorf("it is done, and the VM is %+v", state.VMs[9101])
		}
	})
}

// slowVolumes makes the creation of a volume take five seconds: a clone has no name until then.
func slowVolumes(w *pvesim.World) {
	for i := range w.Storages {
		w.Storages[i].Allocate = pvesim.Duration(5 * time.Second)
	}
}

// TestANumberOfAnotherCloneIsInUse: as soon as the clone has a name, it is clear that
// it is not ours. When that clone fails, our request gets the number.
func TestANumberOfAnotherCloneIsInUse(t *testing.T) {
	for name, tt := range map[string]struct {
		hand func(*bench, pve.Task)
		says string // "" when it is ours
	}{
		"it is made": {func(*bench, pve.Task) {}, "theirs"},
		"it is stopped": {func(l *bench, task pve.Task) {
			must(l.T, l.root.StopTask(l.Context(), task.UPID))
			time.Sleep(time.Second)
		}, ""},
		"its task dies": {func(l *bench, _ pve.Task) {
			must(l.T, l.sim.SetQuorum(false))
			time.Sleep(time.Minute)
			must(l.T, l.sim.SetQuorum(true))
		}, "an incomplete clone has it, and no task works on it"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBench(t, slowVolumes)
				task, err := l.root.Clone(t.Context(), "pve1", 9000, pve.CloneOptions{NewID: 9101, Name: "theirs", Full: true})
				must(t, err)
				wait := l.waiting(l.b.cloning(order(gpuRecord())), "")
				if !wait.UnderWay {
					t.Errorf("it waits for %+v", wait)
				}
				tt.hand(l, task)
				err = l.b.Clone(t.Context(), order(gpuRecord()))
				if tt.says == "" && err != nil || tt.says != "" && (!fault.Is(err, fault.Exists) || !strings.Contains(err.Error(), tt.says)) {
					t.Errorf("it ends with %s %v", fault.KindOf(err), err)
				}
				if state := l.sim.State(); tt.says == "theirs" && state.VMs[9101].Lock != "clone" {
					t.Error("it waited until the other clone ended")
				}
			})
		})
	}
}

// TestACloneForAnotherHostIsFoundOnTheTemplatesHost: the VM is there until the clone is
// done. The answer to its request was lost, so that the engine must look for it.
func TestACloneForAnotherHostIsFoundOnTheTemplatesHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBench(t, withNAS)
		wire := &onItsWay{next: l.sim.Transport(), arrives: true, lost: 1}
		l.b = openOver(t, wire, tokenOf(t, world(t), "gpuworker@pve!engine"))
		r := gpuRecord()
		r.Host = "pve2"
		o := toNAS(r)
		o.Record = r
		wait := l.waiting(l.b.cloning(o), "")
		time.Sleep(2 * time.Second)
		if wait = l.waiting(l.b.cloning(o), wait.Handle); wait.For != "the clone of shared" {
			t.Errorf("it waits for %q", wait.For)
		}
		vm, err := l.b.ObserveVM(t.Context(), inventory.VMRef{Host: "pve1", ID: "9101"})
		if err != nil || vm == nil || vm.State != inventory.Cloning {
			t.Errorf("it is seen as %+v (%v)", vm, err)
		}
		must(t, goOn(t.Context(), l.b.cloning(o), wait.Handle))
		if vm, err := l.b.ObserveVM(t.Context(), refOf(r)); err != nil || vm == nil || vm.State != inventory.Free || vm.Record == nil {
			t.Errorf("when it is done it is %+v (%v)", vm, err)
		}
		if wire.asked != 1 {
			t.Errorf("it was asked for %d times", wire.asked)
		}
	})
}

// TestAFullCloneShowsItsProgress, with one more request every few seconds.
func TestAFullCloneShowsItsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newBench(t, slowly)
		var far []string
		began := time.Now()
		var handle hypervisor.Handle
		for {
			wait := l.call(l.b.cloning(full(gpuRecord())), handle)
			if wait == nil {
				break
			}
			if wait.Progress != "" && !slices.Contains(far, wait.Progress) {
				far = append(far, wait.Progress)
			}
			time.Sleep(wait.CallAfter)
			handle = wait.Handle
		}
		took := time.Since(began)
		if len(far) < 10 || far[0] != "512.0 MiB of 10.0 GiB (5.00%)" || !strings.HasPrefix(far[len(far)-1], "9.") {
			t.Errorf("its progress is %q", far)
		}
		if read := l.sent("GET /nodes/pve1/tasks/") - l.statusReads(); read > int(took/progressEvery) {
			t.Errorf("the log was read %d times in %s", read, took)
		}
	})
}

func (l *bench) statusReads() (n int) {
	for _, said := range l.wire.said {
		if strings.HasSuffix(said, "/status") && strings.Contains(said, "/tasks/") {
			n++
		}
	}
	return n
}

// TestAFailedCloneSaysWhy, and an error that may go away is retried.
func TestAFailedCloneSaysWhy(t *testing.T) {
	for name, tt := range map[string]struct {
		fault pvesim.Fault
		kind  fault.Kind
		says  string
	}{
		"no space":           {pvesim.Fault{Effect: pvesim.TaskFails, Text: "clone failed: copy failed: No space left on device"}, fault.Refused, "No space left"},
		"the storage's lock": {pvesim.Fault{Effect: pvesim.StorageLockTimeout}, fault.Busy, "got timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBench(t)
				tt.fault.Path = "/clone$"
				must(t, l.sim.Inject(tt.fault))
				err := l.b.Clone(t.Context(), full(gpuRecord()))
				if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%s %v", fault.KindOf(err), err)
				}
				must(t, l.b.Clone(t.Context(), full(gpuRecord())))
			})
		})
	}
}
