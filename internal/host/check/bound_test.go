package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/finding"
	hostbind "github.com/gpuworker/gpuworker/internal/host/bind"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/thorough"
	"github.com/gpuworker/gpuworker/sim/sysfsim"
)

var errCut = errors.New("the power failed")

// boundHost is a simulated host on which cards are bound, with an initramfs. After
// some effects the power fails.
type boundHost struct {
	*sysfsim.Host
	effects, cut int
}

func newBoundHost() *boundHost {
	tree := sysfsim.Common()
	tree.WriteFile("usr/sbin/update-initramfs", nil)
	tree.WriteFile("boot/initrd.img-6.12.1-amd64", nil)
	tree.WriteFile("proc/sys/kernel/osrelease", []byte("6.12.1-amd64\n"))
	tree.WriteFile("lib/modules/6.12.1-amd64/modules.dep", []byte("kernel/nouveau.ko:\nkernel/snd-hda-intel.ko:\n"))
	tree.WriteFile("lib/modules/6.12.1-amd64/modules.builtin", nil)
	tree.WriteFile("proc/modules", []byte("nouveau 1 0 - Live 0x0\nvfio 1 0 - Live 0x0\nvfio_pci 1 0 - Live 0x0\nvfio_iommu_type1 1 0 - Live 0x0\n"))
	return &boundHost{Host: sysfsim.New(tree.Archive)}
}

func (h *boundHost) effect() error {
	if h.effects++; h.cut != 0 && h.effects >= h.cut {
		return errCut
	}
	return nil
}

// Write implements hostbind.Kernel.
func (h *boundHost) Write(ctx context.Context, name string, data []byte) error {
	if err := h.effect(); err != nil {
		return err
	}
	return h.Host.Write(ctx, name, data)
}

// WriteFile implements hostbind.Files.
func (h *boundHost) WriteFile(name string, data []byte, _ fs.FileMode) error {
	if err := h.effect(); err != nil {
		return err
	}
	h.Tree().WriteFile(name, data)
	return nil
}

// Remove implements hostbind.Files.
func (h *boundHost) Remove(name string) error {
	if err := h.effect(); err != nil {
		return err
	}
	h.Tree().Remove(name)
	return nil
}

// Lock implements hostbind.Files.
func (h *boundHost) Lock(string) (func(), error) { return func() {}, nil }

const theImage = hosttree.CapturedImages + "/initrd.img-6.12.1-amd64"

// Run implements hostbind.Runner. The new initramfs contains the records that exist
// at that time.
func (h *boundHost) Run(_ context.Context, _ io.Writer, argv ...string) (string, error) {
	switch argv[0] {
	case "update-initramfs":
		if err := h.effect(); err != nil {
			return "", err
		}
		var listing strings.Builder
		names, _ := h.ReadDir(hostbind.CardsDir)
		for _, name := range names {
			listing.WriteString(hostbind.CardsDir + "/" + name + "\n")
		}
		h.Tree().WriteFile(theImage, []byte(listing.String()))
		return "", nil
	case "lsinitramfs":
		data, err := h.ReadFile(theImage)
		return string(data), err
	case "modprobe":
		return "", h.Modprobe(argv[1])
	}
	return "", fmt.Errorf("there is no %s", argv[0])
}

// Ask implements hostbind.Runner for commands that only read.
func (h *boundHost) Ask(ctx context.Context, argv ...string) (string, error) {
	return h.Run(ctx, nil, argv...)
}

func (h *boundHost) machine() *hostbind.Machine {
	return &hostbind.Machine{Tree: h, Files: h, Kernel: h, Runner: h, Deadline: time.Minute,
		Now: func() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }}
}

func (h *boundHost) bind(o hostbind.Options) error {
	m := h.machine()
	p, err := m.PlanBind(context.Background(), boundCard, o)
	if err != nil {
		return err
	}
	return m.Apply(context.Background(), p)
}

var boundCard = pci.MustBDF(sysfsim.TwoFunctions + ".0")

