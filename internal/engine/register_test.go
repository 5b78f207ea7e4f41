package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// TestASessionChecksWhetherTheRegisterOfACardCanBeMade: from one observation, however many
// cards it is asked about.
func TestASessionChecksWhetherTheRegisterOfACardCanBeMade(t *testing.T) {
	cases := []struct{ card, want, fix string }{
		{"pve1/0000:03:00.0", "[]", ""},
		{"pve1/0000:41:00.0", "[]", ""},
		{
			"pve1/0000:04:00.0", "[fail pve1, card 0000:04:00.0: this is not an NVIDIA GPU: 0000:04:00.0 I210 Gigabit Network Connection (network controller) (CARD-NOT-GPU)]",
			"gpuworker gpus lists the cards",
		},
		{
			"pve1/0000:99:00.0", "[fail pve1, card 0000:99:00.0: the host has no device at this address; it has 0000:03:00.0 Tesla T4, 0000:41:00.0 GeForce RTX 3090 (CARD-MISSING)]",
			"gpuworker gpus lists the cards; addresses change when cards are added or moved",
		},
		{
			"pve9/0000:03:00.0", "[fail pve9: there is no host of this name; the hypervisor has pve1, pve2, pve3 (HOST-UNKNOWN)]",
			"correct the name in the document: gpuworker hosts",
		},
		{"pve3/0000:0a:00.0", "[unknown pve3, card 0000:0a:00.0: the host is offline (HOST-OFFLINE)]", "bring the host back, then run the same command again"},
		{
			"pve2/0000:81:00.0", "[] pve2, card 0000:81:00.0: make the mapping: mapping vdi-t4 has this card already, and a card should have one mapping",
			"if no VM uses vdi-t4 for this card, take the card out of it (web interface: Datacenter, Resource Mappings); or make no mapping ahead: the claim of a worker makes its own",
		},
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.must(l.sim.SetHostOnline("pve3", false))
		s := l.session(nil)
		for _, c := range cases {
			findings, err := s.CheckRegister(t.Context(), pci.MustCardRef(c.card))
			var texts []string
			fix := fault.FixOf(err)
			for _, f := range findings {
				texts, fix = append(texts, fmt.Sprintf("%s %s: %s (%s)", f.Verdict, f.Where, f.Reason, f.ID)), f.Fix
			}
			got := fmt.Sprint(texts)
			if err != nil {
				got += " " + err.Error()
			}
			if got != c.want || fix != c.fix {
				t.Errorf("%s:\n%s\n→ %s\nwant:\n%s\n→ %s", c.card, got, fix, c.want, c.fix)
			}
		}
	})
}

// TestTheChecksOfRegistersShareOneObservation, even when workers were made since: that
// changes no hardware.
func TestTheChecksOfRegistersShareOneObservation(t *testing.T) {
	const cards = 40
	synctest.Test(t, func(t *testing.T) {
		l := fleetLab(t, pvesim.Fleet{Hosts: 8, GPUs: 5, VMs: 8})
		requests := l.counter()
		s := l.session(requests)
		_, err := s.Observe(t.Context())
		l.must(err)
		_, _, err = s.Apply(t.Context(), poolOf(t, onePool("x", "replicas: 1")), false, acceptAll, engine.ApplyOptions{})
		l.must(err)
		first := requests.total()
		tenAtATime(cards, func(n int) {
			if _, err := s.CheckRegister(t.Context(), pci.MustCardRef(fmt.Sprintf("pve1/0000:%02x:00.0", n))); err != nil {
				t.Error(err)
			}
		})
		if more := requests.total() - first; more == 0 || more > cards {
			t.Errorf("%d requests for %d cards after the %d before", more, cards, first)
		}
	})
}

// TestAHypervisorWithoutRegistersSaysSo: its claims are in VMs.
func TestAHypervisorWithoutRegistersSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newOtherLab(t).engine("ops@desk", header+onePool("x", "replicas: 1"), nil)
		_, err := e.NewSession(&e.documents.Hypervisors[0]).CheckRegister(t.Context(), pci.MustCardRef("alpha/0000:03:00.0"))
		if !fault.Is(err, fault.Unsupported) || err.Error() != "hypervisor lab: make a mapping: this hypervisor has no mappings of cards" ||
			fault.FixOf(err) != "leave the mapping out: workers on this hypervisor need none" {
			t.Errorf("%v (%s)", err, fault.FixOf(err))
		}
	})
}
