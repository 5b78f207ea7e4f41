package cli

import (
	"bytes"
	"flag"
	"fmt"

	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	"github.com/gpuworker/gpuworker/internal/term"
)

func metricsCommand() command {
	return command{
		name: "metrics", args: "-o FILE.prom", summary: "write metrics of the GPUs for Prometheus",
		long: `Write metrics of the GPUs for the textfile collector of node_exporter. The file is replaced
atomically, so that no reader sees half of it. Run the command from a timer; it is not a server.
FILE must not be a link, a device or a FIFO. Use - for standard output.`,
		example: "  gpuworker-host metrics -o /var/lib/prometheus/node-exporter/gpuworker.prom\n  gpuworker-host metrics -o -",
		output:  "the `FILE` to write, - for standard output",
		flags: func(t *Tool, _ *flag.FlagSet) func([]string) error {
			return func(args []string) error {
				if len(args) > 0 || t.output == "" {
					return usage("metrics takes -o FILE and nothing else")
				}
				return t.metrics(t.output)
			}
		},
	}
}

func (t *Tool) metrics(name string) error {
	host, err := hostpci.Read(t.tree)
	if err != nil {
		return err
	}
	text := metricsText(host, hostpci.ReadHolders(t.tree, host))
	if name == "-" {
		_, err := t.Out.Write(text)
		return err
	}
	return replaceFile(name, text)
}

// metric is one family of metrics.
type metric struct {
	name, help string
	value      func(h *hostpci.Host, holders *hostpci.Holders, c hostpci.Card) float64
}

var metricFamilies = []metric{
	{"gpuworker_host_gpu_on_vfio", "Whether all functions of the card are left to VMs: on vfio-pci or a relative, on pci-stub, or on no driver.", func(_ *hostpci.Host, _ *hostpci.Holders, c hostpci.Card) float64 {
		for _, f := range c.Functions {
			if !hostpci.ForVMs(f.Driver) {
				return 0
			}
		}
		return 1
	}},
	{"gpuworker_host_gpu_holders", "How many VMs and processes hold the card.", func(_ *hostpci.Host, holders *hostpci.Holders, c hostpci.Card) float64 {
		return float64(len(holders.Of(c.Slot)))
	}},
	{"gpuworker_host_gpu_group_mates", "How many functions of other devices share the card's IOMMU group.", func(h *hostpci.Host, _ *hostpci.Holders, c hostpci.Card) float64 {
		return float64(len(h.Mates(c)))
	}},
	{"gpuworker_host_gpu_link_width_lanes", "PCIe lanes that the card uses now; an idle card may use fewer.", func(_ *hostpci.Host, _ *hostpci.Holders, c hostpci.Card) float64 {
		return float64(c.Main().Link.Width)
	}},
	{"gpuworker_host_gpu_link_width_lanes_max", "PCIe lanes that the card could use.", func(_ *hostpci.Host, _ *hostpci.Holders, c hostpci.Card) float64 {
		return float64(c.Main().Link.MaxWidth)
	}},
	{"gpuworker_host_gpu_gone", "Whether the card no longer answers on the bus.", func(_ *hostpci.Host, _ *hostpci.Holders, c hostpci.Card) float64 {
		if c.Main().Gone {
			return 1
		}
		return 0
	}},
}

// metricsText writes the metrics in the text format of Prometheus.
func metricsText(h *hostpci.Host, holders *hostpci.Holders) []byte {
	var b bytes.Buffer
	iommu := 0
	if len(h.IOMMUs) > 0 {
		iommu = 1
	}
	fmt.Fprintf(&b, "# HELP gpuworker_host_iommu_on Whether the IOMMU of the host is on.\n# TYPE gpuworker_host_iommu_on gauge\ngpuworker_host_iommu_on %d\n", iommu)
	for _, family := range metricFamilies {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n", family.name, family.help, family.name)
		for _, card := range h.Cards() {
			main := card.Main()
			fmt.Fprintf(&b, "%s{bdf=%q,model=%q,id=%q} %v\n", family.name, main.BDF, term.Cell(main.ShortName()), main.ID, family.value(h, holders, card))
		}
	}
	return b.Bytes()
}
