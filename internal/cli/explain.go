package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/term"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain [FINDING]",
		Short: "Explain a finding: what it means and what to do",
		Example: `  gpuworker explain                      # list all findings
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
	g := term.NewTable("finding", "what")
	for _, page := range pages {
		g.Add(string(page.ID), page.Title)
	}
	a.printer().Table(g)
	return nil
}

func (a *app) explain(name string) error {
	page, ok := finding.Explain(finding.ID(name))
	if !ok {
		return unknownFinding(name)
	}
	if !a.forPeople() {
		return a.machine(page)
	}
	a.printer().Explain(page)
	return nil
}

func unknownFinding(name string) error {
	fix := "gpuworker explain lists all findings"
	var near []string
	for _, id := range finding.Suggest(name) {
		near = append(near, "gpuworker explain "+string(id))
	}
	if len(near) > 0 {
		fix = strings.Join(near, "\n")
	}
	return &fault.Error{Kind: fault.Invalid, Why: "there is no finding " + strconv.Quote(name), Fix: fix}
}
