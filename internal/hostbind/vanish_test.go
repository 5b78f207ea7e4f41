package hostbind

import (
	"context"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/sim/sysfsim"
)

// vanishing is a kernel that takes the second function off the bus after a write.
type vanishing struct {
	*world
	after string // what was written, and to which attribute
}

func (v vanishing) Write(ctx context.Context, name string, data []byte) error {
	err := v.world.Write(ctx, name, data)
	if strings.Contains(name+" "+string(data), v.after) {
		v.sim.Tree().Remove("sys/bus/pci/devices/" + two + ".1")
	}
	return err
}

func TestACardThatChangesWhileItIsMovedIsNeitherDoneNorForgotten(t *testing.T) {
	plan := map[string]func(*Machine) (*Plan, error){
		BindVerb: func(m *Machine) (*Plan, error) {
			return m.PlanBind(context.Background(), pci.MustBDF(two+".0"), Options{NoPersist: true})
		},
		UnbindVerb: func(m *Machine) (*Plan, error) { return m.PlanUnbind(context.Background(), pci.MustBDF(two+".0")) },
	}
	for verb, after := range map[string]string{BindVerb: "vfio-pci/bind " + two + ".0", UnbindVerb: "vfio-pci/unbind " + two + ".1"} {
		t.Run(verb, func(t *testing.T) {
			w := newWorld(t, sysfsim.Common())
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
			m.Kernel = vanishing{w, after}
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

			// Who says unbind then has seen what the card is now.
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
