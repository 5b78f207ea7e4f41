package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain [FINDING]",
		Short: "Explain a finding: what it means and what to do",
		Example: `  gpuworker explain                      all findings
  gpuworker explain CARD-GROUP-SHARED`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var ids []string
			for _, page := range finding.All() {
				ids = append(ids, string(page.ID)+"\t"+page.Title)
			}
			return ids, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: verb(func(_ context.Context, args []string) error {
			if len(args) == 0 {
				return a.listFindings()
			}
			return a.explain(args[0])
		}),
	}
}

func (a *app) listFindings() error {
	pages := finding.All()
	if !a.forPeople() {
		return a.machine(map[string]any{"findings": pages})
	}
	g := newGrid("finding", "what")
	for _, page := range pages {
		g.add(string(page.ID), page.Title)
	}
	g.write(a.Out, a.paint(a.Out), a.Out.width())
	return nil
}

func (a *app) explain(name string) error {
	page, ok := finding.Explain(finding.ID(strings.ToUpper(name)))
	if !ok {
		return &fault.Error{Kind: fault.Invalid, Why: "there is no finding " + quote(name), Fix: "gpuworker explain"}
	}
	if !a.forPeople() {
		return a.machine(page)
	}
	fmt.Fprintln(a.Out, page.Title)
	return nil
}
