package pvesim_test

import (
	"fmt"
	"net/url"
	"time"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// The cluster loses its quorum, so that writes fail. It continues to run, and regains its
// quorum.
func ExampleSim_SetQuorum() {
	l := homelab()
	defer l.Close()
	l.must(l.SetQuorum(false))

	_, err := l.call("PUT", "/nodes/pve1/qemu/100/config", url.Values{"description": {"x"}})
	fmt.Println(err)
	_, err = l.call("POST", "/nodes/pve1/qemu/9000/clone", url.Values{"newid": {"130"}})
	fmt.Println(err)
	// This takes ten seconds, divided by the time scale.
	_, err = l.call("DELETE", "/cluster/mapping/pci/vdi-t4", nil)
	fmt.Println(err)

	l.must(l.SetQuorum(true))
	_, err = l.call("PUT", "/nodes/pve1/qemu/100/config", url.Values{"description": {"x"}})
	fmt.Println(err)
	// Output:
	// 500 unable to open file '/etc/pve/nodes/pve1/qemu-server/100.conf.tmp.998' - Permission denied
	// 500 cluster not ready - no quorum?
	// 500 delete pci mapping failed: cfs-lock 'file-mapping_pci_cfg' error: no quorum!
	// <nil>
}

// The quorum is lost at the second clone. It comes back at the next read of the cluster
// status.
func ExampleSim_Inject_quorumLost() {
	l := homelab()
	defer l.Close()
	l.must(l.Inject(pvesim.Fault{Path: "/clone$", Nth: 2, Effect: pvesim.QuorumLost}))
	l.must(l.Inject(pvesim.Fault{Path: "^/nodes$", Effect: pvesim.QuorumBack}))

	for _, id := range []string{"130", "131"} {
		_, err := l.call("POST", "/nodes/pve1/qemu/9000/clone", url.Values{"newid": {id}})
		fmt.Println(err)
	}
	_, err := l.call("GET", "/nodes", nil)
	l.must(err)
	_, err = l.call("POST", "/nodes/pve1/qemu/9000/clone", url.Values{"newid": {"132"}})
	fmt.Println(err)
	// Output:
	// <nil>
	// 500 cluster not ready - no quorum?
	// <nil>
}

// The list of all VMs is delayed, the list of a host is not.
func ExampleSim_SetListLag() {
	l := homelab()
	defer l.Close()
	l.SetListLag(pvesim.Duration(10 * time.Hour)) // 36 seconds, at a time scale of 1000
	upid, err := l.call("POST", "/nodes/pve1/qemu/100/status/stop", url.Values{})
	l.must(err)
	l.end(upid)

	for _, path := range []string{"/cluster/resources?type=vm", "/nodes/pve1/qemu"} {
		list, err := l.call("GET", path, nil)
		l.must(err)
		for _, entry := range list.([]any) {
			if vm := entry.(map[string]any); vm["vmid"] == 100.0 {
				fmt.Println(path, vm["status"])
			}
		}
	}
	// Output:
	// /cluster/resources?type=vm running
	// /nodes/pve1/qemu stopped
}

// A host's pvedaemon restarts: the proxy answers with two different errors, one after the
// other.
func ExampleSim_Inject_daemonRestart() {
	l := homelab()
	defer l.Close()
	l.must(l.Inject(pvesim.Fault{Path: "^/nodes/pve1/qemu$", Effect: pvesim.Status, Code: 596, Text: "Connection reset by peer"}))
	l.must(l.Inject(pvesim.Fault{Path: "^/nodes/pve1/qemu$", Times: 2, Effect: pvesim.Status, Code: 595, Text: "Connection refused"}))

	for range 4 {
		_, err := l.call("GET", "/nodes/pve1/qemu", nil)
		fmt.Println(err)
	}
	// Output:
	// 596 Connection reset by peer
	// 595 Connection refused
	// 595 Connection refused
	// <nil>
}
