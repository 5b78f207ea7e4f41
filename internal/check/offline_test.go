package check

import (
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
)

// of are the findings with an ID.
func of(findings []finding.Finding, id finding.ID) (some []finding.Finding) {
	for _, f := range findings {
		if f.ID == id {
			some = append(some, f)
		}
	}
	return some
}

// TestAHostThatIsOffIsNotAMissingPrivilege: its VMs cannot be read. Each is named once,
// and no fix says to grant privileges that the login has.
func TestAHostThatIsOffIsNotAMissingPrivilege(t *testing.T) {
	const silent = "its host pve2 does not answer"
	parts := []Part{
		Host("pve1", T4("03:00").Group(14)), Host("pve2", T4("03:00").Group(11)).Offline(), Template(9000, "ubuntu-22.04", "pve1"),
		VM(205, "gpu-2", "pve2").Unreadable(silent), Claim("pve2", "03:00", "gpu-2", "gpu", "rke2-lab", 205),
	}
	for vmid := 301; vmid <= 307; vmid++ {
		parts = append(parts, VM(vmid, "vdi", "pve2").Unreadable(silent))
	}
	found := Run(documents(Observed(parts...), pool("gpu", card("pve1", "0000:03:00.0"), card("pve2", "0000:03:00.0"))))
	said := of(found, finding.VMUnreadable)
	text := written(said)
	if len(said) != 2 || strings.Count(text, `205 "gpu-2"`) != 1 || !strings.Contains(text, `VM 303 "vdi" and 4 more`) {
		t.Errorf("%d findings:\n%s", len(said), text)
	}
	for _, f := range said {
		if f.Fix != "bring host pve2 back, then run the same command again" {
			t.Errorf("%s → %s", f.Reason, f.Fix)
		}
	}
	if all := written(found); strings.Contains(all, "VM.Audit") || strings.Contains(all, "privilege the login lacks") {
		t.Errorf("a privilege is named:\n%s", all)
	}
}

// TestABridgeWithoutPrivilegeIsNotReportedMissing: Proxmox shows only bridges that the
// login may use.
func TestABridgeWithoutPrivilegeIsNotReportedMissing(t *testing.T) {
	hidden := func(h *inventory.Host) { h.Bridges = nil }
	for name, tt := range map[string]struct {
		lacks inventory.Right
		want  string
	}{
		"this bridge": {
			inventory.Right{Privilege: "SDN.Use", Path: "/sdn/zones/localnetwork/vmbr0", Stops: inventory.StopsAll},
			"unknown network  BRIDGE-MISSING         pve1: it is not known whether bridge vmbr0 exists: the login lacks SDN.Use on /sdn/zones/localnetwork/vmbr0, and Proxmox VE shows only bridges that the login may use → gpuworker role -f FILE prints the commands that make the right login\n",
		},
		"something else": {
			inventory.Right{Privilege: "SDN.Use", Path: "/sdn/zones/localnetwork/vmbr7", Stops: inventory.StopsAll},
			"info    network  BRIDGE-MISSING         pve1: the host has no bridge vmbr0; it has none → correct the name in spec.networks, or make the bridge on the host\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			world := Observed(Host("pve1").Change(hidden), Template(9000, "ubuntu-22.04", "pve1"))
			world.Missing = []inventory.Right{tt.lacks}
			if got := written(of(Run(documents(world, plainPool("w", 1))), finding.BridgeMissing)); got != tt.want {
				t.Errorf("got  %swant %s", got, tt.want)
			}
		})
	}
}
