package cli

import (
	"flag"
	"fmt"
	"strings"

	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/term"
)

func listCommand() command {
	return command{
		name: "list", summary: "list the graphics cards of this host",
		long: `List the GPUs of this host with all their functions: driver, IOMMU group and the devices
in it, NUMA node, memory windows, link, reset, power, and what holds the card (a VM or a
program). Without root some of this cannot be seen; the output says so.`,
		example: "  gpuworker-host list\n  gpuworker-host list -o json",
		flags: func(t *Tool, _ *flag.FlagSet) func([]string) error {
			return func(args []string) error {
				if len(args) > 0 {
					return usage("list takes no argument, not %q", args[0])
				}
				return t.list()
			}
		},
	}
}

// listed is the JSON form of a card.
type listed struct {
	hostpci.Card
	Model   string           `json:"model"`
	Mates   []pci.BDF        `json:"mates"` // functions that share its group
	Holders []hostpci.Holder `json:"holders"`
}

// listView is the JSON form of the list.
type listView struct {
	IOMMUs []string `json:"iommus"`
	Cards  []listed `json:"cards"`
	Odd    []string `json:"odd,omitempty"`
	// Unseen is the number of processes whose open files could not be read; Proxmox's
	// reservations count as one.
	Unseen int `json:"unseenProcesses"`
}

func (t *Tool) list() error {
	host, err := hostpci.Read(t.tree)
	if err != nil {
		return err
	}
	holders := hostpci.ReadHolders(t.tree, host)
	view := listView{IOMMUs: host.IOMMUs, Cards: []listed{}, Odd: host.Odd, Unseen: holders.Unseen}
	for _, card := range host.Cards() {
		l := listed{Card: card, Model: card.Main().ShortName(), Mates: []pci.BDF{}, Holders: []hostpci.Holder{}}
		for _, mate := range host.Mates(card) {
			l.Mates = append(l.Mates, mate.BDF)
		}
		l.Holders = append(l.Holders, holders.Of(card.Slot)...)
		view.Cards = append(view.Cards, l)
	}
	if t.json {
		return t.machine(view)
	}
	t.printList(view)
	return nil
}

func (t *Tool) printList(view listView) {
	if len(view.Cards) == 0 {
		term.Fprintln(t.Out, "This host has no GPU.")
		return
	}
	g := term.NewTable("BDF", "name", "ID", "driver", "group", "shared with", "NUMA", "memory", "link", "held by")
	g.HideEmpty = true
	for _, card := range view.Cards {
		main := card.Main()
		for _, f := range card.Functions {
			row := []any{f.BDF, f.ShortName(), f.ID, f.Driver, groupText(f.Group), term.Blank, term.Blank, term.Blank, term.Blank, term.Blank}
			if f == main {
				row = append(row[:5], bdfs(card.Mates), numa(f.NUMANode), windows(f.BARs), linkText(f.Link), heldBy(card.Holders))
			}
			g.Add(row...)
		}
	}
	t.print.Table(g)
	for _, card := range view.Cards {
		for _, f := range card.Functions {
			for name, why := range f.Unreadable {
				term.Fprintf(t.Out, "%s: %s could not be read: %s\n", f.BDF, name, why)
			}
		}
	}
	if view.Unseen > 0 {
		term.Fprintf(t.Out, "\nThe open files of %d processes could not be read, so HELD BY may be incomplete: %s.\n", view.Unseen, hosttree.ToSeeMore(t.tree))
	}
}

func groupText(group int) string {
	if group == pci.NoGroup {
		return ""
	}
	return fmt.Sprint(group)
}

func numa(node int) string {
	if node < 0 {
		return ""
	}
	return fmt.Sprint(node)
}

func bdfs(list []pci.BDF) string {
	var names []string
	for _, bdf := range list {
		names = append(names, bdf.String())
	}
	return strings.Join(names, " ")
}

// windows is the size of a card's largest window. On cards with a resizable window
// this is about the size of the card's memory.
func windows(bars []hostpci.BAR) string {
	var most uint64
	for _, bar := range bars {
		if !bar.IOPorts {
			most = max(most, bar.Size)
		}
	}
	return size(most)
}

// size writes bytes: "16 GiB", "256 MiB", "4 KiB".
func size(bytes uint64) string {
	switch {
	case bytes == 0:
		return ""
	case bytes >= 1<<30:
		return fmt.Sprintf("%d GiB", bytes>>30)
	case bytes >= 1<<20:
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d KiB", bytes>>10)
}

// linkText is the current link width, and the maximum if that is more: "x8 of x16".
func linkText(l hostpci.Link) string {
	if l.Width == 0 {
		return ""
	}
	speed, _, _ := strings.Cut(l.Speed, " PCIe")
	text := fmt.Sprintf("x%d", l.Width)
	if l.MaxWidth > l.Width {
		text += fmt.Sprintf(" of x%d", l.MaxWidth)
	}
	return strings.TrimSpace(text + " " + speed)
}

func heldBy(holders []hostpci.Holder) term.Text {
	var names []string
	for _, h := range holders {
		switch {
		case h.VMID != 0:
			names = append(names, fmt.Sprintf("VM %d", h.VMID))
		default:
			names = append(names, fmt.Sprintf("%s (%d)", h.Name, h.PID))
		}
	}
	return term.List(names, term.MaxListed)
}
