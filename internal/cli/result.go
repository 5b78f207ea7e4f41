package cli

import (
	"cmp"
	"errors"
	"strings"

	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/internal/term"
)

// resultsView are the results of plans, for machines.
type resultsView struct {
	Plans   []*plan.Plan `json:"plans"`
	Summary plan.Summary `json:"summary"`
	Results []resultView `json:"results"`
	// Unseen are the hypervisors that could not be observed. Unknown are names of the
	// command that a worker there may have.
	Unseen  []engine.Unseen `json:"unseen,omitempty"`
	Unknown []string        `json:"unknown,omitempty"`
}

type resultView struct {
	Hypervisor string        `json:"hypervisor"`
	Seconds    float64       `json:"seconds"`
	Workers    []outcomeView `json:"workers"`
}

// outcomeView is the result of one worker, for machines.
type outcomeView struct {
	Worker     string        `json:"worker"`
	Action     plan.Action   `json:"action"`
	Outcome    string        `json:"outcome"`
	Host       string        `json:"host,omitempty"`
	Card       pci.CardRef   `json:"card,omitzero"`
	Model      string        `json:"model,omitempty"`
	VM         string        `json:"vm,omitempty"`
	Addresses  []string      `json:"addresses,omitempty"`
	Warnings   []string      `json:"warnings,omitempty"`
	GapSeconds float64       `json:"gapSeconds,omitempty"` // how long a replaced GPU worker did not run
	Step       plan.StepKind `json:"step,omitempty"`       // the step that failed
	Error      *errorView    `json:"error,omitempty"`
}

func (a *app) viewOutcome(o apply.Outcome, plans engine.Plans, hypervisor string) outcomeView {
	card, model := cardOf(plans, hypervisor, o.Worker)
	view := outcomeView{
		Worker: o.Worker, Action: o.Action, Outcome: outcomeWord(o), Host: o.Host, Card: card, Model: model, VM: o.VM,
		Addresses: o.Addresses, GapSeconds: o.Gap.Seconds(), Step: o.Step,
	}
	for _, warning := range o.Warnings {
		view.Warnings = append(view.Warnings, warning.Text)
	}
	if o.Err != nil {
		e := a.describe(o.Err)
		view.Error = &e
	}
	return view
}

func (a *app) viewResults(plans engine.Plans, applied engine.Applied) resultsView {
	view := resultsView{Plans: plans.Plans, Summary: sum(plans), Results: []resultView{}, Unseen: plans.Unseen, Unknown: plans.Unknown}
	for _, result := range applied.Results {
		r := resultView{Hypervisor: result.Hypervisor, Seconds: result.Took.Seconds(), Workers: []outcomeView{}}
		for _, o := range result.Outcomes {
			r.Workers = append(r.Workers, a.viewOutcome(o, plans, result.Hypervisor))
		}
		view.Results = append(view.Results, r)
	}
	return view
}

// printApplied prints the table of results, the failures with their fixes, and what to
// do next.
func (a *app) printApplied(plans engine.Plans, applied engine.Applied) {
	p := a.paint(a.Out)
	g := term.NewTable("worker", "host", "card", "VM", "addresses", "outcome")
	g.Right = []string{"VM"}
	for _, result := range applied.Results {
		for _, o := range result.Outcomes {
			g.Add(o.Worker, o.Host, cardText(cardOf(plans, result.Hypervisor, o.Worker)), o.VM, term.List(o.Addresses, term.MaxListed), outcomePainted(o, p))
		}
	}
	if g.Rows() == 0 {
		return
	}
	term.Fprintln(a.Out, "")
	a.printer().Table(g)
	a.printTroubles(applied, p)
	next := a.withFiles("gpuworker status")
	if interrupted(applied) {
		next = a.repeatCommand(plans)
	}
	a.say("\n%s  %s\n", p.Bold("Next:"), next)
}

// printTroubles prints the warnings and errors of the workers.
func (a *app) printTroubles(applied engine.Applied, p term.Paint) {
	for _, result := range applied.Results {
		for _, o := range result.Outcomes {
			for _, warning := range o.Warnings {
				term.Fprintf(a.Out, "\n%s %s\n", p.Yellow("!"), startingWith(o.Worker, warning.Text))
				a.printFix(warning.Fix, p)
			}
			if o.Err == nil {
				continue
			}
			term.Fprintf(a.Out, "\n%s %s\n", troubleMark(o, p), term.Indented(startingWith(o.Worker, troubleText(o)), "  "))
			a.printFix(fault.FixOf(o.Err), p)
		}
	}
}

// printFix prints what to do about a warning or an error; nothing for "".
func (a *app) printFix(fix string, p term.Paint) {
	if fix != "" {
		term.Fprintf(a.Out, "  %s %s\n", p.Bold("Next:"), term.Indented(a.advice(fix), "        "))
	}
}

