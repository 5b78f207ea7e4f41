package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/term"
)

func (a *app) orphansCommand() *cobra.Command {
	s := modeOf(plan.ReleaseOrphans)
	release := false
	cmd := &cobra.Command{
		Use:   "orphans",
		Short: "List VMs and claims that no document declares; release claims without a VM",
		Long: `List the VMs, the claims on cards and the ISO images of seeds that gpuworker owns
and that no document given with -f declares. Give all documents of the
hypervisor; workers of missing documents are listed as orphans.

--release removes claims that have no VM. It is a dry run unless --yes is given.
It never destroys a VM: use "gpuworker delete NAME" for that.`,
		Example: `  gpuworker orphans -f lab.yaml
  gpuworker orphans -f lab.yaml --release --yes`,
		RunE: verb(func(ctx context.Context, _ []string) error { return a.orphans(ctx, release, *s) }),
	}
	cmd.Flags().BoolVar(&release, "release", false, "remove claims that have no VM")
	a.addModeFlags(cmd, s)
	return cmd
}

func (a *app) orphans(ctx context.Context, release bool, s applyMode) error {
	if s.yes && !release {
		return usage("--yes does nothing without --release")
	}
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	plans, err := e.plan(ctx, plan.Request{Verb: plan.ReleaseOrphans})
	if err != nil {
		return err
	}
	switch {
	case release:
		return a.confirmAndApply(ctx, e, plans, s)
	case !a.forPeople():
		return addUnseen(a.machine(viewPlans(plans)), plans.Unseen, nil)
	}
	a.printOrphans(plans)
	return addUnseen(nil, plans.Unseen, nil)
}

func (a *app) printOrphans(plans engine.Plans) {
	g := term.NewTable("worker", "what", "host", "VM", "card", "next")
	g.Right = []string{"VM"}
	for _, pl := range plans.Plans {
		for w := range pl.Workers() {
			what, next, vm := "worker without a document", w.Hint, w.VM
			if w.Action == plan.Release {
				what, next, vm = "claim without a VM", "gpuworker orphans --release", ""
			}
			g.Add(w.Name, what, w.Host, vm, cardText(w.Card, w.Model), a.withFiles(next))
		}
	}
	var images []finding.Finding
	for _, pl := range plans.Plans {
		for _, f := range pl.Findings {
			if f.ID == finding.SeedLeft {
				images = append(images, f)
			}
		}
	}
	if g.Rows() == 0 && len(images) == 0 {
		term.Fprintf(a.Out, "No orphans on %s.\n", hypervisorNames(plans))
		return
	}
	if g.Rows() > 0 {
		a.printer().Table(g)
	}
	for _, f := range images {
		term.Fprintf(a.Out, "%s: %s\n  → %s\n", f.Where, f.Reason, f.Fix)
	}
}
