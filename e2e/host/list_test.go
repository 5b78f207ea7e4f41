package host

import "testing"

func TestOnAnIntelHost(t *testing.T) {
	g := boot(t, intel)
	r := g.tool(t, "list")
	t.Log(r.Text, r.Stderr, r.Code, r.Micros)
	r = g.tool(t, "list", "-o", "json")
	t.Log(r.Text, r.Stderr, r.Code, r.Micros)
	for _, d := range g.names(t, "/sys/bus/pci/devices") {
		t.Log(d, g.read(t, "/sys/bus/pci/devices/"+d+"/class"), g.leads(t, "/sys/bus/pci/devices/"+d+"/driver"), g.leads(t, "/sys/bus/pci/devices/"+d+"/iommu_group"))
	}
	t.Log(g.console.tail())
}
