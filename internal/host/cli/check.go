package cli

import (
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	hostcheck "github.com/gpuworker/gpuworker/internal/host/check"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/term"
)

func checkCommand() command {
	return command{
		name: "check", args: "[BDF ...]", summary: "check whether the GPUs can be passed to VMs, layer by layer",
		long: `Check this host and its NVIDIA GPUs, or only the named cards, layer by layer: firmware,
kernel, modules, group, owner, window, reset, memory, identity, VM. Nothing is changed.

  ✓ passes   ✗ fails   ? unknown: could not be checked, not a pass   · a note

The layers after the first one that fails are not evaluated. There are two verdicts: one for
now, and one for after the next reboot. Without root some checks are unknown.
"gpuworker-host explain NAME" explains the finding with that name. The exit code is 3 if a
check fails now.`,
		example: "  gpuworker-host check\n  gpuworker-host check 0000:01:00.0 --verbose\n  gpuworker-host check -o json > pve1.json",
		flags: func(t *Tool, flags *flag.FlagSet) func([]string) error {
			verbose := flags.Bool("verbose", false, "also show each check that passes")
			return func(args []string) error {
				var cards []pci.BDF
				for _, arg := range args {
					bdf, err := pci.ParseBDF(arg)
					if err != nil {
						return usage("check: %w", err)
					}
					cards = append(cards, bdf)
				}
				return t.check(cards, *verbose)
			}
		},
	}
}

func (t *Tool) check(cards []pci.BDF, verbose bool) error {
	report := hostcheck.Run(t.tree, hostcheck.Options{
		Tool: t.Version.Version, Taken: t.taken(), Cards: cards, KernelLog: t.kernelLog(), Images: t.images(),
	})
	if t.json {
		if err := t.machine(report); err != nil {
			return err
		}
	} else {
		t.printReport(report, verbose)
	}
	if report.Failed() {
		return &exitError{code: fault.ExitCheck}
	}
	return nil
}

func (t *Tool) printReport(r *hostcheck.Report, verbose bool) {
	p := t.print.Paint
	term.Fprintln(t.Out, p.Bold(hostLine(r)))
	t.printFindings(r.Findings, r.NotEvaluated, verbose)
	for _, card := range r.Cards {
		term.Fprintf(t.Out, "\n%s\n", p.Bold(cardLine(card)))
		t.printFindings(card.Findings, card.NotEvaluated, verbose)
		term.Fprintln(t.Out, " "+verdictLine(card, p))
	}
	if len(r.Cards) == 0 {
		term.Fprintf(t.Out, "\nThis host has no NVIDIA GPU; gpuworker-host check BDF checks any card.\n")
	}
	if !r.System.Root {
		term.Fprintf(t.Out, "\nNot everything could be read: %s.\n", hosttree.ToSeeMore(t.tree))
	}
	if slices.ContainsFunc(r.Cards, func(c hostcheck.Card) bool { return c.Now != finding.Pass }) || r.Now == finding.Fail {
		term.Fprintf(t.Out, "\ngpuworker-host explain NAME tells more about a finding.\n")
	}
}

// hostLine describes the host in one line.
func hostLine(r *hostcheck.Report) string {
	loader := r.System.BootLoader
	if loader == "" {
		loader = "boot loader not known"
	}
	kernel := ""
	if r.System.Kernel != "" {
		kernel = "kernel " + r.System.Kernel
	}
	product := ""
	if r.System.Proxmox {
		product = "Proxmox VE"
	}
	return joined(r.Host, product, r.System.Name, kernel, loader)
}

func cardLine(c hostcheck.Card) string {
	driver := "no driver"
	if c.Driver != "" {
		driver = c.Driver
	}
	group := ""
	if c.Group != pci.NoGroup {
		group = fmt.Sprintf("group %d", c.Group)
	}
	return joined(strings.TrimSpace(c.BDF.String()+" "+c.Name), driver, group)
}

// joined puts a dot between the parts that are not empty.
func joined(parts ...string) string {
	parts = slices.DeleteFunc(parts, func(part string) bool { return strings.TrimSpace(part) == "" })
	return strings.Join(parts, " · ")
}

// verdictLine is the overall verdict for one card.
func verdictLine(c hostcheck.Card, p term.Paint) term.Text {
	words := map[finding.Verdict]string{finding.Pass: "ready", finding.Fail: "not ready", finding.Unknown: "not known to be ready"}
	line := words[c.Now] + " now"
	if c.AfterReboot != c.Now {
		line += ", " + words[c.AfterReboot] + " after the next reboot"
	}
	return p.Mark(c.Now) + " " + term.Text(line)
}

// printFindings prints findings by layer, and the layers that were not evaluated.
func (t *Tool) printFindings(findings []hostcheck.Finding, skipped []finding.Layer, verbose bool) {
	printed := make([]term.Finding, len(findings))
	for i, f := range findings {
		printed[i] = printedFinding(f)
	}
	t.print.Findings(printed, verbose)
	t.print.NotEvaluated(skipped)
}

// afterWords are the texts for the verdict after a reboot.
var afterWords = map[finding.Verdict]string{
	finding.Pass: "this passes", finding.Fail: "this fails", finding.Unknown: "not known", finding.Info: "only a note",
}

// printedFinding converts a finding for printing. One that passes now and after the
// reboot is printed without evidence.
func printedFinding(f hostcheck.Finding) term.Finding {
	printed := term.Finding{Finding: f.Finding}
	if f.Verdict == finding.Pass && f.AfterReboot == finding.Pass {
		return printed
	}
	printed.Then = f.Then
	for _, e := range f.Evidence {
		printed.Evidence = append(printed.Evidence, e.File+": "+e.Says)
	}
	if f.AfterReboot != f.Verdict {
		printed.Later = "after the next reboot: " + afterWords[f.AfterReboot]
	}
	return printed
}
