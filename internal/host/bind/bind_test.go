package bind

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/thorough"
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
					t.Errorf("new_id was written, which takes other cards of the model too: %v", write)
				}
			}
		})
	}
}

// TestCutAtEachEffect interrupts the run before each effect. Afterwards the card is
// free or bound, or else the journal says that it is neither and the next run
// brings it there.
func TestCutAtEachEffect(t *testing.T) {
	for _, kind := range []string{failure, killing, powerLoss, hanging} {
		for _, verb := range []string{BindVerb, UnbindVerb, prepareVerb} {
			for _, next := range []string{BindVerb, UnbindVerb} {
				if (kind == failure || kind == hanging) && next == verb {
					continue // the opposite verb is the harder case; this one would take as long
				}
				t.Run(fmt.Sprintf("%s at each effect of %s, then %s", kind, verb, next), func(t *testing.T) {
					t.Parallel()
					cutAtEach(t, verb, next, cut{kind: kind})
				})
			}
		}
	}
}

func cutAtEach(t *testing.T, verb, next string, c cut) {
	const slot = sysfsim.TwoFunctions
	for c.at = 1; ; c.at += thorough.Every {
		reached := false
		t.Run(fmt.Sprint(c.at), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { reached = cutOnce(t, slot, verb, next, c) })
		})
		if !reached {
			break
		}
	}
	if c.at < 12 {
		t.Errorf("only %d effects were seen", c.at)
	}
}

// TestTheStepsLookAtTheCardOnly: a host may have hundreds of functions, and to read
// them all before each step would be slow.
func TestTheStepsLookAtTheCardOnly(t *testing.T) {
	for _, verb := range []string{BindVerb, UnbindVerb} {
		w := newTestHost(t, sysfsim.Common())
		if verb == UnbindVerb {
			if err := w.bind(two, Options{}); err != nil {
				t.Fatal(err)
			}
			w.effects, w.reads = 0, nil
		}
		if err := w.do(two, verb); err != nil {
			t.Fatal(err)
		}
		if len(w.reads) == 0 {
			t.Errorf("%s looked at nothing", verb)
		}
		for _, name := range w.reads {
			if strings.HasPrefix(name, pciDevices) && !strings.HasPrefix(name, pciDevices+"/"+two) || strings.HasSuffix(name, "pci.ids") {
				t.Fatalf("%s, after its first step, reads %s", verb, name)
			}
		}
	}
}

// small is a host with a card of two functions and a second card of the same model.
func small() sysfsim.Tree {
	t := sysfsim.NewTree()
	t.Add(sysfsim.Function{BDF: "0000:00:01.0", ID: "8086:a340", Class: "0x060400", Group: 1, Driver: "pcieport"})
	for _, slot := range []string{sysfsim.TwoFunctions, sysfsim.SameMake} {
		t.Add(sysfsim.Function{BDF: slot + ".0", Behind: "0000:00:01.0", ID: "10de:1b80", Subsystem: "1458:3702", Class: "0x030000", Group: 10, Driver: "nouveau"})
	}
	t.Add(sysfsim.Function{BDF: sysfsim.TwoFunctions + ".1", Behind: "0000:00:01.0", ID: "10de:10f0", Subsystem: "1458:3702", Class: "0x040300", Group: 10, Driver: "snd_hda_intel"})
	t.Symlink("sys/bus/pci/devices/"+sysfsim.SameMake+".0/iommu_group", "../../../../kernel/iommu_groups/11")
	return t
}

