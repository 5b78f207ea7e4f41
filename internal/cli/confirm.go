package cli

import (
	"bufio"
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/term"
)

// applyMode is how a verb has its plan confirmed and carried out.
type applyMode struct {
	yes      bool // --yes
	parallel int  // --parallel
	// question is asked on a terminal; "" never asks.
	question string
	// dryRun: without --yes and without an answer, the command is a dry run.
	dryRunByDefault bool
	dryRunOnly      bool // --dry-run
	// ends is what the command does to a worker ("delete") when a worker that does not
	// exist counts as done; else "".
	endVerb string
}

// applyModes are the modes of the verbs.
var applyModes = map[plan.Verb]applyMode{
	plan.ApplyDocuments: {question: "Apply this plan?"},
	plan.ReplaceWorkers: {question: "Replace?", dryRunByDefault: true},
	plan.DeleteWorkers:  {dryRunByDefault: true, endVerb: "delete"},
	plan.ParkWorkers:    {question: "Park?"},
	plan.UnparkWorkers:  {question: "Unpark?"},
	plan.AdoptVM:        {question: "Adopt this VM?"},
	plan.DisownWorkers:  {question: "Disown?", endVerb: "disown"},
	plan.ReleaseOrphans: {dryRunByDefault: true},
}

// modeOf returns the mode of a verb, without flags of the command line.
func modeOf(verb plan.Verb) *applyMode {
	s := applyModes[verb]
	return &s
}

func (s *applyMode) addFlags(cmd *cobra.Command) {
	about := "do it without asking, for scripts"
	if s.dryRunByDefault {
		about = "do it; without --yes it is a dry run"
	}
	cmd.Flags().BoolVar(&s.yes, "yes", false, about)
	cmd.Flags().BoolVar(&s.dryRunOnly, "dry-run", false, "only show what would be done; with -o json or yaml, as a plan for gpuworker apply --plan")
	cmd.Flags().IntVar(&s.parallel, "parallel", 0, "process at most `N` workers at once (0: the default)")
}

// check refuses flags that contradict each other.
func (s applyMode) check() error {
	switch {
	case s.parallel < 0:
		return usage("--parallel must not be negative, it is %d", s.parallel)
	case s.yes && s.dryRunOnly:
		return usage("--yes does it and --dry-run does not: write one of them")
	}
	return nil
}

// confirmAndApply shows the plans, asks for confirmation, carries them out and prints
// the results.
func (a *app) confirmAndApply(ctx context.Context, e session, plans engine.Plans, s applyMode) error {
	return addUnseen(a.applyShown(ctx, e, plans, s), plans.Unseen, plans.Unknown)
}

// applyShown does this for the hypervisors that could be observed.
func (a *app) applyShown(ctx context.Context, e session, plans engine.Plans, s applyMode) error {
	if err := s.check(); err != nil {
		return err
	}
	if a.forPeople() {
		if err := a.showPlans(plans); err != nil {
			return err
		}
	}
	if empty(plans) && (blocked(plans) || len(workersWith(plans, plan.Wait)) == 0) {
		return a.nothingToDo(plans, s)
	}
	if a.isDry(s) {
		return a.endDry(plans, s)
	}
	if !s.yes {
		if !a.mayAsk(s) {
			return &fault.Error{
				Kind: fault.Invalid, Why: "confirmation is required, but " + a.whyNotAsked(s) + ": nothing was changed",
				Fix: "use --yes to confirm, or --dry-run to see what would be done",
			}
		}
		yes := a.confirm(ctx, s.question, plans)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !yes {
			a.say("Nothing was changed.\n")
			return silentExit(fault.ExitFailed)
		}
	}
	return a.carryOut(ctx, e, plans, s)
}

// nothingToDo ends a command whose plans have no steps.
func (a *app) nothingToDo(plans engine.Plans, s applyMode) error {
	if err := a.machineNothing(plans, s); err != nil {
		return err
	}
	total := sum(plans)
	if total.Held > 0 && total.Refused == 0 && !blocked(plans) {
		a.say("\nNothing was changed: the differences wait for a person; the plan says for what.\n")
		return nil
	}
	a.say("\nNothing was changed.\n")
	if total.Refused > 0 {
		return silentExit(fault.ExitCheck)
	}
	return nil
}

// machineNothing prints for machines that nothing was done, or the plan of a dry run.
func (a *app) machineNothing(plans engine.Plans, s applyMode) error {
	switch {
	case a.forPeople():
		return nil
	case a.isDry(s):
		return a.showPlans(plans)
	}
	return a.machine(a.viewResults(plans, engine.Applied{}))
}

// whyNotAsked says why the command cannot ask for confirmation.
func (a *app) whyNotAsked(s applyMode) string {
	if a.CanAsk && s.question != "" {
		return "the output is for machines"
	}
	return "stdin is not a terminal"
}

// mayAsk reports whether the command can ask for confirmation.
func (a *app) mayAsk(s applyMode) bool { return s.question != "" && a.CanAsk && a.forPeople() }

// isDry reports whether the command only shows what would happen.
func (a *app) isDry(s applyMode) bool {
	return s.dryRunOnly || s.dryRunByDefault && !s.yes && !a.mayAsk(s)
}

// endDry ends a dry run.
func (a *app) endDry(plans engine.Plans, s applyMode) error {
	if !a.forPeople() {
		return a.showPlans(plans)
	}
	next := "add --yes to do it."
	if s.dryRunOnly {
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
		line, _ := bufio.NewReader(a.In).ReadString('\n') // an error means no
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
func (a *app) carryOut(ctx context.Context, e session, plans engine.Plans, s applyMode) error {
	if !a.logs() {
		a.say("\n")
	}
	shown := a.startProgress(workersWithSteps(plans))
	applied, err := e.engine.Apply(ctx, plans, engine.ApplyOptions{Progress: shown.event, Parallel: s.parallel})
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
