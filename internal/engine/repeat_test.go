package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/cli"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/proxmox"
	"github.com/gpuworker/gpuworker/internal/thorough"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// typed runs a command line of the program. interrupts may be nil.
func (l *lab) typed(wire http.RoundTripper, interrupts <-chan os.Signal, args ...string) (code int, out string) {
	l.t.Helper()
	var text bytes.Buffer
	program := cli.Program{
		Streams: cli.Streams{In: strings.NewReader(""), Out: cli.Stream{Writer: &text}, Err: cli.Stream{Writer: &text}},
		NewEngine: func(request cli.EngineRequest) cli.Engine {
			return engine.New(engine.Options{
				By: "ops@desk",
				Open: func(_ context.Context, _ *v1alpha1.Documents, h *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
					return proxmox.Open(h, proxmox.Login{Token: "gpuworker@pve!engine=" + canary, Transport: wire})
				},
			})
		},
		Interrupts: interrupts,
		Exit:       func(int) { l.t.Error("left at the first interrupt") },
	}
	code = program.Run(context.Background(), args)
	return code, text.String()
}

// interrupter is a connection during whose at-th request the operator presses
// Ctrl-C.
type interrupter struct {
	next  http.RoundTripper
	at    int64
	late  bool // after the request was carried out
	press chan os.Signal
	count atomic.Int64
}

func (i *interrupter) RoundTrip(request *http.Request) (*http.Response, error) {
	if i.count.Add(1) != i.at {
		return i.next.RoundTrip(request)
	}
	if i.late {
		if answer, err := i.next.RoundTrip(request.WithContext(context.WithoutCancel(request.Context()))); err == nil {
			_ = answer.Body.Close()
		}
	}
	i.press <- os.Interrupt
	<-request.Context().Done()
	return nil, request.Context().Err()
}

// typing is a command line and its expected result.
type typing struct {
	name    string
	made    string // documents that were applied before
	prepare func(*lab)
	// documents of the command; "" means those that were applied before.
	documents string
	line      string // what is typed, without -f; VM(x) stands for the UUID of the VM of x
	plan      string // a command that writes a plan before, for which PLAN stands in the line
	named     []string
	workers   []string // that are there in the end
}

func typings() []typing {
	two := onlyGPU1AndPlain()
	nothing := two[:strings.LastIndex(two, "---")]
	parked := func(l *lab) {
		for _, name := range []string{"gpu-1", "plain-1"} {
			l.must(park(name)(context.Background(), l.engine("ops@desk", two, nil)))
		}
	}
	return []typing{
		{name: "replace", made: solo, line: "replace gpu-1 --yes", named: []string{"gpu-1"}, workers: []string{"gpu-1"}},
		{name: "replace two", made: two, line: "replace plain-1 gpu-1 --yes", named: []string{"gpu-1"}, workers: []string{"gpu-1", "plain-1"}},
		{name: "replace a VM", made: two, line: "replace gpu-1 plain-1 --vm VM(gpu-1) --vm VM(plain-1) --yes", named: []string{"gpu-1"}, workers: []string{"gpu-1", "plain-1"}},
		{name: "delete two", made: two, line: "delete gpu-1 plain-1 --yes", named: []string{"gpu-1"}},
		{name: "delete two, the other way round, and one that never was", made: two, line: "delete gpu-9 plain-1 gpu-1 --yes", named: []string{"gpu-1"}},
		{name: "delete what nothing declares", made: two, documents: nothing, line: "delete plain-1 gpu-1 --yes", named: []string{"gpu-1"}},
		{name: "park", made: two, line: "park plain-1 gpu-1 --yes", workers: []string{"gpu-1", "plain-1"}},
		{name: "unpark", made: two, prepare: parked, line: "unpark plain-1 gpu-1 --yes", workers: []string{"gpu-1", "plain-1"}},
		{name: "adopt", prepare: func(l *lab) { l.theirWorker(500) }, documents: solo, line: "adopt 500 --as gpu-1 --yes", workers: []string{"gpu-1"}},
		{name: "apply", documents: two, line: "apply --yes", workers: []string{"gpu-1", "plain-1"}},
		{name: "a plan", documents: two, plan: "plan", line: "apply --plan PLAN --yes", workers: []string{"gpu-1", "plain-1"}},
		{name: "a plan of changes", made: two, documents: more(two), plan: "plan --allow-restart", line: "apply --plan PLAN --yes", workers: []string{"gpu-1", "plain-1"}},
		{name: "a plan of a replace", made: two, plan: "replace gpu-1 plain-1", line: "apply --plan PLAN --yes", named: []string{"gpu-1"}, workers: []string{"gpu-1", "plain-1"}},
		{name: "a plan of a delete", made: two, plan: "delete gpu-1 plain-1", line: "apply --plan PLAN --yes", named: []string{"gpu-1"}},
		{name: "a plan of an unpark", made: two, prepare: parked, plan: "unpark gpu-1 plain-1 --dry-run", line: "apply --plan PLAN --yes", workers: []string{"gpu-1", "plain-1"}},
		{name: "a plan of an adopt", prepare: func(l *lab) { l.theirWorker(500) }, documents: solo, plan: "adopt 500 --as gpu-1 --dry-run", line: "apply --plan PLAN --yes", workers: []string{"gpu-1"}},
	}
}

// more declares more memory for all workers, and another label.
func more(documents string) string {
	return strings.NewReplacer("memory: 8Gi", "memory: 16Gi", "memory: 2Gi", "memory: 3Gi", "  template:", "  labels: {rack: r7}\n  template:").Replace(documents)
}

