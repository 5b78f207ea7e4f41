package cli

import (
	"context"
	"flag"
	"slices"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/guest/check"
	"github.com/gpuworker/gpuworker/internal/term"
)

func statusCommand() command {
	return command{
		name: "status", summary: "show what the last bootstrap did",
		long:    "Show the status that the last bootstrap wrote: its steps and their problems. Only root may read it.\ngpuworker-guest check looks at the guest as it is now.",
		example: "  gpuworker-guest status\n  gpuworker-guest status -o json",
		flags: func(t *Tool, _ *flag.FlagSet) func(context.Context, []string) error {
			return func(ctx context.Context, _ []string) error {
				g := t.guest().Look(ctx)
				problem := &fault.Error{Doing: "read the status", Kind: fault.NotFound, Why: guest.StatusFile + " does not exist: no bootstrap ran", Fix: "run: gpuworker-guest bootstrap"}
				switch {
				case g.Status != nil && t.output == "json":
					return t.machine(g.Status)
				case g.Status != nil:
					t.printStatus(g.Status)
					return nil
				case g.StatusFile.Hidden():
					problem.Kind, problem.Why, problem.Fix = fault.Denied, guest.StatusFile+" may not be read by this user", "run it as root"
				case g.StatusFile.OK():
					problem.Kind, problem.Why = fault.Failed, guest.StatusFile+" is damaged"
				}
				return problem
			}
		},
	}
}

func (t *Tool) printStatus(s *guest.Status) {
	ready := "not ready"
	if s.Ready {
		ready = "ready"
	}
	driver := ""
	if s.Driver != nil {
		driver = "driver " + s.Driver.Version
	}
	term.Fprintln(t.Out, t.print.Paint.Bold(joined(s.OS, "kernel "+s.Kernel, driver, ready, s.Updated.Format(time.RFC3339))))
	table := term.NewTable("step", "state", "tries", "ended", "problem")
	for _, step := range s.Steps {
		ended := ""
		if !step.Ended.IsZero() {
			ended = step.Ended.Format(time.RFC3339)
		}
		tries := any(step.Tries)
		if step.Tries == 0 {
			tries = ""
		}
		table.Add(step.Name, string(step.State), tries, ended, step.Problem)
	}
	t.print.Table(table)
	for _, step := range s.Steps {
		if step.State == guest.StepFailed && step.Fix != "" {
			term.Fprintf(t.Out, "\n%s: %s\n", step.Name, step.Fix)
		}
	}
}

// joined puts a dot between the parts that are not empty.
func joined(parts ...string) string {
	parts = slices.DeleteFunc(parts, func(part string) bool { return strings.TrimSpace(part) == "" })
	return strings.Join(parts, " · ")
}

func checkCommand() command {
	return command{
		name: "check", summary: "check this guest: its card, its driver, and what may break them",
		long: `Check this guest, layer by layer: guest, driver. Nothing is changed.

  ✓ passes   ✗ fails   ? unknown: could not be checked, not a pass   · a note

Without root some checks are unknown. "gpuworker-guest explain NAME" explains the finding
with that name. The exit code is 3 if a check fails.`,
		example: "  gpuworker-guest check\n  gpuworker-guest check --verbose\n  gpuworker-guest check -o json",
		flags: func(t *Tool, flags *flag.FlagSet) func(context.Context, []string) error {
			verbose := flags.Bool("verbose", false, "also show each check that passes")
			return func(ctx context.Context, _ []string) error {
				report := t.guest().Check(ctx)
				if t.captured != "" {
					report.Taken = "" // the time of the capture is not known
				}
				if t.output == "json" {
					if err := t.machine(report); err != nil {
						return err
					}
				} else {
					t.printReport(report, *verbose)
				}
				if report.Verdict == finding.Fail {
					return exitError(fault.ExitCheck)
				}
				return nil
			}
		},
	}
}

func (t *Tool) printReport(r *check.Report, verbose bool) {
	kernel, driver := "", "no driver"
	if r.System.Kernel != "" {
		kernel = "kernel " + r.System.Kernel
	}
	if r.Loaded != nil {
		driver = "driver " + r.Loaded.Version
	}
	term.Fprintln(t.Out, t.print.Paint.Bold(joined(r.Worker, r.System.Name, kernel, driver)))
	for _, gpu := range r.GPUs {
		term.Fprintln(t.Out, term.Line(joined(gpu.BDF+" "+gpu.Model, gpu.ID, gpu.UUID)))
	}
	t.printFindings(r.Findings, verbose)
	t.print.NotEvaluated(r.NotEvaluated)
	mark, words := finding.Pass, "ready to join"
	if !r.Ready {
		mark, words = finding.Fail, "not ready to join"
	}
	term.Fprintln(t.Out, " "+t.print.Paint.Mark(mark)+" "+term.Text(words))
	if r.Verdict != finding.Pass {
		term.Fprintf(t.Out, "\ngpuworker-guest explain NAME tells more about a finding.\n")
	}
}

