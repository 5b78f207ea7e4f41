package cli

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	hostcheck "github.com/gpuworker/gpuworker/internal/host/check"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

func checkCommand() command {
	return command{
		name: "check", args: "[BDF ...]", summary: "is this host ready to give its GPUs away, and if not, which layer says no",
		long: `Judge this host and its NVIDIA GPUs, or the cards named, layer by layer: firmware, kernel,
modules, group, owner, window, reset, memory, identity, VM. Nothing is changed.

  ✓ passes   ✗ fails   ? could not be seen, which is not a pass   · good to know

At the first layer that fails, explaining stops; what is above it was not evaluated. What is
now and what will be after the next reboot are two verdicts. Without root some of it cannot be
seen. Every finding has a name that "gpuworker-host explain NAME" knows. The exit code is 3
when anything fails now.`,
		example: "  gpuworker-host check\n  gpuworker-host check 0000:01:00.0 --verbose\n  gpuworker-host check -o json > pve1.json",
		flags: func(t *Tool, flags *flag.FlagSet) func([]string) error {
			verbose := flags.Bool("verbose", false, "show each check that passes too")
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
	p := t.paint
	fmt.Fprintln(t.Out, p.as(bold, hostLine(r)))
	t.printFindings(r.Findings, r.NotEvaluated, verbose)
	for _, card := range r.Cards {
		fmt.Fprintf(t.Out, "\n%s\n", p.as(bold, cardLine(card)))
		t.printFindings(card.Findings, card.NotEvaluated, verbose)
		fmt.Fprintln(t.Out, " "+verdictLine(card, p))
	}
	if len(r.Cards) == 0 {
		fmt.Fprint(t.Out, "\nThis host has no NVIDIA GPU; gpuworker-host check BDF judges any card.\n")
	}
	if !r.System.Root {
		fmt.Fprintf(t.Out, "\nNot everything could be seen: %s.\n", hosttree.ToSeeMore(t.tree))
	}
	if slices.ContainsFunc(r.Cards, func(c hostcheck.Card) bool { return c.Now != finding.Pass }) || r.Now == finding.Fail {
		fmt.Fprint(t.Out, "\ngpuworker-host explain NAME tells more about a finding.\n")
	}
}

// hostLine is the host in one line.
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

// joined puts a point between the parts that are not empty.
func joined(parts ...string) string {
	parts = slices.DeleteFunc(parts, func(part string) bool { return strings.TrimSpace(part) == "" })
	return strings.Join(parts, " · ")
}

// verdictLine is what all comes to, for one card.
func verdictLine(c hostcheck.Card, p paint) string {
	words := map[finding.Verdict]string{finding.Pass: "ready", finding.Fail: "not ready", finding.Unknown: "not known to be ready"}
	line := words[c.Now] + " now"
	if c.AfterReboot != c.Now {
		line += ", " + words[c.AfterReboot] + " after the next reboot"
	}
	return p.mark(c.Now) + " " + line
}

// printFindings prints findings by layer. Unless verbose, the passes of a layer
// are a number.
func (t *Tool) printFindings(findings []hostcheck.Finding, skipped []finding.Layer, verbose bool) {
	p := t.paint
	for _, layer := range finding.Layers {
		passed := 0
		var shown []hostcheck.Finding
		for _, f := range findings {
			switch quiet := f.Verdict == finding.Pass && f.AfterReboot == finding.Pass; {
			case f.Layer != layer:
			case quiet && !verbose:
				passed++
			default:
				shown = append(shown, f)
			}
		}
		name := fmt.Sprintf("%-10s", layer)
		if passed > 0 {
			fmt.Fprintf(t.Out, " %s %s%s\n", p.mark(finding.Pass), name, p.as(dim, fmt.Sprintf("%d passed", passed)))
			name = strings.Repeat(" ", len(name))
		}
		for _, f := range shown {
			t.printFinding(f, name)
			name = strings.Repeat(" ", len(name))
		}
	}
	for _, layer := range skipped {
		fmt.Fprintf(t.Out, " %s %-10s%s\n", p.mark(finding.Info), layer, p.as(dim, "not evaluated"))
	}
}

// findingIndent is where the text of a finding begins: mark and layer are
// before it.
const findingIndent = 13

// afterWords say what will be.
var afterWords = map[finding.Verdict]string{
	finding.Pass: "this passes", finding.Fail: "this fails", finding.Unknown: "not known", finding.Info: "nothing that stands in the way",
}

func (t *Tool) printFinding(f hostcheck.Finding, name string) {
	p := t.paint
	quiet := f.Verdict == finding.Pass && f.AfterReboot == finding.Pass
	text := f.Reason
	if !quiet {
		text += " [" + string(f.ID) + "]"
	}
	fmt.Fprintf(t.Out, " %s %s%s\n", p.mark(f.Verdict), name, t.wrapped(text, findingIndent))
	line := func(sign, text string, code int) {
		head := strings.Repeat(" ", findingIndent) + p.as(code, sign) + " "
		fmt.Fprintln(t.Out, head+t.wrapped(text, findingIndent+2))
	}
	if quiet {
		return
	}
	for _, e := range f.Evidence {
		line("│", e.File+": "+e.Says, dim)
	}
	if f.AfterReboot != f.Verdict {
		line("↻", "after the next reboot: "+afterWords[f.AfterReboot], yellow)
	}
	if f.Fix != "" {
		line("→", f.Fix, cyan)
	}
	if f.Then != "" {
		line(" ", "afterwards: "+f.Then, dim)
	}
}

// wrapped breaks text at spaces into lines that fit, all but the first indented.
func (t *Tool) wrapped(text string, indent int) string {
	const least = 40 // columns that are of use
	width := t.Width - indent
	if width < least {
		return text
	}
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case column == 0:
		case column+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = 0
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}
