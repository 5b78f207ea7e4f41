package bind

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/thorough"
	"github.com/gpuworker/gpuworker/sim/sysfsim"
)

const other = sysfsim.SameMake

// twoScreens is a host with two cards that drive screens: that of the firmware is on
// the first one.
func twoScreens() sysfsim.Tree {
	t := sysfsim.Common()
	onlyScreen(t)
	t.WriteFile("sys/bus/pci/devices/0000:08:00.0/boot_vga", []byte("0\n"))
	t.WriteFile("sys/bus/pci/devices/"+other+".0/class", []byte("0x030000\n"))
	return t
}

// given is a card to bind, and whether ONLY-CONSOLE refuses it.
type given struct {
	slot    string
	options Options
	refused bool
}

// TestOneScreenIsLeftWhicheverCardGoesFirst binds cards one after another. Whatever
// the order, some card that drives a screen is left, after the bind and after the
// next boot.
func TestOneScreenIsLeftWhicheverCardGoesFirst(t *testing.T) {
	next, until, lost := Options{AtNextBoot: true}, Options{NoPersist: true}, Options{ConsoleLossOK: true}
	device := func(slot, name string) string { return "sys/bus/pci/devices/" + slot + ".0/" + name }
	options := func(file, text string) func(sysfsim.Tree) {
		return func(t sysfsim.Tree) { t.WriteFile(file, []byte(text+"\n")) }
	}
	// Two cards of one model: gives the second another model, so that a setting for
	// its model does not apply to the first.
	another := func(t sysfsim.Tree) { t.WriteFile(device(other, "device"), []byte("0x1b81\n")) }
	for name, test := range map[string]struct {
		host  []func(sysfsim.Tree)
		steps []given
	}{
		"the other card first":                 {steps: []given{{slot: other}, {slot: two, refused: true}}},
		"that of the firmware first":           {steps: []given{{slot: two}, {slot: other, refused: true}}},
		"both at the next boot":                {steps: []given{{slot: two, options: next}, {slot: other, options: next, refused: true}}},
		"one at the next boot, the other now":  {steps: []given{{slot: two, options: next}, {slot: other, refused: true}}},
		"both until the reboot":                {steps: []given{{slot: two, options: until}, {slot: other, options: until, refused: true}}},
		"one now only, the other later only":   {steps: []given{{slot: two, options: until}, {slot: other, options: next}, {slot: two, refused: true}}},
		"the loss is allowed":                  {steps: []given{{slot: two}, {slot: other, options: lost}}},
		"a card that drives no screen":         {steps: []given{{slot: two}, {slot: four}}},
		"the one that is bound, once more":     {steps: []given{{slot: two, options: until}, {slot: two}}},
		"the last one goes from now to always": {steps: []given{{slot: two}, {slot: other, options: Options{NoPersist: true, ConsoleLossOK: true}}, {slot: other, refused: true}}},
		"no screen of the firmware anywhere": {
			host:  []func(sysfsim.Tree){options(device(two, "boot_vga"), "0")},
			steps: []given{{slot: two}, {slot: other}},
		},
		"another program has it on vfio-pci": {
			host: []func(sysfsim.Tree){func(t sysfsim.Tree) {
				t.Mkdir("sys/bus/pci/drivers/vfio-pci")
				t.Symlink(device(two, "driver"), "../../../../bus/pci/drivers/vfio-pci")
			}},
			steps: []given{{slot: other, refused: true}},
		},
		"another program has set its override": {host: []func(sysfsim.Tree){options(device(two, "driver_override"), "vfio-pci")}, steps: []given{{slot: other, refused: true}}},
		"pci-stub has the firmware's": {
			host: []func(sysfsim.Tree){func(t sysfsim.Tree) {
				t.Mkdir("sys/bus/pci/drivers/pci-stub")
				t.Symlink(device(two, "driver"), "../../../../bus/pci/drivers/pci-stub")
			}},
			steps: []given{{slot: other, refused: true}},
		},
		"the other is without a driver": {
			host:  []func(sysfsim.Tree){func(t sysfsim.Tree) { t.Remove("sys/devices/pci0000:00/0000:00:01.2/" + other + ".0/driver") }},
			steps: []given{{slot: two, refused: true}},
		},
		"the other fell off the bus":                    {host: []func(sysfsim.Tree){options(device(other, "config"), "\xff\xff\xff\xff")}, steps: []given{{slot: two, refused: true}}},
		"driverctl gives the other away at boot":        {host: []func(sysfsim.Tree){options("etc/driverctl.d/pci-"+other+".0", "vfio-pci")}, steps: []given{{slot: two, refused: true}}},
		"driverctl gives it away, and it is only now":   {host: []func(sysfsim.Tree){options("etc/driverctl.d/pci-"+other+".0", "vfio-pci")}, steps: []given{{slot: two, options: until}}},
		"modprobe.d gives the other's model away":       {host: []func(sysfsim.Tree){another, options("etc/modprobe.d/vfio.conf", "options vfio-pci ids=10de:1b81,10de:10f0")}, steps: []given{{slot: two, refused: true}}},
		"modprobe.d gives another model away":           {host: []func(sysfsim.Tree){another, options("etc/modprobe.d/vfio.conf", "options vfio-pci ids=10de:ffff")}, steps: []given{{slot: two}}},
		"modprobe.d says it in a comment":               {host: []func(sysfsim.Tree){another, options("etc/modprobe.d/vfio.conf", "#options vfio-pci ids=10de:1b81")}, steps: []given{{slot: two}}},
		"the kernel is told to give the other away":     {host: []func(sysfsim.Tree){another, options("proc/cmdline", "quiet vfio_pci.ids=10de:1b81:1458:3702")}, steps: []given{{slot: two, refused: true}}},
		"GRUB will tell the kernel to give it away":     {host: []func(sysfsim.Tree){another, options("etc/default/grub", `GRUB_CMDLINE_LINUX="quiet vfio-pci.ids=10de:1b81"`)}, steps: []given{{slot: two, refused: true}}},
		"the other's journal is damaged":                {host: []func(sysfsim.Tree){options(journalDir+"/"+other+".json", "noise")}, steps: []given{{slot: two, refused: true}}},
		"the firmware's screen is that of a card apart": {host: []func(sysfsim.Tree){options(device("0000:08:00", "class"), "0x030000")}, steps: []given{{slot: two}, {slot: other}}},
	} {
		t.Run(name, func(t *testing.T) {
			tree := twoScreens()
			for _, change := range test.host {
				change(tree)
			}
			w := newTestHost(t, tree)
			w.takeFiles(tree)
			for i, step := range test.steps {
				w.checkBind(i+1, step)
			}
		})
	}
}

