package host

import (
	"testing"

	"github.com/gpuworker/gpuworker/e2e/host/call"
)

func aCardThatAVMHolds(t *testing.T, g *guest) {
	for bdf, driver := range map[string]string{card: "bochs-drm", sound: "snd_hda_intel"} {
		g.mustWrite(t, pciDevices+bdf+"/driver_override", "vfio-pci")
		g.mustWrite(t, "/sys/bus/pci/drivers/"+driver+"/unbind", bdf)
		g.mustWrite(t, "/sys/bus/pci/drivers_probe", bdf)
	}
	node := "/dev/vfio/" + g.leads(t, pciDevices+card+"/iommu_group")
	if r := g.do(t, call.Request{Op: call.Hold, Path: node, Text: card}); r.Error != "" {
		t.Fatal(r.Error)
	}
	t.Log(g.tool(t, "list").Text)
	r := g.do(t, call.Request{Op: call.Write, Path: "/sys/bus/pci/drivers/vfio-pci/unbind", Text: card, Patience: 1000})
	t.Logf("%+v", r)
	for _, f := range g.names(t, pciDevices+card) {
		r := g.do(t, call.Request{Op: call.Read, Path: pciDevices+card+"/"+f, Patience: 100})
		if r.Stuck { t.Log("STUCK ", f) }
	}
	r = g.do(t, call.Request{Op: call.Run, Argv: []string{"/bin/gpuworker-host", "list"}, Patience: 3000})
	t.Logf("%+v", r)
	r = g.do(t, call.Request{Op: call.List, Path: pciDevices+card})
	t.Logf("%+v", r)
	for _, b := range []string{card, sound, twin} {
	r = g.do(t, call.Request{Op: call.Write, Path: "/sys/bus/pci/drivers_probe", Text: b, Patience: 500})
	t.Logf("%+v", r)
	}
	r = g.do(t, call.Request{Op: call.Write, Path: pciDevices+sound+"/driver_override", Text: "\n", Patience: 500})
	t.Logf("%+v", r)
	r = g.do(t, call.Request{Op: call.Write, Path: pciDevices+card+"/driver_override", Text: "\n", Patience: 500})
	t.Logf("%+v", r)
	r = g.do(t, call.Request{Op: call.Release, Path: node, Text: card})
	t.Logf("%+v", r)
	r = g.do(t, call.Request{Op: call.Run, Argv: []string{"/bin/gpuworker-host", "list"}, Patience: 3000})
	t.Logf("%+v", r)
}
