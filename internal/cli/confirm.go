package cli

import (
	"bufio"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/term"
)

// applyMode says how the plan of a verb is confirmed and applied.
type applyMode struct {
	yes      bool // --yes
	parallel int  // --parallel
	// starts is set if the verb starts VMs: then the two waits are flags.
	starts      bool
	addressWait time.Duration
	guestWait   time.Duration
	// question is asked on a terminal; "" never asks.
	question string
	// dryRunByDefault: without --yes and without an answer, the command is a dry run.
	dryRunByDefault bool
	dryRunOnly      bool // --dry-run
	// endVerb is set if a worker that does not exist counts as done: the verb for the
	// message, "delete".
	endVerb string
}

// applyModes are the modes of the verbs.
var applyModes = map[plan.Verb]applyMode{
	plan.ApplyDocuments: {question: "Apply this plan?", starts: true},
	plan.ReplaceWorkers: {question: "Replace?", dryRunByDefault: true, starts: true},
	plan.DeleteWorkers:  {dryRunByDefault: true, endVerb: "delete"},
	plan.ParkWorkers:    {question: "Park?"},
	plan.UnparkWorkers:  {question: "Unpark?", starts: true},
	plan.AdoptVM:        {question: "Adopt this VM?"},
	plan.AcceptGPU:      {question: "Is this the card that the worker is to have from now on?"},
	plan.DisownWorkers:  {question: "Disown?", endVerb: "disown"},
	plan.ReleaseOrphans: {dryRunByDefault: true},
}

// modeOf returns the mode of a verb, without flags of the command line.
func modeOf(verb plan.Verb) *applyMode {
	m := applyModes[verb]
	return &m
}

func (a *app) addModeFlags(cmd *cobra.Command, m *applyMode) {
	about := "do it without asking, for scripts"
	switch {
	case m.dryRunByDefault && m.question == "":
		about = "do it; without --yes it is a dry run"
	case m.dryRunByDefault:
		about = "do it without asking; without --yes and without a terminal it is a dry run"
	}
	cmd.Flags().BoolVar(&m.yes, "yes", false, about)
	cmd.Flags().BoolVar(&m.dryRunOnly, "dry-run", false, "only show what would be done; -o json or yaml writes a plan for gpuworker apply --plan")
	cmd.Flags().IntVar(&m.parallel, "parallel", 0, "process at most `N` workers at once, without those that wait for the hypervisor\n(0: the default)")
	if m.starts {
		cmd.Flags().DurationVar(&m.addressWait, "wait-for-address", apply.DefaultAddressWait, "wait `TIME` for the address that the guest agent of a started VM reports, then warn\n(0: do not wait)")
		cmd.Flags().DurationVar(&m.guestWait, "wait-for-guest", apply.DefaultGuestWait, "wait `TIME` for gpuworker-guest to install and prove the driver, then fail\n(0: do not wait, a later apply proves it)")
		a.addGuestDirFlag(cmd)
	}
}

// check refuses flags that contradict each other.
func (m applyMode) check() error {
	switch {
	case m.parallel < 0:
		return usage("--parallel must not be negative, it is %d", m.parallel)
	case m.addressWait < 0:
		return usage("--wait-for-address must not be negative, it is %s", m.addressWait)
	case m.guestWait < 0:
		return usage("--wait-for-guest must not be negative, it is %s", m.guestWait)
	case m.yes && m.dryRunOnly:
		return usage("--yes does it and --dry-run does not: write one of them")
	}
	return nil
}

// confirmAndApply shows the plans, asks for confirmation, carries them out and prints
// the results.
func (a *app) confirmAndApply(ctx context.Context, e session, plans engine.Plans, m applyMode) error {
	return addUnseen(a.applyPlans(ctx, e, plans, m), plans.Unseen, plans.Unknown)
}

// applyPlans is confirmAndApply without the errors of hypervisors that could not be
// observed.
func (a *app) applyPlans(ctx context.Context, e session, plans engine.Plans, m applyMode) error {
	if err := m.check(); err != nil {
		return err
	}
	if a.forPeople() {
		if err := a.showPlans(plans); err != nil {
			return err
		}
	}
	// an empty plan with waiting workers is applied: apply waits for their clones
	if empty(plans) && (blocked(plans) || len(workersWith(plans, plan.Wait)) == 0) {
		return a.nothingToDo(plans, m)
	}
	if a.isDry(m) {
		return a.endDry(plans, m)
	}
	if !m.yes {
		if !a.mayAsk(m) {
			return &fault.Error{
				Kind: fault.Invalid, Why: "confirmation is required, but " + a.whyNotAsked(m) + ": nothing was changed",
				Fix: "use --yes to confirm, or --dry-run to see what would be done",
			}
		}
		yes := a.confirm(ctx, m.question, plans)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !yes {
			a.say("Nothing was changed.\n")
			return silentExit(fault.ExitFailed)
		}
	}
	return a.carryOut(ctx, e, plans, m)
}

