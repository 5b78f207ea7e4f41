package proxmox

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/thorough"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// calls goes through a worker's life call by call. One request may hang.
type calls struct {
	*testing.T
	sim  *pvesim.Sim
	b    driver
	wire *hanging
	lose int // number of the Wait of each method whose handle is lost; the first is 1

	first hypervisor.Handle // for the first call of each method

	before pvesim.State
	called []string // methods
	waits  map[string]int
}

// hanging is a network that never answers one request of a kind, which may have been
// carried out or not.
type hanging struct {
	next http.RoundTripper
	kind string // "PUT /nodes/pve1/qemu/9101/config"
	late bool   // it is carried out

	mu    sync.Mutex
	hung  bool
	kinds map[string]bool
	wrote int // requests that change something
}

// meets records a request and reports whether it hangs.
func (h *hanging) meets(request *http.Request) bool {
	kind := request.Method + " " + strings.TrimPrefix(request.URL.Path, "/api2/json")
	if at := strings.Index(kind, "/tasks/UPID"); at >= 0 { // each task has a name of its own
		kind = kind[:at] + "/tasks/" + strings.Split(kind[at:], ":")[5] + kind[strings.LastIndex(kind, "/"):]
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kinds[kind] = true
	if request.Method != http.MethodGet {
		h.wrote++
	}
	hangs := !h.hung && kind == h.kind
	h.hung = h.hung || hangs
	return hangs
}

func (h *hanging) RoundTrip(request *http.Request) (*http.Response, error) {
	if !h.meets(request) {
		return h.next.RoundTrip(request)
	}
	if h.late {
		answer, err := h.next.RoundTrip(request)
		if err != nil {
			return nil, err
		}
		_ = answer.Body.Close()
	}
	<-request.Context().Done()
	return nil, request.Context().Err()
}

func newCalls(t *testing.T) *calls {
	t.Helper()
	w := world(t)
	sim, err := pvesim.New(w, pvesim.WithLog(t.Logf))
	must(t, err)
	t.Cleanup(sim.Close)
	wire := &hanging{next: sim.Transport(), kinds: map[string]bool{}}
	return &calls{T: t, sim: sim, wire: wire, b: openOver(t, wire, tokenOf(t, w, "gpuworker@pve!engine")), before: sim.State(), waits: map[string]int{}}
}

// do calls a method until it is done, and checks each call. After a timeout it calls
// again with the same handle, once, because only one request hangs.
func (l *calls) do(method string, do step) {
	l.Helper()
	l.called = append(l.called, method)
	handle := l.first
	for n, failed := 1, 0; n < 500; n++ {
		began := time.Now()
		l.wire.wrote = 0
		wait, err := once(context.Background(), do, handle)
		if took := time.Since(began); took > callLimit {
			l.Errorf("call %d of %s took %s", n, method, took)
		}
		if l.wire.wrote > 1 {
			l.Errorf("call %d of %s sent %d requests that change something", n, method, l.wire.wrote)
		}
		switch {
		case err == nil && wait == nil:
			l.waits[method] = max(l.waits[method], n-1)
			return
		case fault.Is(err, fault.Unavailable) && failed == 0:
			failed++
			time.Sleep(3 * time.Second)
			continue
		case err != nil:
			l.Fatalf("call %d of %s: %s %v", n, method, fault.KindOf(err), err)
		}
		time.Sleep(wait.CallAfter)
		if handle = wait.Handle; n == l.lose {
			handle = ""
		}
	}
	l.Fatalf("%s is never done", method)
}

// live calls every method of a Target.
func (l *calls) live() {
	l.Helper()
	r := gpuRecord()
	ref := refOf(r)
	card := inventory.Card{Ref: pci.MustCardRef("pve1/0000:03:00.0"), PCIe: true, ROMBar: true}
	desired := gpuMachine()
	desired.DiskMiB, desired.Card, desired.MemoryMiB = 40*1024, &card, 16*1024
	desired.Guest.SSHKeys = nil
	on := func(method string, do func(context.Context, inventory.VMRef, hypervisor.Handle) (*hypervisor.Wait, error)) {
		l.Helper()
		l.do(method, func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) { return do(ctx, ref, h) })
	}
	target := hypervisor.Target(l.b.Backend)

	l.do("FreeID", func(ctx context.Context, _ hypervisor.Handle) (*hypervisor.Wait, error) {
		_, err := target.FreeID(ctx, nil)
		return nil, err
	})
	l.do("Claim", func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return target.Claim(ctx, ref, r, inventory.Record{}, h)
	})
	l.do("Clone", l.b.cloning(full(r)))
	l.do("Configure", func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return target.Configure(ctx, ref, r, desired, h)
	})
	if disk := l.sim.State().VMs[number(r.VM)].Config["scsi0"]; !strings.Contains(disk, "size=40G") {
		l.Errorf("when it is configured its disk is %s", disk)
	}
	l.do("Attach", func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return target.Attach(ctx, ref, r, card, h)
	})
	on("SetSeed", func(ctx context.Context, ref inventory.VMRef, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return target.SetSeed(ctx, ref, hypervisor.Seed{Image: image("first")}, h)
	})
	on("Start", target.Start)
	on("Agent", func(ctx context.Context, ref inventory.VMRef, h hypervisor.Handle) (*hypervisor.Wait, error) {
		_, wait, err := target.Agent(ctx, ref, h)
		return wait, err
	})
	l.guest(target, ref)
	on("SetSeed", func(ctx context.Context, ref inventory.VMRef, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return target.SetSeed(ctx, ref, hypervisor.Seed{Clean: true, Image: image("clean")}, h)
	})
	on("SetParked", func(ctx context.Context, ref inventory.VMRef, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return target.SetParked(ctx, ref, true, h)
	})
	next := r
	next.Labels = "zone=a"
	on("SetRecord", func(ctx context.Context, ref inventory.VMRef, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return target.SetRecord(ctx, ref, next, h)
	})
	next.Labels = "zone=b"
	on("Adopt", func(ctx context.Context, ref inventory.VMRef, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return target.Adopt(ctx, ref, next, h)
	})
	on("Unprotect", target.Unprotect)
	on("Stop", target.Stop)
	on("RemoveSeeds", func(ctx context.Context, ref inventory.VMRef, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return target.RemoveSeeds(ctx, ref, image("blank"), h)
	})
	on("Destroy", target.Destroy)
	l.do("Release", func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return target.Release(ctx, r, card.Ref, h)
	})
	l.nothingLeft()
	l.disownWorker(r)
}

