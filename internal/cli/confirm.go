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

// spending is how a plan is carried out: all verbs that change something go
// through it.
type manner struct {
	yes      bool
	parallel int
	// question is asked on a terminal; "" never asks.
	question string
	// dryRun says that without --yes and without an answer the command only shows
	// what would happen.
	dryRun bool
	// only says that a person asked for a dry run.
	only bool
	// ends is the word for what the command does when a worker of which nothing is there
	// is what it wants; else "".
	ends string
}

// manners are how each verb shows its plan and has it confirmed.
var manners = map[plan.Verb]manner{
	plan.ApplyDocuments: {question: "Apply this plan?"},
	plan.ReplaceWorkers: {question: "Replace?", dryRun: true},
	plan.DeleteWorkers:  {dryRun: true, ends: "delete"},
	plan.ParkWorkers:    {question: "Park?"},
	plan.UnparkWorkers:  {question: "Unpark?"},
	plan.AdoptVM:        {question: "Adopt this VM?"},
	plan.DisownWorkers:  {question: "Disown?", ends: "disown"},
	plan.ReleaseOrphans: {dryRun: true},
}

// mannerOf is how a verb does it, without the flags of the command line.
func mannerOf(verb plan.Verb) *manner {
	s := manners[verb]
	return &s
}

func (s *manner) addFlags(cmd *cobra.Command) {
	about := "do it without asking, for scripts"
	if s.dryRun {
		about = "do it; without --yes it is a dry run"
	}
	cmd.Flags().BoolVar(&s.yes, "yes", false, about)
	cmd.Flags().BoolVar(&s.only, "dry-run", false, "only show what would be done; with -o json or yaml, as a plan for gpuworker apply --plan")
	cmd.Flags().IntVar(&s.parallel, "parallel", 0, "process at most `N` workers at once (0: the default)")
}

// check refuses flags that contradict each other.
func (s manner) check() error {
	switch {
	case s.parallel < 0:
		return usage("--parallel must not be negative, it is %d", s.parallel)
	case s.yes && s.only:
		return usage("--yes does it and --dry-run does not: write one of them")
	}
	return nil
}

// confirmAndApply shows the plans, asks where a person has to decide, carries them out
// and says what became of them.
func (a *app) confirmAndApply(ctx context.Context, e session, plans engine.Plans, s manner) error {
	return despite(a.applyShown(ctx, e, plans, s), plans.Unseen, plans.Unknown)
}

// spendSeen does that on the hypervisors that could be seen.
func (a *app) applyShown(ctx context.Context, e session, plans engine.Plans, s manner) error {
	if err := s.check(); err != nil {
		return err
	}
	if a.forPeople() {
		if err := a.showPlans(plans); err != nil {
			return err
		}
	}
	if empty(plans) && (blocked(plans) || len(having(plans, plan.Wait)) == 0) {
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
			return verdict(fault.ExitFailed)
		}
	}
	return a.carryOut(ctx, e, plans, s)
}

// nothingToDo ends a command whose plan has no steps.
func (a *app) nothingToDo(plans engine.Plans, s manner) error {
	if err := a.machineNothing(plans, s); err != nil {
		return err
	}
	total := sum(plans)
	if total.Held > 0 && total.Refused == 0 && !blocked(plans) {
		a.say("\nNothing was changed: what differs waits for a person, as the plan says.\n")
		return nil
	}
	a.say("\nNothing was changed.\n")
	if total.Refused > 0 {
		return verdict(fault.ExitCheck)
	}
	return nil
}

// machineNothing writes for machines that nothing was done; of a dry run the plan.
func (a *app) machineNothing(plans engine.Plans, s manner) error {
	switch {
	case a.forPeople():
		return nil
	case a.isDry(s):
		return a.showPlans(plans)
	}
	return a.machine(a.viewSpent(plans, engine.Applied{}))
}

// whyNotAsked says why nobody can be asked.
func (a *app) whyNotAsked(s manner) string {
	if a.Asks && s.question != "" {
		return "the output is for machines"
	}
	return "stdin is not a terminal"
}

// mayAsk reports whether a person can be asked.
func (a *app) mayAsk(s manner) bool { return s.question != "" && a.Asks && a.forPeople() }

// isDry reports whether the command only shows what would happen.
func (a *app) isDry(s manner) bool { return s.only || s.dryRun && !s.yes && !a.mayAsk(s) }

// endDry ends a dry run.
func (a *app) endDry(plans engine.Plans, s manner) error {
	if !a.forPeople() {
		return a.showPlans(plans)
	}
	next := "add --yes to do it."
	if s.only {
		next = "nothing was changed."
	}
	term.Fprintln(a.Out, "\nThis was a dry run: "+term.Line(next))
	return nil
}

// confirm asks, and takes only a clear yes for one.
func (a *app) confirm(ctx context.Context, question string, plans engine.Plans) bool {
	p := a.paint(a.Out)
	danger := p.Red(dangers(plans))
	if danger != "" {
		danger = " " + danger
	}
	term.Fprintf(a.Out, "\n%s%s [y/N] ", p.Bold(question), danger)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(a.In).ReadString('\n') // no line is no yes
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

// dangers names what a yes would take away or interrupt: "It destroys workers-4
// and restarts gpu-workers-1."
func dangers(plans engine.Plans) string {
	var parts []string
	add := func(verb string, actions ...plan.Action) {
		var names []string
		for _, worker := range having(plans, actions...) {
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
func (a *app) carryOut(ctx context.Context, e session, plans engine.Plans, s manner) error {
	if a.forPeople() {
		a.say("\n")
	}
	shown := a.startProgress(atWork(plans))
	applied, err := e.engine.Apply(ctx, plans, engine.ApplyOptions{Progress: shown.event, Parallel: s.parallel})
	a.finish(shown)
	if a.forPeople() {
		a.printApplied(plans, applied)
	} else if printErr := a.machine(a.viewSpent(plans, applied)); printErr != nil {
		err = errors.Join(err, printErr)
	}
	return a.ending(plans, applied, err)
}

// atWork are the names of the workers that have something to be done.
func atWork(plans engine.Plans) []string {
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

// ending is how a command ends after its plan was carried out. Errors of single
// workers were printed with the results and only give the exit code.
func (a *app) ending(plans engine.Plans, applied engine.Applied, err error) error {
	if err == nil {
		if sum(plans).Refused > 0 {
			return verdict(fault.ExitCheck)
		}
		return nil
	}
	var rest []error
	for _, part := range split(err) {
		if !toldInResults(part, applied) {
			rest = append(rest, part)
		}
	}
	if len(rest) > 0 {
		return errors.Join(rest...)
	}
	return verdict(exitCode(err))
}

func toldInResults(err error, applied engine.Applied) bool {
	for _, result := range applied.Results {
		for _, outcome := range result.Failed() {
			if errors.Is(err, outcome.Err) {
				return true
			}
		}
	}
	return false
}
