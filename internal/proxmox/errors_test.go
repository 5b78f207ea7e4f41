package proxmox

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// TestTheFixDependsOnTheCause: errors of one kind may need different fixes.
func TestTheFixDependsOnTheCause(t *testing.T) {
	where := fault.Place{Host: "pve1", VM: "9101"}
	for name, tt := range map[string]struct {
		err  error
		kind fault.Kind
		fix  string
	}{
		"QEMU could not open the card": {
			&pve.Error{Kind: pve.Hardware, Node: "pve1", Message: "start failed: QEMU exited with code 1", Log: []string{
				"kvm: -device vfio-pci,host=0000:3b:00.0,id=hostpci0,bus=ich9-pcie-port-1,addr=0x0: vfio 0000:3b:00.0: Could not open '/dev/vfio/21': No such file or directory",
			}},
			fault.Refused,
			"gpuworker-host check 0000:3b:00.0   (on pve1) shows which driver has the card; gpuworker-host bind 0000:3b:00.0   (on pve1) shows how to bind it to vfio-pci",
		},
		"the IOMMU is off": {
			&pve.Error{Kind: pve.Hardware, Message: "cannot prepare PCI pass-through, IOMMU not present"},
			fault.Refused, "gpuworker check shows which layer is not ready",
		},
		"a proxy does not let us through": {
			&pve.Error{Kind: pve.Unavailable, Cause: &pve.ProxyError{Proxy: "http://proxy:3128", Target: "pve1.lab:8006", Status: "403 Forbidden"}},
			fault.Unavailable, "allow the proxy to connect to pve1.lab:8006, or bypass the proxy: add pve1.lab to NO_PROXY in the environment",
		},
		"the resource pool went away": {
			&pve.Error{Kind: pve.NotFound, What: "pool", Status: 403, Message: "Permission check failed (pool 'gpupool' does not exist)"},
			fault.NotFound,
			"create the resource pool, or correct spec.proxmox.resourcePool of the Hypervisor: gpuworker role prints the commands that create it",
		},
		"the VM went away": {
			&pve.Error{Kind: pve.NotFound, What: "vm"},
			fault.NotFound, "it does not exist any more: look with gpuworker status, then run the same command again",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := (&Backend{name: "lab"}).wrap(tt.err, "start the VM", where)
			if fault.KindOf(err) != tt.kind || fault.FixOf(err) != tt.fix || !errors.Is(err, tt.err) {
				t.Errorf("%s: %v\ngot  %s\nwant %s", fault.KindOf(err), err, fault.FixOf(err), tt.fix)
			}
		})
	}
}

// TestALostQuorumIsConfirmed by asking the cluster: the text of one error is not enough
// to send a person to the hosts.
func TestALostQuorumIsConfirmed(t *testing.T) {
	for name, tt := range map[string]struct {
		lost bool
		why  string
		fix  []string
	}{
		"it is lost":   {true, "the cluster has lost its quorum, nothing can be written: 1 of 3 hosts are up", []string{"bring back pve2, pve3; on a host that is up, pvecm status"}},
		"it came back": {false, "the cluster refused the write as if it had no quorum; it has quorum now", []string{"run the same command again", "pvecm status"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := world(t)
				sim, err := pvesim.New(w, pvesim.WithLog(t.Logf))
				must(t, err)
				defer sim.Close()
				b := open(t, sim, tokenOf(t, w, "gpuworker@pve!engine"))
				must(t, sim.SetQuorum(!tt.lost))
				denied := &pve.Error{Kind: pve.NoQuorum, Status: 500, Message: "unable to open file '/etc/pve/nodes/pve1/qemu-server/9102.conf.tmp.1' - Permission denied"}
				err = b.wrap(denied, "configure the VM", fault.Place{VM: "9102"})
				if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), tt.why) || !errors.Is(err, denied) {
					t.Errorf("%s: %v", fault.KindOf(err), err)
				}
				for _, part := range tt.fix {
					if !strings.Contains(fault.FixOf(err), part) {
						t.Errorf("fix %q, want %q in it", fault.FixOf(err), part)
					}
				}
			})
		})
	}
}