func (t *Tool) printFindings(findings []check.Finding, verbose bool) {
	printed := make([]term.Finding, len(findings))
	for i, f := range findings {
		printed[i].Finding = f.Finding
		if f.Verdict == finding.Pass {
			continue
		}
		for _, e := range f.Evidence {
			printed[i].Evidence = append(printed[i].Evidence, e.From+": "+e.Says)
		}
	}
	t.print.Findings(printed, verbose)
}

// gatePause is the time between two looks of gate --wait.
const gatePause = 5 * time.Second

func gateCommand() command {
	return command{
		name: "gate", summary: "exit with 0 only when this guest is ready to join",
		long: `Look whether all is true that the driver strategy can promise before a join: with Operator
and None the card alone, with the others the driver too, and the recorded GPU once there
is one. The exit code is 0 if it is, and 3 if it is not, with the reasons.

A unit of the node's agent can wait for it: ExecStartPre=/usr/local/sbin/gpuworker-guest gate --wait 5m`,
		example: "  gpuworker-guest gate\n  gpuworker-guest gate --wait 5m",
		flags: func(t *Tool, flags *flag.FlagSet) func(context.Context, []string) error {
			wait := flags.Duration("wait", 0, "look again until it passes, at most this `TIME`")
			return func(ctx context.Context, _ []string) error { return t.gate(ctx, *wait) }
		},
	}
}

// gate looks until nothing blocks, or the time is over.
func (t *Tool) gate(ctx context.Context, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	for {
		report := t.guest().Check(ctx)
		left := time.Until(deadline)
		if report.Ready || left <= 0 {
			return t.gateResult(report)
		}
		timer := time.NewTimer(min(gatePause, left))
		select {
		case <-ctx.Done():
			timer.Stop()
			return &fault.Error{Kind: fault.Interrupted, Doing: "gate", Why: "it was interrupted"}
		case <-timer.C:
		}
	}
}

func (t *Tool) gateResult(report *check.Report) error {
	blocking := report.Blocking()
	if t.output == "json" {
		view := struct {
			Ready    bool            `json:"ready"`
			Blocking []check.Finding `json:"blocking"`
		}{report.Ready, append([]check.Finding{}, blocking...)}
		if err := t.machine(view); err != nil {
			return err
		}
	} else if !report.Ready {
		t.printFindings(blocking, false)
	}
	if !report.Ready {
		return exitError(fault.ExitCheck)
	}
	return nil
}

func explainCommand() command {
	return command{
		name: "explain", args: "[NAME]", summary: "explain a finding: what it means, why it matters and what to do",
		long:    "Explain the finding with this name, or list all findings of this program.",
		example: "  gpuworker-guest explain\n  gpuworker-guest explain DRIVER-NOUVEAU",
		flags: func(t *Tool, _ *flag.FlagSet) func(context.Context, []string) error {
			return func(_ context.Context, args []string) error {
				switch len(args) {
				case 0:
					return t.listPages()
				case 1:
					return t.explain(args[0])
				}
				return usage("explain takes one name, not %d", len(args))
			}
		},
	}
}

func (t *Tool) listPages() error {
	pages := finding.OfGuest()
	if t.output == "json" {
		return t.machine(pages)
	}
	table := term.NewTable("name", "layer", "what")
	for _, page := range pages {
		table.Add(page.ID, page.Layer, page.Title)
	}
	t.print.Table(table)
	return nil
}

func (t *Tool) explain(name string) error {
	page, ok := finding.Explain(finding.ID(name))
	switch {
	case !ok:
		similar := ""
		for _, id := range finding.Suggest(name) {
			similar += " " + string(id)
		}
		if similar != "" {
			similar = "; similar names:" + similar
		}
		return usage("there is no finding %q%s; gpuworker-guest explain lists all findings", name, similar)
	case t.output == "json":
		return t.machine(page)
	}
	t.print.Explain(page)
	return nil
}
