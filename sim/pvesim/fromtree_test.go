package pvesim

import (
	"strings"
	"testing"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

const capturedHost = `
-- sys/bus/pci/devices/0000:03:00.0 -> ../../../devices/pci0000:00/0000:00:03.0/0000:03:00.0 --
-- sys/devices/pci0000:00/0000:00:03.0/0000:03:00.0/class --
0x030200
-- sys/devices/pci0000:00/0000:00:03.0/0000:03:00.0/vendor --
0x10de
-- sys/devices/pci0000:00/0000:00:03.0/0000:03:00.0/device --
0x1eb8
-- sys/devices/pci0000:00/0000:00:03.0/0000:03:00.0/subsystem_vendor --
0x10de
-- sys/devices/pci0000:00/0000:00:03.0/0000:03:00.0/subsystem_device --
0x12a2
-- sys/devices/pci0000:00/0000:00:03.0/0000:03:00.0/iommu_group -> ../../../../kernel/iommu_groups/77 --
-- sys/class/iommu/dmar0/ --
-- usr/share/misc/pci.ids --
10de  NVIDIA Corporation
	1eb8  TU104GL [Tesla T4]
`

func TestACapturedHostIsAHostOfAWorld(t *testing.T) {
	tree, err := hosttree.Parse([]byte(capturedHost))
	if err != nil {
		t.Fatal(err)
	}
	world := homelab(t)
	if err := world.Hosts[0].TakeHardware(tree); err != nil {
		t.Fatal(err)
	}
	sim := newSim(t, world)
	body := sim.as(t, engineToken).do("GET", "/nodes/pve1/hardware/pci").body
	for _, want := range []string{`"id":"0000:03:00.0"`, `"iommugroup":77`, `"subsystem_device":"0x12a2"`, `"device_name":"TU104GL [Tesla T4]"`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is not in %s", want, body)
		}
	}
	if strings.Count(body, `"id":`) != 1 {
		t.Errorf("more than what was captured: %s", body)
	}
}
