package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/golden"
	"github.com/gpuworker/gpuworker/internal/machine"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
)

func done(action plan.Action) []apply.Outcome {
	return []apply.Outcome{{Worker: "gpu-workers-2", Action: action, Host: "pve2", VM: "9102", Addresses: []string{"192.0.2.22"}}}
}

func TestApplyAsksBeforeItActs(t *testing.T) {
	cases := []struct {
		name     string
		plan     *plan.Plan
		args     []string
		in       string
		terminal bool

		code  int
		asked []string
		says  string // somewhere on standard output or standard error
	}{
		{"a yes on a terminal", planOf(created), nil, "y\n", true, fault.ExitOK, []string{"plan", "apply"}, "Apply this plan? [y/N]"},
		{"a no on a terminal", planOf(created), nil, "n\n", true, fault.ExitFailed, []string{"plan"}, "Nothing was changed."},
		{"no answer is a no", planOf(created), nil, "", true, fault.ExitFailed, []string{"plan"}, "Nothing was changed."},
		{"a yes without Enter is a no", planOf(created), nil, "y", true, fault.ExitFailed, []string{"plan"}, "Nothing was changed."},
		{"something else is a no", planOf(created), nil, "yeah\n", true, fault.ExitFailed, []string{"plan"}, "Nothing was changed."},
		{"the question names what is destroyed and restarted", planOf(destroyed, restarted), nil, "no\n", true, fault.ExitFailed, []string{"plan"}, "It destroys workers-4 and restarts gpu-workers-1."},
		{"a script must say --yes", planOf(created), nil, "", false, fault.ExitInvalid, []string{"plan"}, "stdin is not a terminal: nothing was changed"},
		{"a script with nothing to do need not", planOf(kept), nil, "", false, fault.ExitOK, []string{"plan"}, "Nothing was changed."},
		{"--yes does not ask", planOf(created), []string{"--yes"}, "", false, fault.ExitOK, []string{"plan", "apply"}, "✓ created"},
		{"-o json never asks", planOf(created), []string{"-o", "json"}, "y\n", true, fault.ExitInvalid, []string{"plan"}, "the output is for machines: nothing was changed"},
		{"a refused worker is an exit code after the rest is done", planOf(created, refused), []string{"--yes"}, "", false, fault.ExitCheck, []string{"plan", "apply"}, "✓ created"},
		{"only refused workers", planOf(kept, refused), []string{"--yes"}, "", false, fault.ExitCheck, []string{"plan"}, "Nothing was changed."},
		{"flags reach the engine", planOf(kept), []string{"--allow-restart", "--all-or-nothing"}, "", false, fault.ExitOK, []string{"plan allow-restart all-or-nothing"}, "Nothing was changed."},
		{"a bad bound is refused", planOf(created), []string{"--yes", "--parallel", "-1"}, "", false, fault.ExitInvalid, []string{"plan"}, "--parallel must not be negative, it is -1"},
		{"the wait for addresses reaches the engine", planOf(created), []string{"--yes", "--wait-for-address", "90s"}, "", false, fault.ExitOK, []string{"plan", "apply wait 1m30s"}, "✓ created"},
		{"no wait for addresses", planOf(created), []string{"--yes", "--wait-for-address", "0"}, "", false, fault.ExitOK, []string{"plan", "apply wait 0s"}, "✓ created"},
		{"a bad wait is refused", planOf(created), []string{"--yes", "--wait-for-address=-2m"}, "", false, fault.ExitInvalid, []string{"plan"}, "--wait-for-address must not be negative, it is -2m0s"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := &fakeEngine{plan: c.plan, applied: done(plan.Create)}
			command := &typed{engine: f, in: c.in, terminal: c.terminal}
			command.run(t, append(append([]string{"apply"}, c.args...), "-f", lab, "--color", "never")...)
			command.wants(t, c.code).asked(t, c.asked...)
			if !strings.Contains(command.out+command.err, c.says) {
				t.Errorf("does not say %q:\n%s%s", c.says, command.out, command.err)
			}
		})
	}
}