// owner returns the findings of the layer owner for the card.
func (h *boundHost) owner(t *testing.T) map[finding.ID]Finding {
	t.Helper()
	card, ok := cardOf(Run(h, Options{Cards: []pci.BDF{boundCard}}), boundCard.Slot)
	if !ok {
		t.Fatal("the card is not judged")
	}
	found := map[finding.ID]Finding{}
	for _, f := range card.Findings {
		if f.Layer == finding.LayerOwner {
			found[f.ID] = f
		}
	}
	if len(found) == 0 {
		t.Fatalf("the owner is not judged: %v\n%s", card.NotEvaluated, tell(card.Findings))
	}
	return found
}

// TestTheCheckAgreesWithBindAndAssert interrupts a bind at each of its effects. The
// check must not pass when assert fails, and the command that its fix names must
// complete the bind.
func TestTheCheckAgreesWithBindAndAssert(t *testing.T) {
	for _, o := range []hostbind.Options{{}, {NoPersist: true}, {AtNextBoot: true}} {
		for cut := 1; ; cut += thorough.Every {
			h := newBoundHost()
			h.cut = cut
			err := h.bind(o)
			agree(t, h, fmt.Sprintf("%+v, cut at effect %d", o, cut), o)
			if err == nil {
				if cut < 5 {
					t.Fatalf("%+v: only %d effects were seen", o, cut)
				}
				break
			}
			if !errors.Is(err, errCut) {
				t.Fatalf("%+v, cut at effect %d: %v", o, cut, err)
			}
			h.cut = 0
			if unfinished, is := h.owner(t)[finding.HostBindUnfinished]; is && unfinished.Verdict == finding.Fail {
				resumed(t, h, unfinished, o)
			}
		}
	}
}

func agree(t *testing.T, h *boundHost, when string, o hostbind.Options) {
	t.Helper()
	missing, err := h.machine().Assert(boundCard)
	said := h.owner(t)
	drivers, siblings, unfinished := said[finding.HostDriverOwns], said[finding.HostFunctionsLeft], said[finding.HostBindUnfinished]
	well := drivers.Verdict == finding.Pass && siblings.Verdict == finding.Pass && unfinished.Verdict == finding.Pass
	if asserted := len(missing) == 0 && err == nil; asserted != well {
		t.Errorf("%s: assert says %v %v, the check\n%s", when, missing, err, tell([]Finding{drivers, siblings, unfinished}))
	}
	j, _ := hostbind.ReadJournal(h, boundCard.Slot)
	settled := j != nil && j.Settled && j.Goal == hostbind.Bound
	wanted := finding.Fail
	if settled && !o.NoPersist {
		wanted = finding.Pass
	}
	if after := worst(drivers.AfterReboot, siblings.AfterReboot, unfinished.AfterReboot); settled && after != wanted {
		t.Errorf("%s: after a reboot %s, want %s:\n%s", when, after, wanted, tell([]Finding{drivers, siblings, unfinished}))
	}
}

// resumed runs the command that the fix of the finding names.
func resumed(t *testing.T, h *boundHost, f Finding, o hostbind.Options) {
	t.Helper()
	var err error
	if strings.HasPrefix(f.Fix, "gpuworker-host unbind") {
		m := h.machine()
		var p *hostbind.Plan
		if p, err = m.PlanUnbind(context.Background(), boundCard); err == nil {
			err = m.Apply(context.Background(), p)
		}
	} else {
		err = h.bind(hostbind.Options{AtNextBoot: strings.Contains(f.Fix, "--at-next-boot"), NoPersist: strings.Contains(f.Fix, "--no-persist")})
		agree(t, h, "resumed by "+f.Fix, o)
	}
	if left, is := h.owner(t)[finding.HostBindUnfinished]; err != nil || is && left.Verdict == finding.Fail {
		t.Errorf("%s: %v, left:\n%s", f.Fix, err, tell([]Finding{left}))
	}
}
