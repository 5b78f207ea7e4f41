package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/term"
)

func (a *app) checkCommand() *cobra.Command {
	verbose := false
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check that everything the documents need is present",
		Long: `Check the hypervisors layer by layer: API, access, hosts, cards, templates,
storages, network, capacity, VMs. Nothing is changed.

  ✓ passes   ✗ fails   ? unknown: could not be checked, not a pass   · a note

"gpuworker explain NAME" explains the finding with that name. The exit code is 3
if a check fails.`,
		Example: `  gpuworker check -f lab.yaml
  gpuworker check -f lab.yaml --verbose`,
		RunE: verb(func(ctx context.Context, _ []string) error { return a.check(ctx, verbose) }),
	}
	cmd.Flags().BoolVar(&verbose, "verbose", false, "also show each check that passes, and all places of a finding")
	return cmd
}

// checkView is the result of a check for machines.
type checkView struct {
	Hypervisors []checkedHypervisor `json:"hypervisors"`
	Summary     finding.Tally       `json:"summary"`
	Unseen      []engine.Unseen     `json:"unseen,omitempty"`
}

type checkedHypervisor struct {
	Name     string            `json:"name"`
	Product  string            `json:"product"`
	Version  string            `json:"version"`
	Findings []finding.Finding `json:"findings"`
}

func (a *app) check(ctx context.Context, verbose bool) error {
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	seen, err := e.engine.Check(ctx, e.documents)
	if err != nil {
		return err
	}
	hypervisors := seen.Hypervisors
	view := checkView{Hypervisors: []checkedHypervisor{}, Unseen: seen.Unseen}
	for _, hypervisor := range hypervisors {
		view.Summary.Add(hypervisor.Findings)
		view.Hypervisors = append(view.Hypervisors, checkedHypervisor{
			Name: hypervisor.Name, Product: hypervisor.Snapshot.Product, Version: hypervisor.Snapshot.Version, Findings: hypervisor.Findings,
		})
	}
	if a.forPeople() {
		a.printCheck(hypervisors, view.Summary, verbose)
	} else if err := a.machine(view); err != nil {
		return err
	}
	if view.Summary.Fail > 0 {
		err = silentExit(fault.ExitCheck)
	}
	return addUnseen(err, seen.Unseen, nil)
}

func (a *app) printCheck(hypervisors []engine.Hypervisor, sum finding.Tally, verbose bool) {
	p := a.printer()
	for _, hypervisor := range hypervisors {
		term.Fprintf(a.Out, "%s\n\n", headline(hypervisor, p.Paint))
		p.Findings(printedFindings(hypervisor.Findings, verbose), verbose)
		term.Fprintln(a.Out, "")
	}
	term.Fprintln(a.Out, summaryLine(sum, p.Paint))
}

// printedFindings returns findings with their places. Unless verbose, findings that are
// the same in many places are joined.
func printedFindings(all []finding.Finding, verbose bool) []term.Finding {
	var printed []term.Finding
	var joined []finding.Finding
	for _, f := range all {
		if verbose || f.Verdict == finding.Pass {
			printed = append(printed, printedFinding(finding.Group{Finding: f}))
			continue
		}
		joined = append(joined, f)
	}
	for _, group := range finding.Alike(joined) {
		printed = append(printed, printedFinding(group))
	}
	return printed
}

func printedFinding(f finding.Group) term.Finding {
	if where := f.Where.String(); where != "" {
		f.Reason = where + ": " + f.Reason
	}
	if len(f.Others) > 0 {
		f.Reason += fmt.Sprintf("; the same in %d more places (--verbose lists them)", len(f.Others))
	}
	return term.Finding{Finding: f.Finding}
}

func summaryLine(t finding.Tally, p term.Paint) term.Text {
	line := term.Sprintf("%d passed, %d failed, %d unknown, %s.", t.Pass, t.Fail, t.Unknown, term.Count(t.Info, "note"))
	if t.Fail > 0 {
		return p.Red("✗") + " " + line + " gpuworker explain NAME explains a finding."
	}
	if t.Unknown > 0 {
		return p.Yellow("?") + " " + line + " Unknown means that it could not be checked: it has not passed, and does not change the exit code; gpuworker plan says whether it stops a worker."
	}
	return p.Green("✓") + " " + line
}