// TestEachInterruptedCommandConverges interrupts each command at each of its requests,
// then runs the command line that was printed, then the original one, twice. The
// result must be that of the command, and only VMs that it names may be destroyed:
// the lab checks that no VM that a replace made is destroyed.
func TestEachInterruptedCommandConverges(t *testing.T) {
	for _, s := range typings() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "lab.yaml")
			printed, step := 0, thorough.Every
			if s.plan != "" {
				step *= 5 // what a plan leads to is interrupted everywhere by the command that it is of
			}
			for at, cut := 1, true; cut && !t.Failed(); at += step {
				synctest.Test(t, func(t *testing.T) {
					l, args := s.set(t, file)
					press := make(chan os.Signal, 1)
					wire := &interrupter{next: l.sim.Transport(), at: int64(at), late: at%2 == 0, press: press}
					code, out := l.typed(wire, press, args...)
					if cut = code == fault.ExitInterrupted; !cut && code != fault.ExitOK {
						t.Errorf("code %d:\n%s", code, out)
					}
					again := [][]string{args, args}
					if next := printedLine(out); cut && next != nil && next[0] != "status" {
						printed++
						again = append([][]string{next}, again...)
					}
					for _, line := range again {
						time.Sleep(time.Second) // a person takes a moment to type
						if code, out := l.typed(l.sim.Transport(), nil, line...); code != fault.ExitOK {
							t.Errorf("gpuworker %s: code %d:\n%s", strings.Join(line, " "), code, out)
						}
					}
					l.whole()
					l.only(slices.Clone(s.workers)...)
					if t.Failed() {
						t.Logf("interrupted at request %d:\n%s", at, out)
					}
				})
			}
			if printed == 0 && step == 1 && !t.Failed() {
				t.Error("no interrupt was answered with a command line")
			}
		})
	}
}

// set makes the world of the scene, and the arguments of the command line.
func (s typing) set(t *testing.T, file string) (*lab, []string) {
	t.Helper()
	changes := []func(*pvesim.World){oneHost}
	documents := s.documents
	if s.made != "" {
		changes = []func(*pvesim.World){made(t, s.made)}
		if documents == "" {
			documents = s.made
		}
	}
	l := newLab(t, changes...)
	if s.prepare != nil {
		s.prepare(l)
	}
	l.allow(s.named...)
	l.must(os.WriteFile(file, []byte(documents), 0o600))
	line := s.line
	for _, worker := range s.workers {
		if mark := "VM(" + worker + ")"; strings.Contains(line, mark) {
			line = strings.ReplaceAll(line, mark, recordOf(l.sim.State().VMs[l.vmid(worker)]).UUID)
		}
	}
	if s.plan != "" {
		plan := file + ".plan.json"
		code, out := l.typed(l.sim.Transport(), nil, append(strings.Fields(s.plan), "-o", "json", "-f", file)...)
		if code != fault.ExitOK {
			t.Fatalf("gpuworker %s: code %d:\n%s", s.plan, code, out)
		}
		l.must(os.WriteFile(plan, []byte(out), 0o600))
		line = strings.ReplaceAll(line, "PLAN", plan)
	}
	return l, append(strings.Fields(line), "-f", file)
}

// printedLine is the command that the output suggests, or the hint of a worker in the
// plan, without the program's name; nil when there is none.
func printedLine(out string) []string {
	for _, mark := range []string{"Next:  gpuworker ", "→ gpuworker "} {
		if _, after, ok := strings.Cut(out, mark); ok {
			line, _, _ := strings.Cut(after, "\n")
			return strings.Fields(line)
		}
	}
	return nil
}

// TestAReplacedWorkerIsNotReplacedByARepeat: for an hour, --yes does not replace the VM
// that a replace made, unless its UUID is given. After that, the name is enough.
func TestAReplacedWorkerIsNotReplacedByARepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := typing{made: solo, line: "replace gpu-1 --yes", named: []string{"gpu-1"}, workers: []string{"gpu-1"}}
		l, args := s.set(t, filepath.Join(t.TempDir(), "lab.yaml"))
		run := func(args []string) string {
			t.Helper()
			code, out := l.typed(l.sim.Transport(), nil, args...)
			if code != fault.ExitOK {
				t.Fatalf("%v: code %d:\n%s", args, code, out)
			}
			return out
		}
		uuid := func() string { return recordOf(l.sim.State().VMs[l.vmid("gpu-1")]).UUID }
		first := uuid()
		run(args)
		second := uuid()
		if record := recordOf(l.sim.State().VMs[l.vmid("gpu-1")]); second == first || record.Replaced != first || record.Created == "" || record.Replacing != "" {
			t.Fatalf("after the replace of %s: %+v", first, record)
		}
		out := run(args)
		if uuid() != second {
			t.Fatal("the new VM was replaced by the repeated command")
		}
		next := printedLine(out)
		want := fmt.Sprintf("replace gpu-1 --vm %s --yes", second)
		if next == nil || !strings.HasPrefix(strings.Join(next, " "), want) || !strings.Contains(strings.Join(strings.Fields(out), " "), "in place of VM "+first) {
			t.Fatalf("it should say %q and what it replaced:\n%s", want, out)
		}
		l.allow(second) // a person names that VM
		run(next)
		third := uuid()
		if third == second {
			t.Fatal("the VM that was named is still there")
		}
		if run(next); uuid() != third {
			t.Fatal("--vm of a VM that is gone destroyed another one")
		}
		l.allow(third)
		time.Sleep(61 * time.Minute)
		if run(args); uuid() == third {
			t.Fatal("after an hour the name means the VM that is there")
		}
		l.whole()
	})
}