func TestDestructiveVerbsAreDryRunsUntilYes(t *testing.T) {
	for _, args := range [][]string{{"delete", "gpu-workers-2"}, {"replace", "gpu-workers-2"}, {"orphans", "--release"}} {
		t.Run(args[0], func(t *testing.T) {
			terminal := args[0] != "replace" // which asks there
			dry := (&typed{engine: &fakeEngine{plan: planOf(destroyed)}, terminal: terminal, in: "y\n"}).run(t, append(args, "-f", lab)...)
			dry.wants(t, fault.ExitOK)
			if !strings.Contains(dry.out, "This was a dry run: add --yes to do it.") || len(dry.engine.calls) != 1 {
				t.Errorf("calls %q, out:\n%s", dry.engine.calls, dry.out)
			}
			machine := (&typed{engine: &fakeEngine{plan: planOf(destroyed)}}).run(t, append(args, "-f", lab, "-o", "json")...)
			machine.wants(t, fault.ExitOK)
			if len(machine.engine.calls) != 1 || !strings.HasPrefix(machine.out, "{") {
				t.Errorf("calls %q, out:\n%s", machine.engine.calls, machine.out)
			}
			real := (&typed{engine: &fakeEngine{plan: planOf(destroyed), applied: done(plan.Destroy)}}).run(t, append(args, "--yes", "-f", lab)...)
			real.wants(t, fault.ExitOK)
			if len(real.engine.calls) != 2 || real.engine.calls[1] != "apply" {
				t.Errorf("calls %q", real.engine.calls)
			}
		})
	}
}

func TestVerbsForSingleWorkersNameThemToTheEngine(t *testing.T) {
	cases := []struct {
		args  []string
		asked string
	}{
		{[]string{"delete", "a-1", "a-2"}, "delete a-1 a-2"},
		{[]string{"replace", "a-1"}, "replace a-1 keep-recent"},
		{[]string{"replace", "a-1", "--vm", "0B7DD7B9-8a51-4a38-8ef2-2f3f5c1f4a10"}, "replace a-1 0b7dd7b9-8a51-4a38-8ef2-2f3f5c1f4a10 keep-recent"},
		{[]string{"park", "a-1"}, "park a-1"},
		{[]string{"unpark", "a-1"}, "unpark a-1"},
		{[]string{"adopt", "204", "--as", "a-1"}, "adopt 204 a-1"},
	}
	for _, c := range cases {
		t.Run(c.asked, func(t *testing.T) {
			command := (&typed{engine: &fakeEngine{plan: planOf(created), applied: done(plan.Create)}}).run(t, append(c.args, "--yes", "-f", lab)...)
			command.wants(t, fault.ExitOK).asked(t, c.asked, "apply")
		})
	}
}

func TestReplaceAsksOnATerminal(t *testing.T) {
	for answer, calls := range map[string][]string{"y\n": {"replace a-1", "apply"}, "n\n": {"replace a-1"}} {
		f := &fakeEngine{plan: planOf(destroyed), applied: done(plan.Replace)}
		command := (&typed{engine: f, terminal: true, in: answer}).run(t, "replace", "a-1", "-f", lab, "--color", "never")
		command.asked(t, calls...)
		if !strings.Contains(command.out, "Replace? It destroys workers-4. [y/N]") {
			t.Errorf("it did not ask:\n%s", command.out)
		}
	}
}

func TestReplaceNeedsOneVMForEachName(t *testing.T) {
	const uuid = "0b7dd7b9-8a51-4a38-8ef2-2f3f5c1f4a10"
	for _, args := range [][]string{{"a-1", "a-2", "--vm", uuid}, {"a-1", "--vm", "9100"}, {"a-1", "a-1", "--vm", uuid, "--vm", uuid}} {
		c := (&typed{}).run(t, append([]string{"replace", "-f", lab}, args...)...).wants(t, fault.ExitInvalid).asked(t)
		if !strings.Contains(c.err, "--vm") {
			t.Errorf("%v: %s", args, c.err)
		}
	}
}

// TestUnknownNamesDoNotStopTheOthers: for delete they count as done, for other verbs
// they are an error that is printed after the others are done.
func TestUnknownNamesDoNotStopTheOthers(t *testing.T) {
	missing := plan.Absent{Name: "gpu-9", Why: "no worker of this name is declared or on the hypervisor", Near: []string{"gpu-1"}}
	with := func(p *plan.Plan) *plan.Plan { p.Absent = []plan.Absent{missing}; return p }
	cases := []struct {
		args  []string
		plan  *plan.Plan
		code  int
		calls []string
		says  string
	}{
		{[]string{"delete", "gpu-9", "workers-4"}, with(planOf(destroyed)), fault.ExitOK, []string{"delete gpu-9 workers-4", "apply"},
			"gpu-9: does not exist, nothing to delete (did you mean gpu-1?)"},
		{[]string{"delete", "gpu-9"}, with(planOf()), fault.ExitOK, []string{"delete gpu-9"}, "gpu-9: does not exist, nothing to delete"},
		{[]string{"delete", "gpu-9", "-o", "json"}, with(planOf()), fault.ExitOK, []string{"delete gpu-9"}, `"name": "gpu-9"`},
		{[]string{"park", "gpu-9", "workers-4"}, with(planOf(destroyed)), fault.ExitFailed, []string{"park gpu-9 workers-4", "apply"},
			"gpu-9: no worker of this name is declared or on the hypervisor"},
		{[]string{"park", "gpu-9"}, with(planOf()), fault.ExitInvalid, []string{"park gpu-9"}, "did you mean gpu-1?"},
		{[]string{"replace", "gpu-9"}, with(planOf()), fault.ExitInvalid, []string{"replace gpu-9 keep-recent"}, "did you mean gpu-1?"},
	}
	for _, c := range cases {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			f := &fakeEngine{plan: c.plan, applied: done(plan.Destroy)}
			command := (&typed{engine: f}).run(t, append(c.args, "--yes", "-f", lab)...)
			command.wants(t, c.code).asked(t, c.calls...)
			if !strings.Contains(command.out+command.err, c.says) {
				t.Errorf("does not say %q:\n%s%s", c.says, command.out, command.err)
			}
		})
	}
}

