package proxmox

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// guarded makes a worker's VM without its card, and opens a client for root.
func guarded(t *testing.T) (driver, *pve.Client, inventory.Record, inventory.Card) {
	t.Helper()
	b, root, r, card, _ := guardedOver(t)
	return b, root, r, card
}

// guardedOver is guarded with a connection that can run code before a request.
func guardedOver(t *testing.T) (driver, *pve.Client, inventory.Record, inventory.Card, *before) {
	t.Helper()
	w := world(t)
	sim, err := pvesim.New(w, pvesim.WithLog(t.Logf))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	wire := &before{next: sim.Transport()}
	b := openOver(t, wire, tokenOf(t, w, "gpuworker@pve!engine"))
	root, err := pve.New(pve.Options{Endpoint: "https://pve1:8006", Username: "root@pam", Password: "homelab-root", Transport: sim.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, r := context.Background(), gpuRecord()
	desired := gpuMachine()
	desired.MemoryMiB, desired.DiskMiB, desired.Guest.SSHKeys = 4096, 0, nil
	for _, do := range []func() error{
		func() error { return b.Claim(ctx, r, inventory.Record{}) },
		func() error {
			return b.Clone(ctx, order(r))
		},
		func() error { return b.Configure(ctx, r, desired) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	return b, root, r, inventory.Card{Ref: pci.MustCardRef("pve1/0000:03:00.0"), PCIe: true, ROMBar: true}, wire
}

// TestACardIsOnlyTakenWhileItIsClaimedForThisVM changes the register by hand before
// the attach and before the start. Both must be refused.
func TestACardIsOnlyTakenWhileItIsClaimedForThisVM(t *testing.T) {
	other, renumbered := gpuRecord(), gpuRecord()
	other.Worker, other.Pool = "vision-1", "vision"
	renumbered.VM = "9150"
	for name, description := range map[string]string{
		"a claim of another worker":        other.Line(wordMade),
		"a claim with another number":      renumbered.Line(wordMade),
		"a claim that is being given back": gpuRecord().Line(wordMade, wordReleasing),
		"no claim":                         "a T4",
		"no register":                      "",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, root, r, card := guarded(t)
				ctx, register := context.Background(), registerName(card.Ref)
				was, err := root.Mapping(ctx, register)
				must(t, err)
				write := func() {
					if description == "" {
						must(t, root.DeleteMapping(ctx, register))
						return
					}
					must(t, root.UpdateMapping(ctx, pve.MappingUpdate{ID: register, Map: was.Map, Description: description}))
				}
				write()
				refused(t, "attach", b.Attach(ctx, r, card))
				if config, _ := root.Pending(ctx, "pve1", 9101); config.Options[cardOption].HasValue {
					t.Error("the card was attached")
				}
				if description == "" {
					must(t, root.CreateMapping(ctx, pve.MappingSpec{ID: register, Map: was.Map, Description: was.Description}))
				} else {
					must(t, root.UpdateMapping(ctx, pve.MappingUpdate{ID: register, Map: was.Map, Description: was.Description}))
				}
				must(t, b.Attach(ctx, r, card))
				write()
				refused(t, "start", b.Start(ctx, refOf(r)))
				if status, _ := root.VMStatus(ctx, "pve1", 9101); status.Running() {
					t.Error("the VM was started")
				}
			})
		})
	}
}

