package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/status"
)

// fakeEngine returns what a test put in, and records its calls.
type fakeEngine struct {
	world    *inventory.Snapshot
	found    []finding.Finding
	rows     []status.Row
	unseen   []engine.Unseen
	unknown  []string
	plan     *plan.Plan
	applied  []apply.Outcome
	applyErr error
	events   []apply.Event
	during   func(ctx context.Context)       // runs in the middle of Apply
	looking  func(ctx context.Context) error // runs in Observe
	text     string
	err      error

	calls []string
	log   *slog.Logger // of the command
}

func (f *fakeEngine) call(words ...string) error {
	f.calls = append(f.calls, strings.Join(words, " "))
	f.log.Info("asked", "for", words[0])
	return f.err
}

func (f *fakeEngine) worlds(findings []finding.Finding) []engine.Hypervisor {
	return []engine.Hypervisor{{Name: "lab", Snapshot: f.world, Findings: findings}}
}

func (f *fakeEngine) Observe(ctx context.Context, _ *v1alpha1.Documents) (engine.Observed, error) {
	if f.looking != nil {
		return engine.Observed{}, f.looking(ctx)
	}
	return engine.Observed{Hypervisors: f.worlds(nil), Unseen: f.unseen}, f.call("observe")
}

func (f *fakeEngine) Hosts(ctx context.Context, documents *v1alpha1.Documents) (engine.Observed, error) {
	return f.Observe(ctx, documents)
}

func (f *fakeEngine) Check(context.Context, *v1alpha1.Documents) (engine.Observed, error) {
	return engine.Observed{Hypervisors: f.worlds(f.found), Unseen: f.unseen}, f.call("check")
}

func (f *fakeEngine) Status(_ context.Context, _ *v1alpha1.Documents, names []string) ([]status.Row, []engine.Unseen, error) {
	return f.rows, f.unseen, f.call("status")
}

func (f *fakeEngine) Plan(_ context.Context, documents *v1alpha1.Documents, r plan.Request) (engine.Plans, error) {
	words := []string{string(r.Verb)}
	if r.Verb == plan.ApplyDocuments {
		words[0] = "plan"
	}
	if r.VM != "" {
		words = append(words, r.VM)
	}
	words = append(append(words, r.Workers...), r.UUIDs...)
	for _, option := range []struct {
		word string
		on   bool
	}{{"allow-restart", r.AllowRestart}, {"all-or-nothing", r.AllOrNothing}, {"keep-recent", r.KeepRecent}} {
		if option.on {
			words = append(words, option.word)
		}
	}
	plans := engine.Plans{Request: r, Documents: document.List{Documents: documents}, Plans: []*plan.Plan{f.plan}, Unseen: f.unseen, Unknown: f.unknown}
	return plans, f.call(words...)
}

func (f *fakeEngine) Apply(ctx context.Context, _ engine.Plans, o engine.ApplyOptions) (engine.Applied, error) {
	words := []string{"apply"}
	if o.AddressWait != nil && *o.AddressWait != apply.DefaultAddressWait {
		words = append(words, "wait "+o.AddressWait.String())
	}
	_ = f.call(words...)
	for _, e := range f.events {
		o.Progress(e)
	}
	if f.during != nil {
		f.during(ctx)
	}
	applied := engine.Applied{Results: []apply.Result{{Hypervisor: "lab", Outcomes: f.applied}}}
	return applied, joinFailures(f.applyErr, f.applied)
}

func joinFailures(err error, outcomes []apply.Outcome) error {
	for _, o := range outcomes {
		err = errors.Join(err, o.Err)
	}
	return err
}

func (f *fakeEngine) Export(context.Context, *v1alpha1.Documents) ([]byte, error) {
	return []byte(f.text), f.call("export")
}

func (f *fakeEngine) Role(_ context.Context, _ *v1alpha1.Documents, version string) (string, error) {
	return f.text, f.call("role", version)
}

// typed is a command line in a test, with its environment and its output.
type typed struct {
	engine   *fakeEngine
	env      map[string]string
	in       string
	terminal bool // all streams are a terminal of 100 columns
	signals  chan os.Signal
	reader   io.Reader              // instead of in
	disk     io.Writer              // takes standard output, when not nil
	seen     func(plan string) bool // how plans are printed is tested where they are
	demo     bool                   // there is a demo

	code     int
	out, err string
}

// lab is the file that most commands of these tests use.
const lab = "testdata/lab.yaml"

