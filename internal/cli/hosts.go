package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/term"
)

func (a *app) hostsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "hosts",
		Short: "List hosts with their memory, IOMMU, GPUs and storages",
		Long: `List every host with its resources, and how many of its GPUs are claimed for
workers. This does not read VMs; "gpuworker gpus" shows which VM holds each card.`,
		Example: `  gpuworker hosts -f lab.yaml
  gpuworker hosts -f lab.yaml -o json`,
		RunE: verb(a.hosts),
	}
}

func (a *app) hosts(ctx context.Context, _ []string) error {
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	seen, err := e.engine.Hosts(ctx, e.documents)
	if err != nil {
		return err
	}
	hypervisors := seen.Hypervisors
	if !a.forPeople() {
		return addUnseen(a.machineList("hosts", hostViews(hypervisors), seen.Unseen), seen.Unseen, nil)
	}
	p := a.paint(a.Out)
	for i, hypervisor := range hypervisors {
		if i > 0 {
			term.Fprintln(a.Out, "")
		}
		term.Fprintf(a.Out, "%s\n\n", headline(hypervisor, p))
		a.printer().Table(hostTable(hostViews([]engine.Hypervisor{hypervisor}), p))
		a.printGaps(hypervisor)
	}
	return addUnseen(nil, seen.Unseen, nil)
}

// headline is the title of a hypervisor: "Hypervisor lab · Proxmox VE 9.1.4 · 3 hosts".
func headline(hypervisor engine.Hypervisor, p term.Paint) term.Text {
	s := hypervisor.Snapshot
	return term.Sprintf("Hypervisor %s · %s %s · %s", p.Bold(hypervisor.Name), s.Product, s.Version, term.Count(len(s.Hosts), "host"))
}

func hostViews(hypervisors []engine.Hypervisor) []engine.HostView {
	views := []engine.HostView{}
	for _, hypervisor := range hypervisors {
		views = append(views, hypervisor.HostViews()...)
	}
	return views
}

func hostTable(views []engine.HostView, p term.Paint) *term.Table {
	g := term.NewTable("host", "online", "CPUs", "memory", "IOMMU", "GPUs", "claimed", "storages")
	g.Right = []string{"CPUs", "GPUs", "claimed"}
	for _, v := range views {
		if !v.Online {
			g.Add(v.Name, p.Red("no"), "", "", "", "", "", "")
			continue
		}
		memory := fmt.Sprintf("%s of %s GiB", gib(v.MemoryUsed), gib(v.MemoryTotal))
		g.Add(v.Name, "yes", fmt.Sprint(v.CPUs), memory, iommuWord(v.IOMMU, p),
			fmt.Sprint(v.GPUs), fmt.Sprint(v.GPUsClaimed), term.List(v.Storages, term.MaxListed))
	}
	return g
}

func iommuWord(state inventory.State, p term.Paint) term.Text {
	switch state {
	case inventory.On:
		return "on"
	case inventory.Off:
		return p.Red("off")
	default:
		return p.Yellow("unknown")
	}
}

// printGaps prints what could not be read, and why.
func (a *app) printGaps(hypervisor engine.Hypervisor) {
	p := a.paint(a.Out)
	for _, h := range hypervisor.Snapshot.Hosts {
		for _, gap := range h.Gaps {
			term.Fprintf(a.Out, "%s %s: %s: %s\n", p.Yellow("?"), h.Name, gap.What, gap.Why)
		}
	}
}
