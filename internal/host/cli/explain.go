package cli

import (
	"flag"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/term"
)

func explainCommand() command {
	return command{
		name: "explain", args: "[NAME]", summary: "explain a finding: what it means, why it matters and what to do",
		long:    "Explain the finding with this name, or list all findings.",
		example: "  gpuworker-host explain\n  gpuworker-host explain HOST-GROUP-FOREIGN-DEVICE",
		flags: func(t *Tool, _ *flag.FlagSet) func([]string) error {
			return func(args []string) error {
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
	pages := finding.OfHost()
	if t.json {
		return t.machine(pages)
	}
	g := term.NewTable("name", "layer", "what")
	for _, page := range pages {
		g.Add(page.ID, page.Layer, page.Title)
	}
	t.print.Table(g)
	return nil
}

func (t *Tool) explain(name string) error {
	page, ok := finding.Explain(finding.ID(name))
	switch {
	case !ok:
		return usage("there is no finding %q%s; gpuworker-host explain lists all findings", name, meant(name))
	case t.json:
		return t.machine(page)
	}
	t.print.Explain(page)
	return nil
}

// meant suggests similar names for a name that does not exist.
func meant(name string) string {
	var names []string
	for _, id := range finding.Suggest(name) {
		names = append(names, string(id))
	}
	if len(names) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(names, ", ") + "?"
}