// TestACardOfAnotherVMIsNotTaken gives the card to a stopped foreign VM before the
// attach, and a minute before the start.
func TestACardOfAnotherVMIsNotTaken(t *testing.T) {
	for name, value := range map[string]string{"by address": "0000:03:00.0", "without a function": "0000:03:00", "by our register": "mapping=gpu-pve1-0000-03-00"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, root, r, card := guarded(t)
				ctx := context.Background()
				task, err := root.Clone(ctx, "pve1", 9000, pve.CloneOptions{NewID: 300, Name: "theirs"})
				must(t, err)
				err = task.Wait(ctx)
				must(t, err)
				give := pve.ConfigUpdate{Set: map[string]string{"machine": "q35", "hostpci3": value}}
				must(t, root.UpdateConfig(ctx, "pve1", 300, give))
				refused(t, "attach", b.Attach(ctx, r, card))
				must(t, root.UpdateConfig(ctx, "pve1", 300, pve.ConfigUpdate{Delete: []string{"hostpci3"}}))
				must(t, b.Attach(ctx, r, card))
				must(t, root.UpdateConfig(ctx, "pve1", 300, give))
				time.Sleep(configsLast + time.Second) // what attach read is old
				refused(t, "start", b.Start(ctx, refOf(r)))
			})
		})
	}
}

// TestAClaimReplacesOnlyWhatThePlanSaw: a claim of the same worker that was made after
// the plan belongs to another running engine.
func TestAClaimReplacesOnlyWhatThePlanSaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, r, card := guarded(t)
		ctx, mine := context.Background(), gpuRecord()
		mine.UUID, mine.VM = "77777777-7777-4777-8777-777777777777", "9102"
		if err := b.Claim(ctx, mine, inventory.Record{}); !fault.Is(err, fault.Conflict) || fault.FixOf(err) == "" {
			t.Errorf("a claim that the plan did not see was replaced: %v", err)
		}
		must(t, b.Release(ctx, mine, card.Ref)) // not ours: nothing to do
		must(t, held(b, r, card.Ref))
		must(t, b.Claim(ctx, mine, r))
		must(t, b.Release(ctx, r, card.Ref)) // no longer ours
		must(t, held(b, mine, card.Ref))
	})
}

// before is a connection that calls hand directly before the next request of a method.
type before struct {
	next   http.RoundTripper
	method string
	hand   func()
}

func (b *before) RoundTrip(r *http.Request) (*http.Response, error) {
	if hand := b.hand; r.Method == b.method && hand != nil {
		b.hand = nil
		hand()
	}
	return b.next.RoundTrip(r)
}

// TestAReleaseDeletesNoOtherClaim: removing a mapping takes no digest, so it is only
// removed when it has a tombstone. A claim that was written before the tombstone stays.
func TestAReleaseDeletesNoOtherClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, root, r, card, wire := guardedOver(t)
		ctx, register := context.Background(), registerName(card.Ref)
		was, err := root.Mapping(ctx, register)
		must(t, err)
		next := gpuRecord()
		next.VM, next.UUID = "9102", "77777777-7777-4777-8777-777777777777"
		wire.method, wire.hand = "PUT", func() {
			must(t, root.UpdateMapping(ctx, pve.MappingUpdate{ID: register, Map: was.Map, Description: next.Line(wordMade)}))
		}
		must(t, b.Release(ctx, r, card.Ref))
		must(t, held(b, next, card.Ref))

		said := ""
		wire.method, wire.hand = "DELETE", func() {
			mapping, err := root.Mapping(ctx, register)
			must(t, err)
			said = mapping.Description
		}
		must(t, b.Release(ctx, next, card.Ref))
		if !strings.Contains(said, wordReleasing) {
			t.Errorf("the register was removed while it said %q", said)
		}
	})
}

// TestOfTwoClaimsInAPersonsMappingOneWins lets another engine write its claim into a
// mapping that a person made, between our read and our write.
func TestOfTwoClaimsInAPersonsMappingOneWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, root, r, card, wire := guardedOver(t)
		ctx, register := context.Background(), registerName(card.Ref)
		was, err := root.Mapping(ctx, register)
		must(t, err)
		must(t, root.UpdateMapping(ctx, pve.MappingUpdate{ID: register, Map: was.Map, Description: "the T4 in slot 3"}))
		other := gpuRecord()
		other.Worker, other.Pool = "vision-1", "vision"
		wire.method, wire.hand = "PUT", func() {
			must(t, root.UpdateMapping(ctx, pve.MappingUpdate{ID: register, Map: was.Map, Description: "the T4 in slot 3 " + other.Line()}))
		}
		refused(t, "claim", b.Claim(ctx, r, inventory.Record{}))
		must(t, held(b, other, card.Ref))
		must(t, b.Release(ctx, other, card.Ref))
		if now, err := root.Mapping(ctx, register); err != nil || now.Description != "the T4 in slot 3" {
			t.Errorf("the person's mapping says %q now (%v)", now.Description, err)
		}
	})
}

