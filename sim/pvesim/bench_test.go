package pvesim

import (
	"fmt"
	"strconv"
	"testing"
)

// largeCluster is a world with many hosts and VMs.
func largeCluster(hosts, vms int) World {
	w := World{Version: "9.1.4", Seed: 1, Cluster: "large", Users: []User{{ID: "root@pam", Password: rootPass}},
		Storages: []Storage{{Name: "local-lvm", Type: "lvmthin", Content: []string{"images"}}},
		Pools:    []Pool{{ID: "all"}},
		Tokens:   []Token{{ID: "root@pam!bench", Secret: "s"}},
		ACL:      []ACL{{Path: "/", Subject: "root@pam!bench", Role: "Administrator"}}}
	for i := range hosts {
		w.Hosts = append(w.Hosts, Host{Name: fmt.Sprint("pve", i), CPUs: 64, MemoryGiB: 1024, Bridges: []Bridge{{Name: "vmbr0"}}})
	}
	for i := range vms {
		id := 1000 + i
		w.VMs = append(w.VMs, VM{ID: id, Host: fmt.Sprint("pve", i%hosts), Running: i%2 == 0, Pool: "all", Config: map[string]any{
			"name": fmt.Sprint("vm", id), "memory": "4096", "cores": 4, "scsi0": fmt.Sprintf("local-lvm:vm-%d-disk-0,size=32G", id),
			"net0": "virtio,bridge=vmbr0", "tags": "a;b", "agent": "1", "ostype": "l26", "boot": "order=scsi0", "scsihw": "virtio-scsi-single"}})
	}
	return w
}

// BenchmarkAChangeSeenByAHook measures one change of a configuration with a hook that
// reads the whole state.
func BenchmarkAChangeSeenByAHook(b *testing.B) {
	for _, size := range []struct{ hosts, vms int }{{3, 10}, {200, 5000}} {
		b.Run(fmt.Sprintf("%d hosts and %d VMs", size.hosts, size.vms), func(b *testing.B) {
			seen := 0
			sim, err := New(largeCluster(size.hosts, size.vms), WithHook(func(e Event) { seen += len(e.State().VMs) }))
			if err != nil {
				b.Fatal(err)
			}
			defer sim.Close()
			client := sim.as(&testing.T{}, "root@pam!bench=s")
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if got := client.do("PUT", qemu("pve0", 1000, "/config"), "description", strconv.Itoa(i)); got.code != 200 {
					b.Fatal(got.reason)
				}
			}
			if seen == 0 {
				b.Fatal("the hook saw nothing")
			}
		})
	}
}

// BenchmarkListingAllGuests is GET /cluster/resources of a large cluster.
func BenchmarkListingAllGuests(b *testing.B) {
	sim, err := New(largeCluster(200, 5000))
	if err != nil {
		b.Fatal(err)
	}
	defer sim.Close()
	client := sim.as(&testing.T{}, "root@pam!bench=s")
	b.ReportAllocs()
	for b.Loop() {
		if got := client.do("GET", "/cluster/resources"); got.code != 200 {
			b.Fatal(got.reason)
		}
	}
}
