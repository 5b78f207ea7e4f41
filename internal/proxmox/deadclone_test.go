package proxmox

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// lostAnswers carries clone requests out and loses the answers.
type lostAnswers struct{ next http.RoundTripper }

func (l lostAnswers) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := l.next.RoundTrip(request)
	if err == nil && request.Method == http.MethodPost && strings.HasSuffix(request.URL.Path, "/clone") {
		_ = answer.Body.Close()
		return nil, context.DeadlineExceeded
	}
	return answer, err
}

// slowTasks lists the tasks only after twenty seconds, when the clone is done.
type slowTasks struct{ next http.RoundTripper }

func (s slowTasks) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodGet && strings.HasSuffix(request.URL.Path, "/tasks") {
		time.Sleep(20 * time.Second)
	}
	return s.next.RoundTrip(request)
}

// TestACloneThatEndsDuringAReadIsNotDead: its lock was read, but its task had ended
// when the tasks were read. If it were reported as dead, a person would destroy a good VM.
func TestACloneThatEndsDuringAReadIsNotDead(t *testing.T) {
	for name, look := range map[string]func(b driver) (*inventory.VM, error){
		"at all": func(b driver) (*inventory.VM, error) {
			snapshot, err := b.Observe(context.Background(), hypervisor.Scope{})
			if err != nil {
				return nil, err
			}
			return snapshot.VM("300"), nil
		},
		"at one VM": func(b driver) (*inventory.VM, error) {
			return b.ObserveVM(context.Background(), inventory.VMRef{Host: "pve1", ID: "300"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newBench(t)
				_, err := l.root.Clone(t.Context(), "pve1", 9000, pve.CloneOptions{NewID: 300, Name: "copy", Full: true})
				must(t, err)
				time.Sleep(2 * time.Second)
				if lock := l.sim.State().VMs[300].Lock; lock != "clone" {
					t.Fatalf("the lock of the clone is %q", lock)
				}
				vm, err := look(openOver(t, slowTasks{l.sim.Transport()}, tokenOf(t, world(t), "gpuworker@pve!engine")))
				must(t, err)
				if vm == nil || vm.State != inventory.Free || vm.Name != "copy" || vm.UUID == "" {
					t.Errorf("it is %+v", vm)
				}
			})
		})
	}
}

// TestADeadCloneIsNotWaitedForever: the answer to the request is lost, so the engine
// waits for the clone. But its task died and left a lock that nobody releases.
func TestADeadCloneIsNotWaitedForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t)
		sim, err := pvesim.New(w, pvesim.WithLog(t.Logf))
		must(t, err)
		defer sim.Close()
		b := openOver(t, lostAnswers{sim.Transport()}, tokenOf(t, w, "gpuworker@pve!engine"))
		time.AfterFunc(time.Second, func() { must(t, sim.SetQuorum(false)) }) // the clone takes longer
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		r := gpuRecord()
		must(t, b.Claim(ctx, r, inventory.Record{}))

		err = b.Clone(ctx, order(r))
		if ctx.Err() != nil {
			t.Fatalf("it waited forever: %v", err)
		}
		if !fault.Is(err, fault.Stuck) || !strings.Contains(fault.FixOf(err), "qm unlock 9101") {
			t.Errorf("it ends with %v (%s), fix %q", err, fault.KindOf(err), fault.FixOf(err))
		}
	})
}