func troubleMark(o apply.Outcome, p term.Paint) term.Text {
	if fault.Is(o.Err, fault.Interrupted) {
		return p.Yellow("■")
	}
	return p.Red("✗")
}

// troubleText returns a worker's error, with the step unless the error names it or its
// place. When a
// fault wraps another fault, the inner one is enough: it knows the place better.
func troubleText(o apply.Outcome) string {
	err := o.Err
	var outer, inner *fault.Error
	if errors.As(err, &outer) && errors.As(outer.Cause, &inner) {
		err = inner
	}
	text := err.Error()
	if o.Step != "" && !strings.Contains(text, string(o.Step)) && !strings.HasPrefix(text, o.Worker) { // which the table has with its step
		text = string(o.Step) + ": " + text
	}
	return text
}

// startingWith puts the worker's name before a text, unless the text begins with it.
func startingWith(worker, text string) string {
	if strings.HasPrefix(text, worker) {
		return text
	}
	return worker + ": " + text
}

// outcomeWord is the result of a worker in one or two words.
func outcomeWord(o apply.Outcome) string {
	switch {
	case fault.Is(o.Err, fault.Interrupted):
		return "interrupted"
	case o.Err != nil:
		return "failed"
	}
	word := map[plan.Action]string{
		plan.Create: "created", plan.Finish: "finished", plan.Update: "changed", plan.Restart: "restarted",
		plan.Start: "started", plan.Replace: "replaced", plan.Destroy: "destroyed", plan.Park: "parked",
		plan.Unpark: "unparked", plan.Adopt: "adopted", plan.Disown: "disowned", plan.Release: "card released",
	}[o.Action]
	if word == "" {
		word = string(o.Action)
	}
	return word
}

func outcomePainted(o apply.Outcome, p term.Paint) term.Text {
	word := outcomeWord(o)
	switch {
	case fault.Is(o.Err, fault.Interrupted):
		return p.Yellow("■ " + word + " at " + string(o.Step))
	case o.Err != nil:
		return p.Red("✗ " + word + " at " + string(o.Step))
	}
	if gap := seconds(o.Gap); gap != "" {
		word += ", away for " + gap
	}
	if len(o.Warnings) > 0 {
		return p.Yellow("! " + word + ", with a warning")
	}
	return p.Green("✓ " + word)
}

// cardText is a card in a table that has a column for the host: "Tesla T4 0000:03:00.0".
func cardText(card pci.CardRef, model string) string {
	return strings.TrimSpace(model + " " + card.BDF().String())
}

// cardOf returns the card of a worker in the plan, and its model.
func cardOf(plans engine.Plans, hypervisor, worker string) (card pci.CardRef, model string) {
	for _, p := range plans.Plans {
		if p.Hypervisor != hypervisor {
			continue
		}
		for w := range p.Workers() {
			if w.Name == worker && !w.Card.IsZero() {
				return w.Card, w.Model
			}
		}
	}
	return pci.CardRef{}, ""
}

// interrupted reports whether the operator stopped the work on a worker.
func interrupted(applied engine.Applied) bool {
	for _, result := range applied.Results {
		for _, o := range result.Failed() {
			if fault.Is(o.Err, fault.Interrupted) {
				return true
			}
		}
	}
	return false
}

// maxCommand is the longest command line, in bytes, that is printed: a shortened one
// would be another command.
const maxCommand = 2 << 10

// repeatCommand returns the command that continues this one: the same command line. A replace
// also names the VMs that it destroys, so that it can safely be run much later.
func (a *app) repeatCommand(plans engine.Plans) term.Text {
	line := "gpuworker"
	for _, arg := range a.args {
		word, ok := shell.Argument(arg)
		if !ok {
			return "run the same command again"
		}
		line += " " + word
	}
	for _, vm := range oldVMs(plans, a.replacedByName) {
		line += " --vm " + vm
	}
	if len(line) > maxCommand {
		return "run the same command again"
	}
	return term.Line(line)
}

// oldVMs returns the UUIDs of the VMs that a replace of the named workers destroys or
// destroyed, one for each name; nil when one of them is unknown.
func oldVMs(plans engine.Plans, names []string) []string {
	old := map[string]string{} // by worker
	for _, w := range workersOf(plans) {
		if w.Record != nil {
			old[w.Name] = cmp.Or(w.Record.Replacing, w.Record.Replaced)
		}
	}
	var vms []string
	for _, name := range names {
		if !uuidForm.MatchString(old[name]) {
			return nil
		}
		vms = append(vms, old[name])
		delete(old, name) // a name given twice has no UUID the second time
	}
	return vms
}
