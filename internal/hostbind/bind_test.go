package hostbind

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/sim/sysfsim"
)

func TestACardIsBoundAndGivenBackWhole(t *testing.T) {
	for _, slot := range []string{sysfsim.TwoFunctions, sysfsim.FourFunctions} {
		t.Run(slot, func(t *testing.T) {
			w := onDisk(t, sysfsim.Common())
			if err := w.bind(slot, Options{}); err != nil {
				t.Fatal(err)
			}
			if state := w.state(slot); state != "bound" {
				t.Fatal(state)
			}
			writes := len(w.sim.Writes())
			if err := w.bind(slot, Options{}); err != nil {
				t.Errorf("a second time: %v", err)
			}
			if len(w.sim.Writes()) != writes {
				t.Errorf("a second time it wrote %v", w.sim.Writes()[writes:])
			}
			w.reboot()
			if state := w.state(slot); state != "bound" {
				t.Fatalf("after a reboot: %s", state)
			}
			if err := w.unbind(slot); err != nil {
				t.Fatal(err)
			}
			if state := w.state(slot); state != "free" {
				t.Fatal(state)
			}
			if err := w.unbind(slot); err != nil {
				t.Errorf("a second time: %v", err)
			}
			w.reboot()
			if state := w.state(slot); state != "free" {
				t.Fatalf("after a reboot: %s", state)
			}
			for _, write := range w.sim.Writes() {
				if strings.HasSuffix(write.Name, "new_id") {
					t.Errorf("new_id was written, which takes twins: %v", write)
				}
			}
		})
	}
}

// TestCutAtEachEffect: whatever goes wrong wherever, afterwards the card is in
// one of its two states, or the journal says that it is not and the next run
// brings it there.
func TestCutAtEachEffect(t *testing.T) {
	for _, kind := range []string{failure, killing, powerLoss, hanging} {
		for _, after := range []bool{false, true} {
			if after && (kind == failure || kind == hanging) {
				continue
			}
			for _, verb := range []string{BindVerb, UnbindVerb} {
				for _, next := range []string{BindVerb, UnbindVerb} {
					name := fmt.Sprintf("%s at each effect of %s, then %s", kind, verb, next)
					if after {
						name = strings.Replace(name, "at", "after", 1)
					}
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						cutEverywhere(t, verb, next, cut{kind: kind, after: after})
					})
				}
			}
		}
	}
}

func cutEverywhere(t *testing.T, verb, next string, c cut) {
	const slot = sysfsim.TwoFunctions
	for c.at = 1; ; c.at++ {
		reached := false
		t.Run(fmt.Sprint(c.at), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { reached = cutOnce(t, slot, verb, next, c) })
		})
		if !reached {
			break
		}
	}
	if c.at < 15 {
		t.Errorf("only %d effects were seen", c.at)
	}
}

// small is a host with little more than a card with two functions and a twin.
func small() sysfsim.Tree {
	t := sysfsim.NewTree()
	t.Add(sysfsim.Function{BDF: "0000:00:01.0", ID: "8086:a340", Class: "0x060400", Group: 1, Driver: "pcieport"})
	for _, slot := range []string{sysfsim.TwoFunctions, sysfsim.Twin} {
		t.Add(sysfsim.Function{BDF: slot + ".0", Behind: "0000:00:01.0", ID: "10de:1b80", Subsystem: "1458:3702", Class: "0x030000", Group: 10, Driver: "nouveau"})
	}
	t.Add(sysfsim.Function{BDF: sysfsim.TwoFunctions + ".1", Behind: "0000:00:01.0", ID: "10de:10f0", Subsystem: "1458:3702", Class: "0x040300", Group: 10, Driver: "snd_hda_intel"})
	t.Symlink("sys/bus/pci/devices/"+sysfsim.Twin+".0/iommu_group", "../../../../kernel/iommu_groups/11")
	return t
}

// cutOnce tells whether there was such an effect.
func cutOnce(t *testing.T, slot, verb, next string, c cut) bool {
	w := newWorld(t, small())
	if verb == UnbindVerb {
		if err := w.bind(slot, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	w.effects, w.cut = 0, c
	err := w.do(slot, verb)
	if w.effects < c.at {
		if err != nil {
			t.Errorf("%s without a cut: %v", verb, err)
		}
		return false
	}
	hung := false
	if stuck := (*StuckError)(nil); errors.As(err, &stuck) {
		hung = true
		w.stays(slot)
	}
	if c.kind == failure && err == nil {
		t.Errorf("%s says nothing of the error", verb)
	}
	w.comeBack()
	w.told(slot, "after "+verb)
	if hung {
		w.sim.Mend()
		w.reboot()
		w.told(slot, "after the reboot")
	}
	if err := w.do(slot, next); err != nil {
		t.Fatalf("%s afterwards: %v", next, err)
	}
	if state, want := w.state(slot), map[string]string{BindVerb: "bound", UnbindVerb: "free"}[next]; state != want {
		t.Fatalf("after %s cut (%v) and %s it is %s", verb, err, next, state)
	}
	w.reboot()
	if state, want := w.state(slot), map[string]string{BindVerb: "bound", UnbindVerb: "free"}[next]; state != want {
		t.Fatalf("after one more reboot it is %s", state)
	}
	return true
}

func (w *world) do(slot, verb string) error {
	if verb == UnbindVerb {
		return w.unbind(slot)
	}
	return w.bind(slot, Options{})
}

// stays fails unless a stuck card is left alone until the reboot.
func (w *world) stays(slot string) {
	w.t.Helper()
	writes := len(w.sim.Writes())
	for _, verb := range []string{BindVerb, UnbindVerb} {
		var stuck *StuckError
		if err := w.do(slot, verb); !errors.As(err, &stuck) {
			w.t.Errorf("%s of a card that is stuck: %v", verb, err)
		}
	}
	if more := w.sim.Writes()[writes:]; len(more) > 0 {
		w.t.Errorf("a stuck card was written to: %v", more)
	}
	if n := w.sim.HungReads(); n > 0 {
		w.t.Errorf("%d reads would never have returned", n)
	}
}