// TestAnEmptyArgumentIsAnError: a script with an empty variable must not do something
// else, or nothing, and succeed.
func TestAnEmptyArgumentIsAnError(t *testing.T) {
	for _, args := range [][]string{
		{"apply", "--plan", ""}, {"delete", ""}, {"delete", "a-1", ""}, {"park", ""}, {"unpark", ""}, {"disown", ""}, {"replace", ""},
	} {
		f := &fakeEngine{plan: planOf(destroyed), applied: done(plan.Destroy)}
		(&typed{engine: f}).run(t, append(args, "--yes", "-f", lab)...).wants(t, fault.ExitInvalid).asked(t)
	}
}

func TestAdoptExplainsItsArguments(t *testing.T) {
	for _, args := range [][]string{{"adopt", "204"}, {"adopt", "", "--as", "a-1"}, {"adopt"}} {
		c := (&typed{}).run(t, append(args, "-f", lab)...).wants(t, fault.ExitInvalid).asked(t)
		if !strings.Contains(c.err, "adopt") || !strings.Contains(c.err, "--as") {
			t.Errorf("%q: %s", args, c.err)
		}
	}
}

// Only the hypervisor knows the form of an identifier, and whether such a VM exists.
func TestAdoptTakesAnyIdentifier(t *testing.T) {
	for _, id := range []string{"204", "vm-1042", "0"} {
		none := &fault.Error{Kind: fault.NotFound, Why: "there is no such VM", Fix: "check the identifier"}
		c := (&typed{engine: &fakeEngine{err: none}}).run(t, "adopt", id, "--as", "a-1", "-f", lab)
		c.wants(t, fault.ExitInvalid).asked(t, "adopt "+id+" a-1")
	}
}

// results returns one outcome of each kind.
func results() []apply.Outcome {
	full := &fault.Error{
		Kind: fault.Failed, Doing: "clone the template", Where: fault.Place{Worker: "workers-4", Host: "pve3", VM: "9104"},
		Why: "storage local-lvm is full", Fix: "free space on local-lvm of pve3, then run the same command again",
	}
	return []apply.Outcome{
		{Worker: "gpu-workers-2", Action: plan.Create, Host: "pve2", VM: "9102", Addresses: []string{"192.0.2.22", "2001:db8::22"}},
		{Worker: "gpu-workers-1", Action: plan.Replace, Host: "pve1", VM: "9101", Addresses: []string{"192.0.2.21"}, Gap: 42 * time.Second},
		{Worker: "workers-3", Action: plan.Create, Host: "pve1", VM: "9103", Warnings: []apply.Warning{{Text: "workers-3, VM 9103 on pve1: agent: still waiting for the guest agent after 5m0s (STEP-AGENT-LATE)", Fix: "Look at the VM's console."}}},
		{Worker: "workers-4", Action: plan.Create, Host: "pve3", VM: "9104", Step: plan.StepClone, Err: full},
	}
}

func TestTheResultNamesEachWorkerAndEachFix(t *testing.T) {
	for name, args := range map[string][]string{"apply-result.txt": nil, "apply-result.json": {"-o", "json"}} {
		f := &fakeEngine{plan: planOf(created), applied: results(), events: story(noon)[:3]}
		c := (&typed{engine: f}).run(t, append([]string{"apply", "--yes", "-f", lab}, args...)...)
		golden.Compare(t, "testdata/"+name, c.transcript())
	}
}

