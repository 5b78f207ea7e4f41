package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/term"
)

// story are an engine's events about two workers.
func story(from time.Time) []apply.Event {
	at := func(seconds int) time.Time { return from.Add(time.Duration(seconds) * time.Second) }
	return []apply.Event{
		{Worker: "workers-3", Step: plan.StepClone, Phase: apply.Began, Time: at(0)},
		{Worker: "gpu-workers-2", Step: plan.StepClaim, Phase: apply.Began, Time: at(0)},
		{Worker: "gpu-workers-2", Step: plan.StepClaim, Phase: apply.Done, Took: 200 * time.Millisecond, Time: at(0)},
		{Worker: "gpu-workers-2", Step: plan.StepClone, Phase: apply.Began, Time: at(0)},
		{Worker: "workers-3", Step: plan.StepClone, Phase: apply.Working, Detail: "12 of 40 GiB", Time: at(1)},
		{Worker: "workers-3", Step: plan.StepClone, Phase: apply.Working, Detail: "20 of 40 GiB", Time: at(7)},
		{Worker: "workers-3", Step: plan.StepClone, Phase: apply.Working, Detail: "30 of 40 GiB", Time: at(12)},
		{Worker: "workers-3", Step: plan.StepClone, Phase: apply.Done, Took: 14 * time.Second, Time: at(14)},
		{Worker: "workers-3", Step: plan.StepAgent, Phase: apply.Began, Time: at(14)},
		{Worker: "gpu-workers-2", Step: plan.StepClone, Phase: apply.Failed, Detail: "storage local-lvm is full", Took: 16 * time.Second, Time: at(16)},
	}
}

