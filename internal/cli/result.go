package cli

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/apply"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/internal/term"
)

// spentView is what became of plans, for machines.
type spentView struct {
	Plans   []*plan.Plan `json:"plans"`
	Summary plan.Summary `json:"summary"`
	Results []resultView `json:"results"`
	// Unseen are hypervisors that could not be looked at, and Unknown the names that
	// may be of a worker there.
	Unseen  []engine.Unseen `json:"unseen,omitempty"`
	Unknown []string        `json:"unknown,omitempty"`
}

type resultView struct {
	Hypervisor string        `json:"hypervisor"`
	Seconds    float64       `json:"seconds"`
	Workers    []outcomeView `json:"workers"`
}

// outcomeView is what became of one worker, for machines.
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
	GapSeconds float64       `json:"gapSeconds,omitempty"` // a replaced GPU worker was away
	Step       plan.StepKind `json:"step,omitempty"`       // that failed
	Error      *errorView    `json:"error,omitempty"`
}

func (a *app) viewOutcome(o apply.Outcome, plans engine.Plans, hypervisor string) outcomeView {
	card, model := cardOf(plans, hypervisor, o.Worker)
	view := outcomeView{
		Worker: o.Worker, Action: o.Action, Outcome: outcomeWord(o), Host: o.Host, Card: card, Model: model, VM: o.VM,
		Addresses: o.Addresses, Warnings: o.Warnings, GapSeconds: o.Gap.Seconds(), Step: o.Step,
	}
	if o.Err != nil {
		e := a.describe(o.Err)
		view.Error = &e
	}
	return view
}

func (a *app) viewSpent(plans engine.Plans, applied engine.Applied) spentView {
	view := spentView{Plans: plans.Plans, Summary: sum(plans), Results: []resultView{}, Unseen: plans.Unseen, Unknown: plans.Unknown}
	for _, result := range applied.Results {
		r := resultView{Hypervisor: result.Hypervisor, Seconds: result.Took.Seconds(), Workers: []outcomeView{}}
		for _, o := range result.Outcomes {
			r.Workers = append(r.Workers, a.viewOutcome(o, plans, result.Hypervisor))
		}
		view.Results = append(view.Results, r)
	}
	return view
}

// printApplied prints the table of results, the failures with their way out,
// and what to do next.
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
		next = a.again(plans)
	}
	a.say("\n%s  %s\n", p.Bold("Next:"), next)
}

// printTroubles prints the warnings and failures behind the words of the table.
func (a *app) printTroubles(applied engine.Applied, p term.Paint) {
	for _, result := range applied.Results {
		for _, o := range result.Outcomes {
			for _, warning := range o.Warnings {
				term.Fprintf(a.Out, "\n%s %s\n", p.Yellow("!"), startingWith(o.Worker, warning))
			}
			if o.Err == nil {
				continue
			}
			term.Fprintf(a.Out, "\n%s %s\n", troubleMark(o, p), term.Indented(startingWith(o.Worker, troubleText(o)), "  "))
			if fix := fault.FixOf(o.Err); fix != "" {
				term.Fprintf(a.Out, "  %s %s\n", p.Bold("Next:"), term.Indented(a.advice(fix), "        "))
			}
		}
	}
}

func troubleMark(o apply.Outcome, p term.Paint) term.Text {
	if fault.Is(o.Err, fault.Interrupted) {
		return p.Yellow("■")
	}
	return p.Red("✗")
}

// troubleText is what stopped a worker: the error, with the step when it does
// not name it. A fault around another that knows the place better adds nothing.
func troubleText(o apply.Outcome) string {
	err := o.Err
	var outer, inner *fault.Error
	if errors.As(err, &outer) && errors.As(outer.Cause, &inner) {
		err = inner
	}
	text := err.Error()
	if o.Step != "" && !strings.Contains(text, string(o.Step)) {
		text = string(o.Step) + ": " + text
	}
	return text
}

// startingWith puts the worker's name before a text that does not begin with
// it already.
func startingWith(worker, text string) string {
	if strings.HasPrefix(text, worker) {
		return text
	}
	return worker + ": " + text
}

// outcomeWord says in a word or two what became of a worker.
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

// cardText is a card in a table beside the name of its host: "Tesla T4 0000:03:00.0".
func cardText(card pci.CardRef, model string) string {
	return strings.TrimSpace(model + " " + card.BDF().String())
}

// cardOf is the card of a worker in the plan, and its model.
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

// maxCommand is the longest command line, in bytes, that is shown: one that is cut
// off would be another command.
const maxCommand = 2 << 10

// again is this very command line. A replace names the VMs that it began with, so
// that it stays right however long nobody runs it.
func (a *app) again(plans engine.Plans) term.Text {
	line := "gpuworker"
	for _, arg := range a.args {
		word, ok := shell.Argument(arg)
		if !ok {
			return "run the same command again"
		}
		line += " " + word
	}
	for _, vm := range oldVMs(plans, a.renamed) {
		line += " --vm " + vm
	}
	if len(line) > maxCommand {
		return "run the same command again"
	}
	return term.Line(line)
}

// oldVMs are the UUIDs of the VMs that a replace of the named workers destroys, or
// destroyed, one for each; nil when that of one is not known.
func oldVMs(plans engine.Plans, names []string) []string {
	var vms []string
	for i, name := range names {
		old := ""
		for _, w := range workersOf(plans) {
			if w.Name == name && w.Record != nil {
				old = cmp.Or(w.Record.Replacing, w.Record.Replaced)
			}
		}
		if !uuidForm.MatchString(old) || slices.Contains(names[:i], name) {
			return nil
		}
		vms = append(vms, old)
	}
	return vms
}
