package bind

import (
	"context"
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/sim/sysfsim"
)

// vanishingFunction is a kernel that removes the second function from the bus after
// a write.
type vanishingFunction struct {
	*testHost
	after string // attribute and data of that write
}

func (v vanishingFunction) Write(ctx context.Context, name string, data []byte) error {
	err := v.testHost.Write(ctx, name, data)
	if strings.Contains(name+" "+string(data), v.after) {
		v.sim.Tree().Remove("sys/bus/pci/devices/" + two + ".1")
	}
	return err
}

func TestACardThatChangesDuringTheRunKeepsItsJournal(t *testing.T) {
	plan := map[string]func(*Machine) (*Plan, error){
		BindVerb: func(m *Machine) (*Plan, error) {
			return m.PlanBind(context.Background(), pci.MustBDF(two+".0"), Options{NoPersist: true})
		},
		UnbindVerb: func(m *Machine) (*Plan, error) { return m.PlanUnbind(context.Background(), pci.MustBDF(two+".0")) },
	}
	for verb, after := range map[string]string{BindVerb: "vfio-pci/bind " + two + ".0", UnbindVerb: "vfio-pci/unbind " + two + ".1"} {
		t.Run(verb, func(t *testing.T) {
			w := newTestHost(t, sysfsim.Common())
			if verb == UnbindVerb {
				if err := w.bind(two, Options{NoPersist: true}); err != nil {
					t.Fatal(err)
				}
			}
			m := w.machine()
			p, err := plan[verb](m)
			if err != nil {
				t.Fatal(err)
			}
			m.Kernel = vanishingFunction{w, after}
			err = m.Apply(context.Background(), p)
			if err == nil || !strings.Contains(err.Error(), "it had 2 functions and has 1") {
				t.Errorf("%s says %v", verb, err)
			}
			if w.sim.Driver(two+".0") != VFIO {
				t.Fatalf("the first function is on %q", w.sim.Driver(two+".0"))
			}
			if j, err := w.journal(two); err != nil || j == nil || j.Settled || j.Wrong == "" {
				t.Errorf("the first function is on vfio-pci and no journal says so: %+v, %v", j, err)
			}

			// The operator sees in the plan of an unbind that the card changed.
			m = w.machine()
			if p, err = m.PlanUnbind(context.Background(), pci.MustBDF(two+".0")); err != nil || p.Moved == "" {
				t.Fatalf("%+v, %v", p, err)
			}
			if err := m.Apply(context.Background(), p); err != nil {
				t.Error(err)
			}
			if j, err := w.journal(two); err != nil || j != nil {
				t.Errorf("%+v, %v", j, err)
			}
		})
	}
}

func TestAnUnbindTakesNoDriverFromADiskThatIsInUse(t *testing.T) {
	tree := sysfsim.Common()
	w := newTestHost(t, tree)
	if err := w.bind(four, Options{NoPersist: true}); err != nil {
		t.Fatal(err)
	}
	// It was bound until the reboot only. Since then its USB has a driver that the
	// journal does not know of, and a disk.
	j, err := w.journal(four)
	if err != nil {
		t.Fatal(err)
	}
	j.Before[2].Driver, j.Before[2].Module = "", ""
	w.reboot()
	if err := w.disk.WriteFile(journalFile(j.Card.Slot), FormatJournal(j), 0o644); err != nil {
		t.Fatal(err)
	}
	tree.Below(four+".2", "usb3/3-1", "block", "sdb")
	p, err := w.machine().PlanUnbind(context.Background(), pci.MustBDF(four+".0"))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Refused) != 1 || p.Refused[0].ID != "IN-USE-BELOW" {
		t.Errorf("the disk would be lost: %v, refused %v", p.Steps, p.Refused)
	}
}

func TestALinkInThePlaceOfAFileOfOursIsForeign(t *testing.T) {
	const rules = "etc/udev/rules.d/05-gpuworker-host.rules"
	w := onDisk(t, sysfsim.Common())
	disk := w.disk.(*Disk)
	if err := errors.Join(disk.root.MkdirAll(path.Dir(rules), 0o755), disk.root.Symlink("/dev/null", rules)); err != nil {
		t.Fatal(err)
	}
	err := w.bind(two, Options{})
	if err == nil || !strings.Contains(err.Error(), "it is a link to /dev/null") || w.state(two) == "bound" {
		t.Errorf("our rule is masked, and bind says %v", err)
	}
	if target, err := disk.Readlink(rules); err != nil || target != "/dev/null" {
		t.Errorf("the mask was replaced: %q, %v", target, err)
	}
}
