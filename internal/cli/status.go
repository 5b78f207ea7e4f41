package cli

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/phrase"
	"github.com/gpuworker/gpuworker/internal/status"
	"github.com/gpuworker/gpuworker/internal/term"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status [NAME…]",
		Short: "Show the state of each worker, and what to do next",
		Long: `Show every worker that is declared or that gpuworker owns: its host, card, VM,
addresses and state. With names, show only those workers, each with the results
of its checks.`,
		Example: `  gpuworker status -f lab.yaml
  gpuworker status gpu-workers-1 -f lab.yaml`,
		Args:              cobra.ArbitraryArgs,
		RunE:              verb(a.status),
		ValidArgsFunction: a.complete(workerNames),
	}
}

func (a *app) status(ctx context.Context, names []string) error {
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	rows, unseen, err := e.engine.Status(ctx, e.documents, names)
	if err != nil {
		return err
	}
	rows, missing := named(rows, names)
	var unknown []string
	missing = slices.DeleteFunc(missing, func(name string) bool {
		may := engine.MayBeUnseen(e.documents, unseen, name)
		if may {
			unknown = append(unknown, name)
		}
		return may
	})
	notFound := notFoundError(missing)
	if len(rows) > 0 || len(names) == 0 || !a.forPeople() && notFound == nil {
		if err := a.showStatus(rows, unseen, names); err != nil {
			return err
		}
		if notFound != nil {
			notFound = addUndone(notFound, nil)
		}
	}
	return addUnseen(notFound, unseen, unknown)
}

func (a *app) showStatus(rows []status.Row, unseen []engine.Unseen, names []string) error {
	if !a.forPeople() {
		return a.machineList("workers", rows, unseen)
	}
	switch {
	case len(rows) > 0:
	case len(unseen) > 0:
		term.Fprintln(a.Out, "No workers on the hypervisors that answered.")
		return nil
	default:
		term.Fprintln(a.Out, "No worker is declared, and none exists.")
		return nil
	}
	p := a.paint(a.Out)
	a.printer().Table(statusTable(rows, p))
	if len(names) > 0 {
		a.printConditions(rows, p)
	}
	a.printNext(rows, p)
	return nil
}

// named returns the rows of the named workers, and the names that no worker has.
// Without names it returns all rows.
func named(rows []status.Row, names []string) (some []status.Row, missing []string) {
	chosen := []status.Row{} // for machines a list, never null
	asked, there := map[string]bool{}, map[string]bool{}
	for _, name := range names {
		asked[name] = true
	}
	for _, row := range rows {
		if len(names) == 0 || asked[row.Worker] {
			chosen = append(chosen, row)
			there[row.Worker] = true
		}
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		if !there[name] {
			missing = append(missing, name)
		}
	}
	return chosen, missing
}

// notFoundError returns the error for names that no worker has; nil when there are none.
func notFoundError(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return &fault.Error{
		Kind: fault.NotFound, Doing: "find " + quoteAll(names),
		Why: "not declared, and no VM or claim has that name", Fix: "gpuworker status lists the workers",
	}
}

func statusTable(rows []status.Row, p term.Paint) *term.Table {
	g := term.NewTable("worker", "host", "card", "VM", "addresses", "state")
	g.Right = []string{"VM"}
	for _, r := range rows {
		card := cardText(r.Card, r.Model)
		g.AddNoted(r.Note, r.Worker, r.Host, card, r.VM, term.List(r.Addresses, term.MaxListed), statePainted(r, p))
	}
	return g
}

func statePainted(r status.Row, p term.Paint) term.Text {
	word := string(r.State)
	switch {
	case r.State == status.Running && r.Note == "":
		return p.Green(word)
	case r.State == status.Refused:
		return p.Red(word)
	case r.State == status.Parked && r.Note == "":
		return p.Dim(word)
	}
	return p.Yellow(word)
}

// conditionMark returns the symbol of a condition's status.
func conditionMark(s status.Status, p term.Paint) term.Text {
	switch s {
	case status.True:
		return p.Green("✓")
	case status.False:
		return p.Red("✗")
	default:
		return p.Dim("·")
	}
}

func (a *app) printConditions(rows []status.Row, p term.Paint) {
	for _, r := range rows {
		term.Fprintf(a.Out, "\n%s · %s · %s\n", p.Bold(r.Worker), r.Pool, r.Lifecycle)
		for _, c := range r.Conditions {
			text := term.Clean(c.Message)
			if text == "" {
				text = p.Dim(c.Reason)
			}
			term.Fprintf(a.Out, " %s %-10s  %s\n", conditionMark(c.Status, p), c.Type, text)
		}
	}
}

// printNext prints each suggestion once, with the workers that it is for.
func (a *app) printNext(rows []status.Row, p term.Paint) {
	var order []string
	workers := map[string][]string{}
	for _, r := range rows {
		if r.Next == "" {
			continue
		}
		if workers[r.Next] == nil {
			order = append(order, r.Next)
		}
		workers[r.Next] = append(workers[r.Next], r.Worker)
	}
	head := "\n" + p.Bold("Next:")
	for _, next := range order {
		a.say("%s  %s  %s\n", head, a.withFiles(next), p.Dim("("+phrase.Several(workers[next])+")"))
		head = "     "
	}
}