// TestTheReplacementOfAVMIsNotChanged: the worker was replaced after the plan was made.
// The new VM has the same number and name, but another UUID.
func TestTheReplacementOfAVMIsNotChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, root, r, card := guarded(t)
		ctx, old, desired := context.Background(), r, gpuMachine()
		must(t, b.Attach(ctx, r, card))
		must(t, b.Start(ctx, refOf(r)))
		old.UUID = "88888888-8888-4888-8888-888888888888"
		before, err := root.Pending(ctx, "pve1", 9101)
		must(t, err)
		for name, do := range map[string]func() error{
			"configure": func() error { return b.Configure(ctx, old, desired) },
			"attach":    func() error { return b.Attach(ctx, old, inventory.Card{Ref: card.Ref}) },
			"start":     func() error { return b.Start(ctx, refOf(old)) },
			"stop":      func() error { return b.Stop(ctx, refOf(old)) },
			"park":      func() error { return b.SetParked(ctx, refOf(old), true) },
			"unprotect": func() error { return b.Unprotect(ctx, refOf(old)) },
			"destroy":   func() error { return b.Destroy(ctx, refOf(old)) },
			"adopt":     func() error { return b.Adopt(ctx, refOf(old), old) },
		} {
			refused(t, name, do())
		}
		moved := refOf(r)
		moved.Host = "pve2" // as the plan saw it
		refused(t, "destroy what was moved", b.Destroy(ctx, moved))
		after, err := root.Pending(ctx, "pve1", 9101)
		must(t, err)
		if status, _ := root.VMStatus(ctx, "pve1", 9101); !status.Running() || before.Digest != after.Digest {
			t.Error("the new VM was changed")
		}
	})
}

// TestOnlyTheVMThatAPersonNamedIsAdopted, and no other VM with its number.
func TestOnlyTheVMThatAPersonNamedIsAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, root, r, _ := guarded(t)
		ctx := context.Background()
		task, err := root.Clone(ctx, "pve1", 9000, pve.CloneOptions{NewID: 300, Name: "trainer"})
		must(t, err)
		err = task.Wait(ctx)
		must(t, err)
		r.Worker, r.VM = "gpu-2", "300"
		config, err := root.Pending(ctx, "pve1", 300)
		must(t, err)
		uuid := nextOptions(config).uuid()
		refused(t, "adopt", b.Adopt(ctx, inventory.VMRef{Host: "pve1", ID: "300", Name: "trainer", UUID: "88888888-8888-4888-8888-888888888888"}, r))
		refused(t, "adopt", b.Adopt(ctx, inventory.VMRef{Host: "pve1", ID: "300", Name: "other", UUID: uuid}, r))
		r.UUID = uuid
		must(t, b.Adopt(ctx, inventory.VMRef{Host: "pve1", ID: "300", Name: "trainer", UUID: uuid}, r))
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, what string, err error) {
	t.Helper()
	if !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.Exists) {
		t.Errorf("%s: %s %v, want it refused", what, fault.KindOf(err), err)
	}
	if err != nil && fault.FixOf(err) == "" {
		t.Errorf("%s: no next step: %v", what, err)
	}
}

// held proves a claim with a new read, as guard does.
func held(b driver, record inventory.Record, card pci.CardRef) error {
	known, err := b.mappingsNow(context.Background())
	if err != nil {
		return err
	}
	return b.checkClaim(known, record, card)
}
