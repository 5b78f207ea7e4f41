package sysfsim_test

import (
	"testing"

	"github.com/gpuworker/gpuworker/e2e/host/rules"
	"github.com/gpuworker/gpuworker/sim/sysfsim"
)

// board is the machine of e2e/host, on which the rules were run on a real kernel.
func board(iommu bool) (*sysfsim.Host, rules.Devices) {
	group := func(n int) int {
		if iommu {
			return n
		}
		return -1
	}
	tree := sysfsim.NewTree()
	for _, f := range []sysfsim.Function{
		{BDF: "0000:00:04.0", ID: "1b36:000c", Class: "0x060400", Group: group(1), Driver: "pcieport"},
		{BDF: "0000:00:05.0", ID: "1b36:000c", Class: "0x060400", Group: group(2), Driver: "pcieport"},
		{BDF: "0000:01:00.0", Behind: "0000:00:04.0", ID: "10de:1eb8", Class: "0x030200", Group: group(5), Driver: "nouveau"},
		{BDF: "0000:01:00.1", Behind: "0000:00:04.0", ID: "8086:2668", Class: "0x040300", Group: group(5), Driver: "snd_hda_intel"},
		{BDF: "0000:02:00.0", Behind: "0000:00:05.0", ID: "10de:1eb8", Class: "0x030200", Group: group(6), Driver: "nouveau"},
	} {
		tree.Add(f)
	}
	tree.Mkdir("sys/bus/pci/drivers/vfio-pci")
	return sysfsim.New(tree.Archive), rules.Devices{
		Display: "0000:01:00.0", Sound: "0000:01:00.1", Second: "0000:02:00.0", ID: "10de 1eb8",
		DisplayDriver: "nouveau", SoundDriver: "snd_hda_intel",
	}
}

func TestItKeepsToTheRulesOfARealKernel(t *testing.T) {
	h, w := board(true)
	rules.Run(t, h, rules.Rules(w))
}

func TestItKeepsToThemWithoutIOMMU(t *testing.T) {
	h, w := board(false)
	rules.Run(t, h, rules.WithoutIOMMU(w))
}