func TestPlainProgressIsOneLineForEachEvent(t *testing.T) {
	c := &typed{engine: &fakeEngine{plan: planOf(created), events: story(noon)}}
	c.run(t, "apply", "--yes", "-f", lab)
	var got []string
	for line := range strings.Lines(c.out) {
		if strings.HasPrefix(line, "12:") {
			got = append(got, strings.TrimSuffix(line, "\n"))
		}
	}
	want := []string{
		"12:03:04 gpu-workers-2 claim done",
		"12:03:05 workers-3 clone …: 12 of 40 GiB",
		"12:03:16 workers-3 clone …: 30 of 40 GiB",
		"12:03:18 workers-3 clone done 14s",
		"12:03:20 gpu-workers-2 clone failed 16s: storage local-lvm is full",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAFrameShowsOneLineForEachWorker(t *testing.T) {
	var b board
	for _, e := range story(noon) {
		b.update(e)
	}
	b.update(apply.Event{Worker: "workers-4", Step: plan.StepStart, Phase: apply.Stopped, Time: noon})
	b.update(apply.Event{Worker: "workers-5", Step: plan.StepAgent, Phase: apply.Warned, Took: 3 * time.Minute, Time: noon})
	got := b.frame(noon.Add(32*time.Second+400*time.Millisecond), 100, 40, term.Paint{})
	want := []term.Text{
		"workers-3      clone ✓ 14s  agent ⠼ 18s (usually 30s)",
		"gpu-workers-2  claim ✓  clone ✗ 16s",
		"workers-4      start ■ stopped",
		"workers-5      agent ! 3m0s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"workers-3 agent"}, b.inFlight()); diff != "" {
		t.Error(diff)
	}
}

// TestAStepThatBeginsAgainIsTheCurrentOne: the VM number of the clone was in use, so
// the claim is written for another number, and the clone begins again.
func TestAStepThatBeginsAgainIsTheCurrentOne(t *testing.T) {
	var b board
	for _, e := range []apply.Event{
		{Step: plan.StepClaim, Phase: apply.Began}, {Step: plan.StepClaim, Phase: apply.Done},
		{Step: plan.StepClone, Phase: apply.Began}, {Step: plan.StepClone, Phase: apply.Working, Detail: "VM number 9102, because 9101 is in use"},
		{Step: plan.StepClaim, Phase: apply.Done},
		{Step: plan.StepClone, Phase: apply.Began}, {Step: plan.StepClone, Phase: apply.Working, Detail: "the clone of ubuntu-22.04"},
	} {
		e.Worker, e.Time = "gpu-1", noon
		b.update(e)
	}
	if diff := cmp.Diff([]string{"gpu-1 clone"}, b.inFlight()); diff != "" {
		t.Errorf("in flight (-want +got):\n%s", diff)
	}
	if line := b.frame(noon.Add(4*time.Second), 100, 40, term.Paint{})[0]; !strings.HasPrefix(string(line), "gpu-1  claim ✓  claim ✓  clone") {
		t.Errorf("the worker's line: %s", line)
	}
}

func TestWorkersStandInTheOrderOfThePlan(t *testing.T) {
	b := board{order: []string{"gpu-1", "plain-10", "plain-2"}}
	for _, worker := range []string{"plain-2", "gpu-1"} {
		b.update(apply.Event{Worker: worker, Step: plan.StepClone, Phase: apply.Done, Time: noon})
	}
	want := []term.Text{"gpu-1     clone ✓", "plain-2   clone ✓"}
	if diff := cmp.Diff(want, b.frame(noon, 100, 40, term.Paint{})); diff != "" {
		t.Error(diff)
	}
}

func TestAFrameStaysInsideTheTerminal(t *testing.T) {
	var b board
	for _, worker := range []string{"a-1", "a-2", "a-3", "a-4"} {
		for _, step := range []plan.StepKind{plan.StepClaim, plan.StepClone, plan.StepConfigure} {
			b.update(apply.Event{Worker: worker, Step: step, Phase: apply.Done, Took: 5 * time.Second, Time: noon})
		}
	}
	b.update(apply.Event{Worker: "a-4", Step: plan.StepAttach, Phase: apply.Began, Time: noon})
	got := b.frame(noon, 40, 4, term.Paint{})
	want := []term.Text{
		"a-4  … configure ✓ 5s  attach ⠋",
		"a-1  … clone ✓ 5s  configure ✓ 5s",
		"… and 2 more",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestColourDoesNotChangeTheWidth(t *testing.T) {
	var b board
	for _, e := range story(noon) {
		b.update(e)
	}
	plain := b.frame(noon, 30, 40, term.Paint{})
	coloured := b.frame(noon, 30, 40, term.Paint{On: true})
	for i := range coloured {
		if stripped := stripColours(string(coloured[i])); stripped != string(plain[i]) {
			t.Errorf("line %d is %q in colour and %q without", i, stripped, plain[i])
		}
	}
}

// screen is a terminal that understands the output of liveLines: lines, moving up,
// clearing to the end.
type screen struct {
	lines []string
	at    int
}

func (s *screen) Write(data []byte) (int, error) {
	text := string(data)
	for text != "" {
		switch {
		case strings.HasPrefix(text, "\x1b[J"):
			s.lines, text = s.lines[:s.at], text[3:]
		case strings.HasPrefix(text, "\r"):
			text = text[1:]
		case strings.HasPrefix(text, "\x1b["):
			up, rest, _ := strings.Cut(text[2:], "A")
			for range len(up) { // the tests draw fewer than ten lines
				s.at -= int(up[0] - '0')
			}
			text = rest
		default:
			line, rest, _ := strings.Cut(text, "\n")
			s.lines, text = append(s.lines[:s.at], line), rest
			s.at++
		}
	}
	return len(data), nil
}

func TestLiveProgressIsRepaintedWhileTimePasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &screen{}
		a := newApp(Program{Streams: Streams{Out: Stream{Writer: s, Terminal: true}, Err: Stream{Writer: s}}})
		a.colorMode.Store("never")
		shown := a.startProgress([]string{"workers-3"})
		shown.event(apply.Event{Worker: "workers-3", Step: plan.StepAgent, Phase: apply.Began, Time: time.Now()})
		time.Sleep(18*time.Second + spinEvery/2) // of the bubble: no real time passes
		synctest.Wait()
		shown.mu.Lock()
		got := strings.Join(s.lines, "|")
		shown.mu.Unlock()
		if want := "workers-3  agent ⠋ 18s (usually 30s)"; got != want {
			t.Errorf("screen: %q, want %q", got, want)
		}
		shown.event(apply.Event{Worker: "workers-3", Step: plan.StepAgent, Phase: apply.Done, Took: 19 * time.Second, Time: time.Now()})
		a.finish(shown)
		if got, want := strings.Join(s.lines, "|"), "workers-3  agent ✓ 19s"; got != want {
			t.Errorf("screen at the end: %q, want %q", got, want)
		}
	})
}

func TestTheFirstInterruptEndsCleanlyAndSaysWhatStillRuns(t *testing.T) {
	signals := make(chan os.Signal, 2)
	f := &fakeEngine{plan: planOf(created), events: story(noon)[:4]}
	f.during = func(ctx context.Context) {
		signals <- syscall.SIGINT
		<-ctx.Done()
		f.applied = []apply.Outcome{{
			Worker: "gpu-workers-2", Action: plan.Create, Host: "pve2", VM: "9102", Step: plan.StepClone,
			Err: &fault.Error{Kind: fault.Interrupted, Doing: "clone", Where: fault.Place{Worker: "gpu-workers-2"}, Cause: ctx.Err(), Fix: "run the same command again: it continues from here"},
		}}
	}
	c := (&typed{engine: f, signals: signals}).run(t, "apply", "--yes", "-f", lab).wants(t, fault.ExitInterrupted)
	for _, want := range []string{"Interrupted.", "workers-3 clone, gpu-workers-2 clone", "The same command continues"} {
		if !strings.Contains(c.err, want) {
			t.Errorf("standard error does not say %q:\n%s", want, c.err)
		}
	}
	if !strings.Contains(c.out, "■ interrupted at clone") {
		t.Errorf("the result does not say that the worker was interrupted:\n%s", c.out)
	}
}

func TestTheSecondInterruptExitsAtOnce(t *testing.T) {
	signals := make(chan os.Signal, 2)
	left := make(chan int, 1)
	var errOut bytes.Buffer
	a := newApp(Program{
		Streams:    Streams{Err: Stream{Writer: &errOut}},
		Interrupts: signals,
		Exit:       func(code int) { left <- code },
	})
	ctx, stop := a.watchInterrupts(t.Context())
	defer stop()
	signals <- syscall.SIGTERM
	<-ctx.Done()
	signals <- syscall.SIGTERM
	if code := <-left; code != fault.ExitInterrupted {
		t.Errorf("left with %d", code)
	}
	if !strings.Contains(errOut.String(), "Interrupted. Press Ctrl-C again") {
		t.Errorf("said %q", errOut.String())
	}
}

func TestAnInterruptOfAReadIsNotAnErrorOfTheHypervisor(t *testing.T) {
	signals := make(chan os.Signal, 2)
	f := &fakeEngine{world: homelab()}
	c := &typed{signals: signals, engine: f}
	f.looking = func(ctx context.Context) error {
		signals <- syscall.SIGINT
		<-ctx.Done()
		return &fault.Error{Kind: fault.Unavailable, Doing: "list VMs", Cause: ctx.Err()}
	}
	c.run(t, "hosts", "-f", lab).wants(t, fault.ExitInterrupted)
	if strings.Contains(c.err, "Error:") {
		t.Errorf("the operator is told of an error:\n%s", c.err)
	}
	c = &typed{signals: signals, engine: f}
	c.run(t, "hosts", "-f", lab, "-o", "json").wants(t, fault.ExitInterrupted)
	if !strings.Contains(c.err, `"kind": "Interrupted"`) {
		t.Errorf("standard error:\n%s", c.err)
	}
}

// deaf is an input that never returns anything.
type deaf struct{ done <-chan struct{} }

func (d deaf) Read([]byte) (int, error) {
	<-d.done
	return 0, io.EOF
}

func TestAnInterruptAnswersTheQuestionWithNo(t *testing.T) {
	signals := make(chan os.Signal, 2)
	c := &typed{engine: &fakeEngine{plan: planOf(created)}, signals: signals, terminal: true, reader: deaf{t.Context().Done()}}
	c.seen = func(string) bool {
		signals <- syscall.SIGINT
		return true
	}
	c.run(t, "apply", "-f", lab).wants(t, fault.ExitInterrupted).asked(t, "plan")
}

func TestALookThatTakesLongIsToldToAPersonAtATerminal(t *testing.T) {
	for _, test := range []struct {
		name     string
		terminal bool
		took     time.Duration
		flags    []string
		want     string
	}{
		{"at a terminal", true, 15 * time.Second, nil, "Still reading the hypervisors (2s) …\nStill reading the hypervisors (12s) …\n"},
		{"not when it is quick", true, time.Second, nil, ""},
		{"not with -q", true, 15 * time.Second, []string{"-q"}, ""},
		{"not with output for machines", true, 15 * time.Second, []string{"-o", "json"}, ""},
		{"not without a terminal", false, 15 * time.Second, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &fakeEngine{looking: func(context.Context) error {
					time.Sleep(test.took)
					return nil
				}}
				c := &typed{engine: e, terminal: test.terminal}
				if c.run(t, append([]string{"gpus", "-f", lab}, test.flags...)...); c.err != test.want {
					t.Errorf("standard error: %q", c.err)
				}
			})
		})
	}
}