// takeFiles copies the journals of the tree to the disk.
func (w *testHost) takeFiles(tree sysfsim.Tree) {
	names, _ := tree.ReadDir(journalDir)
	for _, name := range names {
		data, err := tree.ReadFile(journalDir + "/" + name)
		if err := errors.Join(err, w.disk.WriteFile(journalDir+"/"+name, data, 0o644)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// checkBind binds a card, and fails unless ONLY-CONSOLE refuses it as expected.
func (w *testHost) checkBind(number int, step given) {
	w.t.Helper()
	err := w.bind(step.slot, step.options)
	var refused *RefusedError
	console := errors.As(err, &refused) && len(refused.Reasons) == 1 && refused.Reasons[0].ID == "ONLY-CONSOLE"
	if console != step.refused || !console && err != nil {
		w.t.Errorf("step %d, bind %s %+v: %v", number, step.slot, step.options, err)
	}
}

// TestRandomCommandsLeaveAScreen runs binds, unbinds and reboots in random order,
// never with --console-loss-ok. One screen must always remain, now and after the
// next boot.
func TestRandomCommandsLeaveAScreen(t *testing.T) {
	type move struct {
		name string
		do   func(w *testHost, slot string) error
	}
	bind := func(o Options) func(*testHost, string) error {
		return func(w *testHost, slot string) error { return w.bind(slot, o) }
	}
	moves := []move{
		{"bind", bind(Options{})}, {"bind --at-next-boot", bind(Options{AtNextBoot: true})}, {"bind --no-persist", bind(Options{NoPersist: true})},
		{"unbind", (*testHost).unbind}, {"reboot, not", func(w *testHost, _ string) error { w.reboot(); return nil }},
	}
	for seed := range uint64(thorough.Of(100)) {
		dice := rand.New(rand.NewPCG(seed, 34))
		w := newTestHost(t, twoScreens())
		var told []string
		for range 8 {
			slot, m := []string{two, other}[dice.IntN(2)], moves[dice.IntN(len(moves))]
			var refused *RefusedError
			if err := m.do(w, slot); err != nil && !errors.As(err, &refused) {
				t.Fatalf("%v, then %s %s: %v", told, m.name, slot, err)
			}
			told = append(told, m.name+" "+slot)
			_, first := w.initramfs[cardsDir+"/"+two+".card"]
			_, second := w.initramfs[cardsDir+"/"+other+".card"]
			if first && second || w.sim.Driver(two+".0") == VFIO && w.sim.Driver(other+".0") == VFIO {
				t.Fatalf("after %v no screen is left: %v, at the next boot %v and %v", told, w.drivers(), first, second)
			}
		}
	}
}

func TestACardThatIsBoundUntilTheRebootIsAScreenAgainAfterIt(t *testing.T) {
	w := newTestHost(t, twoScreens())
	w.checkBind(1, given{slot: two, options: Options{NoPersist: true}})
	w.checkBind(2, given{slot: other, options: Options{NoPersist: true}, refused: true})
	w.reboot()
	w.checkBind(3, given{slot: other})
	w.checkBind(4, given{slot: two, refused: true})
}

func TestACardThatIsGivenBackIsAScreenAgain(t *testing.T) {
	w := newTestHost(t, twoScreens())
	w.checkBind(1, given{slot: two})
	w.checkBind(2, given{slot: other, refused: true})
	if err := w.unbind(two); err != nil {
		t.Fatal(err)
	}
	w.checkBind(3, given{slot: other})
}

func TestARunThatWasCutOffCountsItsCardAsGiven(t *testing.T) {
	w := newTestHost(t, twoScreens())
	w.cut = cut{at: 2, kind: killing} // the journal is there, and nothing was touched
	if err := w.bind(two, Options{}); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	w.restart()
	w.checkBind(1, given{slot: other, refused: true})
	w.checkBind(2, given{slot: two})
}

func TestAnUnbindThatWasCutOffLeavesNoScreenForTheNextBoot(t *testing.T) {
	w := newTestHost(t, twoScreens())
	w.checkBind(1, given{slot: two})
	w.effects, w.cut = 0, cut{at: 13, kind: killing} // the drivers are back, and our files are there
	if err := w.unbind(two); !errors.Is(err, errKilled) || w.sim.Driver(two+".0") != "nouveau" {
		t.Fatalf("%v, on %s", err, w.sim.Driver(two+".0"))
	}
	w.restart()
	w.checkBind(2, given{slot: other, options: Options{AtNextBoot: true}, refused: true})
	if err := w.unbind(two); err != nil {
		t.Fatal(err)
	}
	w.checkBind(3, given{slot: other, options: Options{AtNextBoot: true}})
}

func TestTheRefusalSaysWhereTheScreensWent(t *testing.T) {
	w := newTestHost(t, twoScreens())
	w.checkBind(1, given{slot: other})
	p, err := w.machine().PlanBind(t.Context(), pci.MustBDF(two+".0"), Options{})
	if err != nil || len(p.Refused) != 1 || !strings.Contains(p.Refused[0].Why, "0000:03:00.0 is bound to vfio-pci") {
		t.Errorf("refused %v, %v", p.Refused, err)
	}
	if slices.ContainsFunc(p.Refused, func(r Reason) bool { return !strings.Contains(r.Fix, "--console-loss-ok") }) {
		t.Errorf("it does not say what to do: %v", p.Refused)
	}
}