func (c *typed) run(t *testing.T, args ...string) *typed {
	t.Helper()
	var out, errOut bytes.Buffer
	size := func() (int, int) { return 100, 40 }
	stream := func(b *bytes.Buffer) Stream { return Stream{Writer: b, Terminal: c.terminal} }
	p := Program{
		Streams: Streams{In: strings.NewReader(c.in), Out: stream(&out), Err: stream(&errOut), CanAsk: c.terminal},
		NewEngine: func(request EngineRequest) Engine {
			if request.Login == WithoutLogin {
				c.engine.calls = append(c.engine.calls, string(request.Login))
			}
			c.engine.log = request.Log
			return c.engine
		},
		LookupEnv: func(name string) (string, bool) {
			value, ok := c.env[name]
			return value, ok
		},
		Interrupts: c.signals,
		Exit:       func(code int) { t.Errorf("left at once with %d", code) },
		Now:        func() time.Time { return noon },
		Seen:       c.seen,
	}
	if c.demo {
		p.Demo = func(context.Context, DemoRequest) error { return nil }
	}
	if c.terminal {
		p.Out.Size, p.Err.Size = size, size
	}
	if c.disk != nil {
		p.Out.Writer = c.disk
	}
	if c.reader != nil {
		p.In = c.reader
	}
	if c.seen == nil {
		p.Seen = func(string) bool { return true }
	}
	if c.engine == nil {
		c.engine = &fakeEngine{}
	}
	c.code = p.Run(t.Context(), args)
	c.out, c.err = out.String(), errOut.String()
	return c
}

var noon = time.Date(2026, 11, 20, 12, 3, 4, 0, time.UTC)

// wants checks the exit code.
func (c *typed) wants(t *testing.T, code int) *typed {
	t.Helper()
	if c.code != code {
		t.Errorf("exit code %d, want %d\nout: %s\nerr: %s", c.code, code, c.out, c.err)
	}
	return c
}

// asked checks the calls of the engine.
func (c *typed) asked(t *testing.T, calls ...string) *typed {
	t.Helper()
	if !slices.Equal(c.engine.calls, calls) {
		t.Errorf("engine was asked %q, want %q", c.engine.calls, calls)
	}
	return c
}

var colours = regexp.MustCompile("\x1b\\[[0-9]+m")

func stripColours(text string) string { return colours.ReplaceAllString(text, "") }

// transcript is the complete output, for goldens.
func (c *typed) transcript() string {
	return "exit " + strconv.Itoa(c.code) + "\n--- out\n" + c.out + "--- err\n" + c.err
}

// homelab is the snapshot of these tests: a free T4, one that shares its group with a
// network card, one of a foreign VM, one of ours, a host without IOMMU and one that is
// down.
func homelab() *inventory.Snapshot {
	return inventorytest.Observed(
		inventorytest.Host("pve1", inventorytest.T4("0000:03:00").Group(14), inventorytest.RTX3090("0000:41:00").Group(27), inventorytest.NIC("0000:42:00").Group(27)),
		inventorytest.Host("pve2", inventorytest.T4("0000:03:00").Group(11), inventorytest.T4("0000:81:00").Group(31)).Memory(64, 60),
		inventorytest.Host("pve3", inventorytest.RTX3090("0000:0a:00")).NoIOMMU(),
		inventorytest.Host("pve4").Offline(),
		inventorytest.VM(204, "vdi-7", "pve2").Card("0000:81:00").Running(),
		inventorytest.VM(9101, "gpu-workers-1", "pve1").Card("0000:03:00").Ours("gpu-workers", "rke2-lab", "SemiPersistent").Running(),
		inventorytest.Claim("pve2", "0000:03:00", "gpu-workers-2", "gpu-workers", "rke2-lab", 9102),
	)
}

// planOf returns a plan with these workers.
func planOf(workers ...plan.Worker) *plan.Plan {
	return &plan.Plan{
		Hypervisor: "lab", Product: "Proxmox VE", Version: "9.1.4", HostCount: 3, Fingerprint: "7c1e00aa11bb",
		Pools: []plan.Pool{{Name: "gpu-workers", KubeCluster: "rke2-lab", Lifecycle: "SemiPersistent", Desired: len(workers), Workers: workers}},
	}
}

var (
	kept    = plan.Worker{Name: "gpu-workers-1", Action: plan.Keep, Host: "pve1", VM: "9101", Model: "Tesla T4", Card: pci.MustCardRef("pve1/0000:03:00.0")}
	created = plan.Worker{
		Name: "gpu-workers-2", Action: plan.Create, Host: "pve2", VM: "9102", Model: "Tesla T4", Card: pci.MustCardRef("pve2/0000:03:00.0"),
		Reason:  "host memory 41 of 128 GiB used",
		Desired: &inventory.Machine{Cores: 4, MemoryMiB: 16384},
		Source:  &plan.Source{Template: "ubuntu-22.04", VM: "9001", Host: "pve2"},
		Steps:   []plan.StepKind{plan.StepClaim, plan.StepClone, plan.StepConfigure, plan.StepAttach, plan.StepStart, plan.StepAgent},
	}
	refused = plan.Worker{
		Name: "gpu-workers-3", Action: plan.Refuse,
		Refusals: []finding.Finding{{
			ID: finding.CardHeld, Verdict: finding.Fail, Layer: finding.LayerCard, Where: fault.Place{Host: "pve2", Card: pci.MustBDF("0000:81:00.0")},
			Reason: `is in VM 204 "vdi-7", not ours`, Fix: "choose another card",
		}},
	}
	destroyed = plan.Worker{Name: "workers-4", Action: plan.Destroy, Host: "pve3", VM: "9104", Steps: []plan.StepKind{plan.StepShutdown, plan.StepDestroy}}
	restarted = plan.Worker{Name: "gpu-workers-1", Action: plan.Restart, Host: "pve1", VM: "9101", Steps: []plan.StepKind{plan.StepShutdown, plan.StepStart}}
)
