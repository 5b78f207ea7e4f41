package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/term"
)

func (a *app) gpusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "gpus",
		Short: "List GPUs, which VMs hold them, and whether they can be used",
		Long: `List every NVIDIA GPU of every host: its address (bdf in a document), whether its
IOMMU group has other devices, which VM holds it, and its state:

  ready      free: a plan takes it for a worker that names it
  in use     attached to a worker of gpuworker
  reserved   claimed for a worker that has no VM yet
  taken      in a VM that gpuworker does not own
  blocked    cannot be attached, or not without harm to the host
  no IOMMU   the host cannot pass devices to VMs
  unknown    could not be determined; the reason says why`,
		Example: `  gpuworker gpus -f lab.yaml
  gpuworker gpus -f lab.yaml -o json | jq '.gpus[] | select(.state == "ready")'`,
		RunE: verb(a.gpus),
	}
}

func (a *app) gpus(ctx context.Context, _ []string) error {
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	seen, err := e.engine.Observe(ctx, e.documents)
	if err != nil {
		return err
	}
	hypervisors := seen.Hypervisors
	if !a.forPeople() {
		return addUnseen(a.machineList("gpus", cardViews(hypervisors), seen.Unseen), seen.Unseen, nil)
	}
	p := a.paint(a.Out)
	for i, hypervisor := range hypervisors {
		if len(hypervisors) > 1 {
			if i > 0 {
				term.Fprintln(a.Out, "")
			}
			term.Fprintf(a.Out, "%s\n\n", headline(hypervisor, p))
		}
		views := cardViews([]engine.Hypervisor{hypervisor})
		if len(views) == 0 {
			term.Fprintf(a.Out, "No host of %s has an NVIDIA GPU.\n", hypervisor.Name)
			continue
		}
		a.printer().Table(cardTable(views, p))
	}
	return addUnseen(nil, seen.Unseen, nil)
}

func cardViews(hypervisors []engine.Hypervisor) []engine.CardView {
	views := []engine.CardView{}
	for _, hypervisor := range hypervisors {
		views = append(views, hypervisor.CardViews(engine.CardFilter{})...)
	}
	return views
}

func cardTable(views []engine.CardView, p term.Paint) *term.Table {
	g := term.NewTable("host", "BDF", "GPU", "group", "alone", "held by", "state")
	g.Right = []string{"group"}
	for _, v := range views {
		bdf, model, group, alone := "", "", "", ""
		if !v.BDF.IsZero() {
			bdf, model = v.BDF.String(), v.Model
		}
		if len(v.With) > 0 {
			model += " (+" + strings.Join(v.With, ", ") + ")"
		}
		if v.Group != pci.NoGroup {
			group, alone = fmt.Sprint(v.Group), yesNo(v.Alone)
		}
		g.AddNoted(v.Reason, v.Host, bdf, model, group, alone, v.HeldBy.String(), stateWord(v, p))
	}
	return g
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func stateWord(v engine.CardView, p term.Paint) term.Text {
	colour := map[engine.CardState]func(string) term.Text{
		engine.CardReady: p.Green, engine.CardInUse: p.Cyan, engine.CardReserved: p.Cyan, engine.CardTaken: p.Dim,
		engine.CardBlocked: p.Red, engine.CardNoIOMMU: p.Red, engine.CardUnknown: p.Yellow,
	}[v.State]
	return colour(string(v.State))
}