// guest calls the methods that reach the guest.
func (l *calls) guest(target hypervisor.Target, ref inventory.VMRef) {
	l.Helper()
	const file = "/tmp/x"
	l.do("WriteGuest", func(ctx context.Context, _ hypervisor.Handle) (*hypervisor.Wait, error) {
		return nil, target.WriteGuest(ctx, ref, file, []byte("a file"))
	})
	l.do("ReadGuest", func(ctx context.Context, _ hypervisor.Handle) (*hypervisor.Wait, error) {
		content, err := target.ReadGuest(ctx, ref, file, 4)
		if err == nil && string(content) != "a fi" {
			l.Errorf("the guest's file begins with %q", content)
		}
		return nil, err
	})
	l.do("RunInGuest", func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		result, wait, err := target.RunInGuest(ctx, ref, []string{"cat", file, "/nope"}, h)
		if result != nil && (result.ExitCode != 1 || result.Out != "a file" || result.Err == "") {
			l.Errorf("the command ended with %+v", result)
		}
		return wait, err
	})
}

// image is what stands for an ISO image.
func image(content string) []byte {
	data := make([]byte, (len(content)/isoSector+1)*isoSector)
	copy(data, content)
	return data
}

// disownWorker makes the worker again, without its card, and disowns its VM.
func (l *calls) disownWorker(r inventory.Record) {
	l.Helper()
	ctx, desired := context.Background(), gpuMachine()
	desired.MemoryMiB, desired.DiskMiB, desired.Guest.SSHKeys, desired.Protection = 4096, 0, nil, false
	must(l.T, l.b.Claim(ctx, r, inventory.Record{}))
	must(l.T, l.b.Clone(ctx, order(r)))
	must(l.T, l.b.Configure(ctx, r, desired))
	l.do("Disown", func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return hypervisor.Target(l.b.Backend).Disown(ctx, refOf(r), h)
	})
	vm, err := l.b.ObserveVM(ctx, refOf(r))
	must(l.T, err)
	if ownership, why := vm.Ownership(); ownership != inventory.Foreign {
		l.Errorf("the VM is %s still: %s", ownership, why)
	}
	task, err := l.b.client.Destroy(ctx, "pve1", number(r.VM), pve.DestroyOptions{})
	must(l.T, err)
	err = task.Wait(ctx)
	must(l.T, err)
	l.nothingLeft()
}

func (l *calls) nothingLeft() {
	l.Helper()
	after := l.sim.State()
	for id := range after.Volumes { // images that the login may not remove, and only overwrite
		if strings.Contains(id, "iso/gpuworker-") {
			delete(after.Volumes, id)
		}
	}
	if len(after.VMs) != len(l.before.VMs) || len(after.Mappings) != len(l.before.Mappings) || len(after.Volumes) != len(l.before.Volumes) {
		l.Errorf("left over: %d VMs, %d mappings, %d volumes, before %d, %d, %d", len(after.VMs), len(after.Mappings), len(after.Volumes),
			len(l.before.VMs), len(l.before.Mappings), len(l.before.Volumes))
	}
}

// TestACallIsShortAndWritesOnce calls every method of a Target, with all handles kept
// and with one handle of each method lost.
func TestACallIsShortAndWritesOnce(t *testing.T) {
	for lose := range 4 {
		t.Run(fmt.Sprintf("the handle of Wait %d is lost", lose), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newCalls(t)
				l.lose = lose
				l.live()
				target := reflect.TypeFor[hypervisor.Target]()
				for i := range target.NumMethod() {
					if name := target.Method(i).Name; !slices.Contains(l.called, name) {
						t.Errorf("%s was not called", name)
					}
				}
				for _, method := range []string{"Clone", "Configure", "SetSeed", "RunInGuest", "RemoveSeeds", "Start", "Agent", "Stop", "Destroy", "Release", "Disown"} {
					if l.waits[method] == 0 {
						t.Errorf("%s was done with one call: nothing was waited for", method)
					}
				}
			})
		})
	}
}

// TestACallIsShortWhenAHostHangs lets each kind of request hang once, carried out or
// not. The engine notices it only by its timeout, and still completes the work.
func TestACallIsShortWhenAHostHangs(t *testing.T) {
	var kinds []string
	synctest.Test(t, func(t *testing.T) {
		l := newCalls(t)
		l.live()
		kinds = slices.Sorted(maps.Keys(l.wire.kinds))
	})
	if len(kinds) < 25 {
		t.Fatalf("only %d kinds of requests: %v", len(kinds), kinds)
	}
	for i := 0; i < len(kinds); i += thorough.Every {
		kind := kinds[i]
		for _, late := range []bool{false, true} {
			if late && strings.HasPrefix(kind, "GET ") {
				continue
			}
			t.Run(fmt.Sprintf("%s, carried out %v", kind, late), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newCalls(t)
					l.wire.kind, l.wire.late = kind, late
					l.live()
					if !l.wire.hung {
						t.Error("nothing hung")
					}
				})
			})
		}
	}
}
