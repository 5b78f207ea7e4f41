package proxmox

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/inventory"
)

func TestNetworkCardsAreWrittenAsDeclared(t *testing.T) {
	for _, test := range []struct {
		name    string
		have    options
		desired []inventory.NIC
		want    options
	}{
		{"the card of the template keeps its address", options{"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1"},
			[]inventory.NIC{{Network: "vmbr1", VLAN: 20}}, options{"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr1,firewall=1,tag=20"}},
		{"an address is given in the form of Proxmox", options{"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0"},
			[]inventory.NIC{{Network: "vmbr0", MAC: "bc:24:11:00:00:aa"}}, options{"net0": "virtio=BC:24:11:00:00:AA,bridge=vmbr0"}},
		{"the same address in other letters is the same", options{"net0": "virtio=bc:24:11:00:00:aa,bridge=vmbr0"},
			[]inventory.NIC{{Network: "vmbr0", MAC: "bc:24:11:00:00:aa"}}, options{}},
		{"another model stays", options{"net0": "model=e1000,macaddr=BC:24:11:00:00:01,bridge=vmbr0"},
			[]inventory.NIC{{Network: "vmbr0", MAC: "bc:24:11:00:00:aa"}}, options{"net0": "e1000=BC:24:11:00:00:AA,bridge=vmbr0"}},
		{"a second card is added, Proxmox chooses its address", options{"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0"},
			[]inventory.NIC{{Network: "vmbr0"}, {Network: "vmbr1", Address: "198.51.100.21/24"}},
			options{"net1": "virtio,bridge=vmbr1", "ipconfig1": "ip=198.51.100.21/24"}},
		{"a second card is added with its address", options{"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0"},
			[]inventory.NIC{{Network: "vmbr0"}, {Network: "vmbr1", MAC: "bc:24:11:00:00:aa"}},
			options{"net1": "virtio=BC:24:11:00:00:AA,bridge=vmbr1"}},
		{"a network card that is not declared stays", options{"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0", "net1": "virtio=BC:24:11:00:00:02,bridge=vmbr9"},
			[]inventory.NIC{{Network: "vmbr0"}}, options{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			set := options{}
			test.have.updateNICs(test.have.nics(), test.desired, func(differs bool, key, value string) {
				if differs {
					set[key] = value
				}
			})
			if diff := cmp.Diff(test.want, set); diff != "" {
				t.Errorf("set (-want +got):\n%s", diff)
			}
			for key, value := range set {
				test.have[key] = value
			}
			test.have.updateNICs(test.have.nics(), test.desired, func(differs bool, key, value string) {
				if differs {
					t.Errorf("a second time it sets %s=%s", key, value)
				}
			})
		})
	}
}

func TestNetworkCardsKeepTheirPlaces(t *testing.T) {
	got := options{"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0", "net2": "e1000=BC:24:11:00:00:03,bridge=vmbr1,tag=30", "ipconfig2": "ip=192.0.2.21/24,gw=192.0.2.1"}.nics()
	want := []inventory.NIC{
		{Network: "vmbr0", MAC: "bc:24:11:00:00:01"}, {},
		{Network: "vmbr1", VLAN: 30, MAC: "bc:24:11:00:00:03", Address: "192.0.2.21/24", Gateway: "192.0.2.1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
