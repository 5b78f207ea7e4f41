package memory

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/hypervisor/vmclaim"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/thorough"
)

const protocolSeeds = 1000

// TestClaimsInVMsExclude lets two or three engines compete for one card, for two or
// three VMs. Their requests are carried out one at a time, in a random order; requests
// are lost, engines are killed and started again, and a request of a dead engine may
// arrive much later. After each request at most one VM may have the card, and at most
// one claim may count as held.
func TestClaimsInVMsExclude(t *testing.T) {
	t.Parallel()
	ends, yielded := map[string]int{}, 0
	for seed := range thorough.Of(protocolSeeds) {
		synctest.Test(t, func(t *testing.T) {
			r := newRace(t, uint64(seed), lineups[seed%len(lineups)])
			r.play()
			yielded += r.yielded
			ends[r.end()]++
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d seeds: %v; %d claims were withdrawn", thorough.Of(protocolSeeds), ends, yielded)
	if yielded == 0 {
		t.Error("no two claims ever met")
	}
	for _, end := range []string{"one has the card", "nobody has it"} {
		if ends[end] == 0 && thorough.Every == 1 {
			t.Errorf("no run ended so that %s", end)
		}
	}
}

// lineups are the VM of each engine.
var lineups = [][]int{{0, 1}, {0, 1, 2}, {0, 0, 1}, {0, 0, 1, 1}}

// judge checks the invariants after a request of an engine; nil is a dead engine.
func (r *race) judge(after string, by *racer) {
	r.cluster.mu.Lock()
	defer r.cluster.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	var have, hold []string
	for _, vm := range r.vms {
		r.look(vm, by)
		if vm.has {
			have = append(have, vm.record.Worker)
		}
		if vm.holds || vm.has {
			hold = append(hold, vm.record.Worker)
		}
		if vm.has && !vm.up {
			r.fail("%s: %s has the card, and its claim is withdrawn", after, vm.record.Worker)
		}
	}
	if len(have) > 1 {
		r.fail("%s: %v have the card", after, have)
	}
	if len(hold) > 1 {
		r.fail("%s: %v hold the card", after, hold)
	}
}

// look notes the claim and the card of a VM.
func (r *race) look(vm *wanting, by *racer) {
	v := r.cluster.vms[vm.ref.ID]
	note, _ := inventory.ParseRecord(v.note)
	says := vmclaim.VM{Note: note}
	_, vm.has = cardOf(v.next)
	up := says.Claims(r.card.Ref)
	if up == vm.up {
		return
	}
	if vm.up = up; !up {
		vm.holds = false
		r.yielded++
	}
	for _, racer := range r.racers {
		racer.unfit = racer.unfit || racer.wanting == vm && racer != by
	}
}

func (r *race) fail(format string, args ...any) {
	if !r.t.Failed() {
		r.t.Errorf(format+"\n%s", append(args, strings.Join(r.told, "\n"))...)
	}
}

// end checks the results of the engines, lets the losers give up, and checks that a
// remaining one can get the card.
func (r *race) end() string {
	var holder *wanting
	for _, vm := range r.vms {
		if vm.has {
			holder = vm
		}
	}
	for _, racer := range r.racers {
		r.endOf(racer, holder)
	}
	for _, vm := range r.vms {
		if vm != holder {
			r.giveUp(vm)
		}
	}
	if holder == nil {
		r.alone(r.vms[0])
		return "nobody has it"
	}
	r.alone(holder)
	return "one has the card"
}

// endOf checks the result of one engine.
func (r *race) endOf(racer *racer, holder *wanting) {
	name := racer.record.Worker
	switch {
	case racer.dead:
	case racer.wanting == holder && racer.err != nil && !racer.ghost && !racer.shared:
		r.fail("%s has the card, and its engine ended with %v", name, racer.err)
	case racer.wanting == holder:
	case racer.err == nil:
		r.fail("%s thinks that it has the card", name)
	case racer.shared && fault.Is(racer.err, fault.Conflict): // the other one withdrew the claim
	case !fault.Is(racer.err, fault.Exists):
		r.fail("%s ended with %v", name, racer.err)
	case racer.up && !racer.won && !racer.ghost && !racer.shared: // an attach that gives up leaves the claim: it was good
		r.fail("%s gave up (%v), and its claim stands", name, racer.err)
	case !strings.Contains(racer.err.Error(), "gpu-"):
		r.fail("%s is not told who has the card: %v", name, racer.err)
	}
}

func (r *race) giveUp(vm *wanting) {
	wait, err := r.cluster.Open("lab", nil, nil).Release(context.Background(), vm.record, r.card.Ref, "")
	if wait != nil || err != nil {
		r.fail("%s cannot give up: %+v, %v", vm.record.Worker, wait, err)
	}
}

// alone gives the card to the only remaining VM and starts it.
func (r *race) alone(vm *wanting) {
	last := &racer{race: r, wanting: vm}
	b := r.cluster.Open("lab", nil, nil)
	err := last.want(b)
	if err == nil {
		err = last.call(func(h hypervisor.Handle) (*hypervisor.Wait, error) { return b.Start(context.Background(), vm.ref, h) })
	}
	if err != nil {
		r.fail("nobody else wants the card, and %s cannot have it: %v", vm.record.Worker, err)
	}
}