// cutOnce reports whether the run reached effect c.at.
func cutOnce(t *testing.T, slot, verb, next string, c cut) bool {
	w := newTestHost(t, small())
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
		w.checkLeftAlone(slot)
	}
	if c.kind == failure && err == nil {
		t.Errorf("%s says nothing of the error", verb)
	}
	w.restart()
	var save *saveError
	if state := w.state(slot); c.kind == failure && verb != UnbindVerb && !errors.As(err, &save) && state != "free" {
		t.Errorf("it did not roll back: %s", state)
	}
	w.checkJournal(slot, "after "+verb)
	if hung {
		w.sim.Repair()
		w.reboot()
		w.checkJournal(slot, "after the reboot")
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

// prepareVerb is a bind at the next boot.
const prepareVerb = "bind --at-next-boot"

func (w *testHost) do(slot, verb string) error {
	if verb == UnbindVerb {
		return w.unbind(slot)
	}
	return w.bind(slot, Options{AtNextBoot: verb == prepareVerb})
}

// checkLeftAlone fails unless a stuck card is not touched until the reboot.
func (w *testHost) checkLeftAlone(slot string) {
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

func TestWhatTheKernelDoesNotDo(t *testing.T) {
	const slot = sysfsim.FourFunctions
	for name, test := range map[string]struct {
		verb   string
		faults []sysfsim.Fault
		says   string
		state  string // afterwards; "" when the journal must say that it is neither
	}{
		"the kernel ignores a bind to vfio-pci": {BindVerb, []sysfsim.Fault{{Path: "vfio-pci/bind", Data: slot + ".1"}}, "the kernel accepted it and did nothing", "free"},
		"vfio-pci refuses one function":         {BindVerb, []sysfsim.Fault{{Path: "vfio-pci/bind", Data: slot + ".3", Err: syscall.EINVAL}}, "invalid argument; all changes were rolled back", "free"},
		"an override is not taken":              {BindVerb, []sysfsim.Fault{{Path: ".2/driver_override", Err: syscall.EINVAL, Times: 1}}, "all changes were rolled back", "free"},
		"a driver does not let go":              {BindVerb, []sysfsim.Fault{{Path: "xhci_hcd/unbind", Err: syscall.EBUSY}}, "busy; all changes were rolled back", "free"},
		"there is no way back either": {BindVerb, []sysfsim.Fault{{Path: "vfio-pci/bind", Data: slot + ".3", Err: syscall.EINVAL}, {Path: "nouveau/bind", Err: syscall.EBUSY}},
			"the rollback failed too", ""},
		"the old driver does not take it back": {UnbindVerb, []sysfsim.Fault{{Path: "nouveau/bind", Err: syscall.ENODEV}}, "not completely returned", ""},
		"the old driver says nothing":          {UnbindVerb, []sysfsim.Fault{{Path: "snd_hda_intel/bind"}}, "did nothing", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTestHost(t, sysfsim.Common())
			if test.verb == UnbindVerb {
				if err := w.bind(slot, Options{}); err != nil {
					t.Fatal(err)
				}
			}
			for _, f := range test.faults {
				w.sim.AddFault(f)
			}
			if err := w.do(slot, test.verb); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v", err)
			}
			w.checkJournal(slot, "afterwards")
			if state := w.state(slot); test.state != "" && state != test.state || test.state == "" && !strings.HasPrefix(state, "neither") {
				t.Errorf("the card is %s", state)
			}
			w.sim.Repair()
			if missing, err := w.machine().Assert(pci.MustBDF(slot + ".0")); err != nil || len(missing) == 0 {
				t.Errorf("assert: %v, %v", missing, err)
			}
			if err := w.unbind(slot); err != nil || w.state(slot) != "free" {
				t.Errorf("when the cause is fixed: %v, %s", err, w.state(slot))
			}
		})
	}
}

func TestAnInitramfsWithoutTheCardIsNoSuccess(t *testing.T) {
	w := newTestHost(t, sysfsim.Common())
	w.hookFails = true
	err := w.bind(two, Options{})
	if err == nil || !strings.Contains(err.Error(), "0000:01:00.card is not in /boot/initrd.img-6.12.1-amd64") {
		t.Errorf("got %v", err)
	}
	if state := w.state(two); state != "free" {
		t.Error(state)
	}
	w.hookFails = false
	if err := w.bind(two, Options{NoPersist: true}); err != nil {
		t.Fatal(err)
	}
	w.hookFails = true
	if err := w.bind(two, Options{}); err == nil {
		t.Error("it was persisted")
	}
	if state := w.state(two); state != "bound" { // a missing file is no reason to unbind a bound card
		t.Error(state)
	}
}

func TestABrokenDriverDoesNotKeepTheRestOfTheCard(t *testing.T) {
	w := newTestHost(t, sysfsim.Common())
	if err := w.bind(four, Options{}); err != nil {
		t.Fatal(err)
	}
	w.sim.AddFault(sysfsim.Fault{Path: "nvidia-gpu/bind", Err: syscall.EINVAL}) // the first that is given back
	if err := w.unbind(four); err == nil {
		t.Error("it says nothing")
	}
	if w.sim.Driver(four+".3") != "" || w.sim.Driver(four+".0") != "nouveau" || w.sim.Override(four+".3") != "" {
		t.Errorf("they are on %v", w.drivers())
	}
	w.checkJournal(four, "afterwards")
	w.reboot() // our files are gone, so the kernel gets it all back
	if err := w.unbind(four); err != nil || w.state(four) != "free" {
		t.Errorf("after a reboot: %v, %s", err, w.state(four))
	}
}

func TestAnotherProgramKeepsChangingTheCard(t *testing.T) {
	w := newTestHost(t, small())
	m := w.machine()
	m.Say = func(text string) {
		if strings.Contains(text, ".1/driver_override") { // takes back what the first function was given
			w.sim.AddFault(sysfsim.Fault{Path: ".1/driver_override", Times: 1})
			_ = w.sim.Write(t.Context(), "sys/bus/pci/devices/"+two+".0/driver_override", []byte("\n"))
		}
	}
	plan, err := m.PlanBind(t.Context(), pci.MustBDF(two+".0"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Apply(t.Context(), plan); err == nil || !strings.Contains(err.Error(), "another program changes its drivers") {
		t.Errorf("got %v", err)
	}
	w.checkJournal(two, "afterwards")
}