// nothingToDo ends a command whose plans have no steps.
func (a *app) nothingToDo(plans engine.Plans, m applyMode) error {
	if err := a.printNothingDone(plans, m); err != nil {
		return err
	}
	total := sum(plans)
	if total.Held > 0 && total.Refused == 0 && !blocked(plans) {
		a.say("\nNothing was changed: some differences need your decision; the lines with → say how.\n")
		return nil
	}
	a.say("\nNothing was changed.\n")
	if total.Refused > 0 {
		return silentExit(fault.ExitCheck)
	}
	return nil
}

// printNothingDone prints the empty result for -o json and yaml, or the plan of a dry
// run.
func (a *app) printNothingDone(plans engine.Plans, m applyMode) error {
	switch {
	case a.forPeople():
		return nil
	case a.isDry(m):
		return a.showPlans(plans)
	}
	return a.machine(a.viewResults(plans, engine.Applied{}))
}

// whyNotAsked says why the command cannot ask for confirmation.
func (a *app) whyNotAsked(m applyMode) string {
	if a.CanAsk && m.question != "" {
		return "the output is for machines"
	}
	return "stdin is not a terminal"
}

// mayAsk reports whether the command can ask for confirmation.
func (a *app) mayAsk(m applyMode) bool { return m.question != "" && a.CanAsk && a.forPeople() }

// isDry reports whether the command only shows what would happen.
func (a *app) isDry(m applyMode) bool {
	return m.dryRunOnly || m.dryRunByDefault && !m.yes && !a.mayAsk(m)
}

// endDry ends a dry run.
func (a *app) endDry(plans engine.Plans, m applyMode) error {
	if !a.forPeople() {
		return a.showPlans(plans)
	}
	next := "add --yes to do it."
	if m.dryRunOnly {
		next = "nothing was changed."
	}
	term.Fprintln(a.Out, "\nThis was a dry run: "+term.Line(next))
	return nil
}

// confirm asks the question. Only "y" and "yes" confirm.
func (a *app) confirm(ctx context.Context, question string, plans engine.Plans) bool {
	p := a.paint(a.Out)
	danger := p.Red(dangers(plans))
	if danger != "" {
		danger = " " + danger
	}
	term.Fprintf(a.Out, "\n%s%s [y/N] ", p.Bold(question), danger)
	answer := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(a.In).ReadString('\n')
		if err != nil {
			line = "" // an answer without Enter does not confirm
		}
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		term.Fprintln(a.Out, "")
		return false
	case given := <-answer:
		term.Fprintln(a.Out, "")
		return given == "y" || given == "yes"
	}
}

// dangers names the workers that the plans destroy or interrupt: "It destroys
// workers-4 and restarts gpu-workers-1."
func dangers(plans engine.Plans) string {
	var parts []string
	add := func(verb string, actions ...plan.Action) {
		var names []string
		for _, worker := range workersWith(plans, actions...) {
			names = append(names, worker.Name)
		}
		if len(names) > 0 {
			parts = append(parts, verb+" "+strings.Join(names, ", "))
		}
	}
	add("destroys", plan.Destroy)
	add("replaces", plan.Replace)
	add("restarts", plan.Restart)
	add("stops", plan.Park)
	if len(parts) == 0 {
		return ""
	}
	return "It " + strings.Join(parts, " and ") + "."
}

// carryOut applies the plans and reports.
func (a *app) carryOut(ctx context.Context, e session, plans engine.Plans, m applyMode) error {
	if !a.logs() {
		a.say("\n")
	}
	shown := a.startProgress(workersWithSteps(plans))
	options := engine.ApplyOptions{Progress: shown.event, Parallel: m.parallel}
	if m.starts {
		options.AddressWait, options.GuestWait = &m.addressWait, &m.guestWait
	}
	applied, err := e.engine.Apply(ctx, plans, options)
	a.finish(shown)
	if a.forPeople() {
		a.printApplied(plans, applied)
	} else if printErr := a.machine(a.viewResults(plans, applied)); printErr != nil {
		err = errors.Join(err, printErr)
	}
	return a.ending(plans, applied, err)
}

// workersWithSteps returns the names of the workers that have steps.
func workersWithSteps(plans engine.Plans) []string {
	var names []string
	for _, p := range plans.Plans {
		for worker := range p.Workers() {
			if len(worker.Steps) > 0 {
				names = append(names, worker.Name)
			}
		}
	}
	return names
}

// ending returns the error of a command after its plans were carried out. Errors of
// single workers were printed with the results, so they only set the exit code.
func (a *app) ending(plans engine.Plans, applied engine.Applied, err error) error {
	if err == nil {
		if sum(plans).Refused > 0 {
			return silentExit(fault.ExitCheck)
		}
		return nil
	}
	var rest []error
	for _, part := range split(err) {
		if !shownInResults(part, applied) {
			rest = append(rest, part)
		}
	}
	if len(rest) > 0 {
		return errors.Join(rest...)
	}
	return silentExit(exitCode(err))
}

func shownInResults(err error, applied engine.Applied) bool {
	for _, result := range applied.Results {
		for _, outcome := range result.Failed() {
			if errors.Is(err, outcome.Err) {
				return true
			}
		}
	}
	return false
}
