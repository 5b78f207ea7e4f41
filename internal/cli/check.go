package cli

import (
	"context"
	"fmt"
	"strings"

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
		Short: "Check that everything the documents need is there",
		Long: `Check the hypervisor from the bottom up, layer by layer: API, access, hosts,
cards, templates, storages, network, capacity, VMs. Nothing is changed.

  ✓ passes   ✗ fails   ? could not be seen, which is not a pass   · good to know

Every finding has a name that "gpuworker explain NAME" knows. The exit code is 3
when anything fails.`,
		Example: `  gpuworker check -f lab.yaml
  gpuworker check -f lab.yaml --verbose`,
		RunE: verb(func(ctx context.Context, _ []string) error { return a.check(ctx, verbose) }),
	}
	cmd.Flags().BoolVar(&verbose, "verbose", false, "show each check that passes too, and each place")
	return cmd
}

// checkView is the result of a check for machines.
type checkView struct {
	Hypervisors []checkedHypervisor `json:"hypervisors"`
	Summary     tally               `json:"summary"`
	Unseen      []engine.Unseen     `json:"unseen,omitempty"`
}

type checkedHypervisor struct {
	Name     string            `json:"name"`
	Product  string            `json:"product"`
	Version  string            `json:"version"`
	Findings []finding.Finding `json:"findings"`
}

// tally counts verdicts.
type tally struct {
	Pass    int `json:"pass"`
	Fail    int `json:"fail"`
	Unknown int `json:"unknown"`
	Info    int `json:"info"`
}

func (t *tally) add(findings []finding.Finding) {
	for _, f := range findings {
		switch f.Verdict {
		case finding.Pass:
			t.Pass++
		case finding.Fail:
			t.Fail++
		case finding.Unknown:
			t.Unknown++
		case finding.Info:
			t.Info++
		}
	}
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
	worlds := seen.Worlds
	view := checkView{Hypervisors: []checkedHypervisor{}, Unseen: seen.Unseen}
	for _, world := range worlds {
		view.Summary.add(world.Findings)
		view.Hypervisors = append(view.Hypervisors, checkedHypervisor{
			Name: world.Hypervisor, Product: world.Snapshot.Product, Version: world.Snapshot.Version, Findings: world.Findings,
		})
	}
	if a.forPeople() {
		a.printCheck(worlds, view.Summary, verbose)
	} else if err := a.machine(view); err != nil {
		return err
	}
	if view.Summary.Fail > 0 {
		err = verdict(fault.ExitCheck)
	}
	return despite(err, seen.Unseen, nil)
}

func (a *app) printCheck(worlds []engine.World, sum tally, verbose bool) {
	p := a.paint(a.Out)
	for _, world := range worlds {
		term.Fprintf(a.Out, "%s\n\n", headline(world, p))
		for _, layer := range finding.Layers {
			a.printLayer(layer, world.Findings, verbose, p)
		}
		term.Fprintln(a.Out, "")
	}
	term.Fprintln(a.Out, summaryLine(sum, p))
}

// printLayer prints what was found in one layer. Unless verbose, the passes are
// a number, and what is the same in many places is said once.
func (a *app) printLayer(layer finding.Layer, all []finding.Finding, verbose bool, p term.Paint) {
	var shown []finding.Finding
	passed := 0
	for _, f := range all {
		switch {
		case f.Layer != layer:
		case f.Verdict == finding.Pass && !verbose:
			passed++
		default:
			shown = append(shown, f)
		}
	}
	if len(shown) == 0 && passed == 0 {
		return
	}
	const blank = "          "
	name := term.Sprintf("%-10s", layer)
	if passed > 0 {
		term.Fprintf(a.Out, " %s %s%s\n", p.Green("✓"), p.Bold(string(name)), p.Dim(fmt.Sprintf("%d passed", passed)))
		name = blank
	}
	groups := finding.Alike(shown)
	if verbose {
		groups = each(shown)
	}
	for _, f := range groups {
		a.printFinding(f, p.Bold(string(name)), p)
		name = blank
	}
}

// each leaves all findings by themselves.
func each(findings []finding.Finding) []finding.Group {
	var groups []finding.Group
	for _, f := range findings {
		groups = append(groups, finding.Group{Finding: f})
	}
	return groups
}

// findingIndent is where the text of a finding begins: mark and layer are
// before it.
const findingIndent = 13

func (a *app) printFinding(f finding.Group, name term.Text, p term.Paint) {
	text := f.Reason
	if where := f.Where.String(); where != "" {
		text = where + ": " + text
	}
	if len(f.Others) > 0 {
		text += fmt.Sprintf("; the same in %d more places (--verbose lists them)", len(f.Others))
	}
	suffix := ""
	if f.Verdict != finding.Pass {
		suffix = " [" + string(f.ID) + "]"
	}
	lines := term.Wrap(text+suffix, a.Out.width()-findingIndent)
	last := &lines[len(lines)-1]
	if before, ok := strings.CutSuffix(string(*last), strings.TrimSpace(suffix)); ok {
		*last = term.Text(before) + p.Dim(strings.TrimSpace(suffix))
	}
	term.Fprintf(a.Out, " %s %s%s\n", mark(f.Verdict, p), name, term.Lines(lines, findingIndent))
	if f.Fix != "" && f.Verdict != finding.Pass {
		fix := term.Wrap(f.Fix, a.Out.width()-findingIndent-2)
		term.Fprintf(a.Out, "%*s%s %s\n", findingIndent, "", p.Cyan("→"), term.Lines(fix, findingIndent+2))
	}
}

func mark(v finding.Verdict, p term.Paint) term.Text {
	switch v {
	case finding.Pass:
		return p.Green("✓")
	case finding.Fail:
		return p.Red("✗")
	case finding.Unknown:
		return p.Yellow("?")
	default:
		return p.Dim("·")
	}
}

func summaryLine(t tally, p term.Paint) term.Text {
	line := term.Sprintf("%d passed, %d failed, %d unknown, %s.", t.Pass, t.Fail, t.Unknown, count(t.Info, "note"))
	if t.Fail > 0 {
		return p.Red("✗") + " " + line + " gpuworker explain NAME tells more about a finding."
	}
	if t.Unknown > 0 {
		return p.Yellow("?") + " " + line + " Unknown is what nobody could look at: it has not passed, and does not change the exit code; gpuworker plan says whether it stops a worker."
	}
	return p.Green("✓") + " " + line
}