func TestExitCodesOfFailedWorkers(t *testing.T) {
	failure := func(kind fault.Kind) apply.Outcome {
		return apply.Outcome{Worker: "w", Action: plan.Create, Step: plan.StepClone, Err: &fault.Error{Kind: kind, Why: "because"}}
	}
	cases := []struct {
		name string
		err  error
		of   []apply.Outcome
		code int
	}{
		{"one failure gives its code", nil, []apply.Outcome{failure(fault.Denied)}, fault.ExitDenied},
		{"failures of one kind give that code", nil, []apply.Outcome{failure(fault.Denied), failure(fault.Denied)}, fault.ExitDenied},
		{"failures of several kinds give the general code", nil, []apply.Outcome{failure(fault.Denied), failure(fault.Busy)}, fault.ExitFailed},
		{"a world that changed is a conflict", &fault.Error{Kind: fault.Conflict, Why: "the world changed"}, nil, fault.ExitConflict},
		{"an error without a kind is a plain failure", errors.New("out of paper"), nil, fault.ExitFailed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := &fakeEngine{plan: planOf(created), applied: c.of, applyErr: c.err}
			command := (&typed{engine: f}).run(t, "apply", "--yes", "-f", lab).wants(t, c.code)
			if told := strings.Contains(command.err, "Error:"); told != (c.err != nil) {
				t.Errorf("standard error:\n%s", command.err)
			}
		})
	}
}

func TestAssertExitsWithFourAndTheDifferences(t *testing.T) {
	changed := plan.Worker{
		Name: "workers-1", Action: plan.Update, Host: "pve2",
		Changes: []plan.Change{{Field: "labels", From: "", To: "zone=a", When: plan.Live}},
	}
	c := (&typed{engine: &fakeEngine{plan: planOf(kept, created, changed, refused)}}).run(t, "assert", "-f", lab)
	c.wants(t, fault.ExitDiffers).asked(t, "plan allow-restart")
	golden.Compare(t, "testdata/assert.txt", c.transcript())
	c = (&typed{engine: &fakeEngine{plan: planOf(kept)}}).run(t, "assert", "-f", lab).wants(t, fault.ExitOK)
	if c.out != "As declared: 1 worker on lab.\n" {
		t.Errorf("out: %q", c.out)
	}
	c = (&typed{engine: &fakeEngine{plan: planOf(kept)}}).run(t, "assert", "-q", "-f", lab).wants(t, fault.ExitOK)
	if c.out != "" {
		t.Errorf("-q says %q", c.out)
	}
}

func TestOrphansAreListedAndNeverDestroyed(t *testing.T) {
	held := plan.Worker{Name: "old-1", Action: plan.Hold, Host: "pve1", VM: "9150", Hint: "gpuworker delete old-1"}
	claim := plan.Worker{Name: "old-2", Action: plan.Release, Host: "pve2", VM: "9151", Card: pci.MustCardRef("pve2/0000:03:00.0"), Model: "Tesla T4", Steps: []plan.StepKind{plan.StepRelease}}
	c := (&typed{engine: &fakeEngine{plan: planOf(held, claim)}}).run(t, "orphans", "-f", lab).wants(t, fault.ExitOK).asked(t, "orphans")
	golden.Compare(t, "testdata/orphans.txt", c.out)
	c = (&typed{engine: &fakeEngine{plan: planOf()}}).run(t, "orphans", "-f", lab).wants(t, fault.ExitOK)
	if c.out != "No orphans on lab.\n" {
		t.Errorf("out: %q", c.out)
	}
	(&typed{engine: &fakeEngine{plan: planOf(held)}}).run(t, "orphans", "--yes", "-f", lab).wants(t, fault.ExitInvalid).asked(t)
}

// TestAPlansCommandsCanBeTypedAsPrinted: they have the files of the command, and each is
// one line, whatever its length.
func TestAPlansCommandsCanBeTypedAsPrinted(t *testing.T) {
	text, err := os.ReadFile(lab)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), strings.Repeat("a long name, ", 10)+"it's \"mine\".yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	held := plan.Worker{Name: "old-1", Action: plan.Hold, Host: "pve1", VM: "9150", Hint: "gpuworker delete old-1"}
	for _, verb := range []string{"plan", "orphans"} {
		c := (&typed{engine: &fakeEngine{plan: planOf(held)}, seen: func(string) bool { return false }}).run(t, verb, "-f", file).wants(t, fault.ExitOK)
		if want := "gpuworker delete old-1 -f '" + strings.ReplaceAll(file, "'", `'\''`) + "'\n"; !strings.Contains(c.out, want) {
			t.Errorf("%s does not print %q:\n%s", verb, want, c.out)
		}
	}
}

// TestAPlanFileIsAppliedWithTheFlagsOfApply: how long to wait is no part of a plan.
func TestAPlanFileIsAppliedWithTheFlagsOfApply(t *testing.T) {
	data := realPlan(t, machine.JSON)
	plans, err := parsePlan(data)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "plan.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f := &fakeEngine{plan: plans.Plans[0], applied: done(plan.Create)}
	c := (&typed{engine: f}).run(t, "apply", "--plan", file, "--yes", "--wait-for-address", "90s", "-f", lab)
	c.wants(t, fault.ExitOK).asked(t, "plan allow-restart keep-recent", "apply wait 1m30s")
}
