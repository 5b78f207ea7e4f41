package capture_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/sim/pvesim/capture"
)

// richer is a cluster with features that a world does not support: it adds entries to
// the cluster's lists.
type richer struct {
	next  http.RoundTripper
	extra map[string][]any // by the end of the path
}

func (s richer) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := s.next.RoundTrip(r)
	if err != nil || response.StatusCode != http.StatusOK {
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	for path, extra := range s.extra {
		if !strings.HasSuffix(r.URL.Path, path) {
			continue
		}
		var answer struct {
			Data []any `json:"data"`
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return nil, err
		}
		answer.Data = append(answer.Data, extra...)
		if body, err = json.Marshal(answer); err != nil {
			return nil, err
		}
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

func TestWhatAWorldHasNoRoomForIsSaid(t *testing.T) {
	type entry = map[string]any
	cluster := serve(t, loadWorld(t, "homelab"), "gpuworker@pve!audit")
	options := cluster.options()
	options.Transport = richer{cluster.sim.Transport(), map[string][]any{
		"/cluster/resources": {entry{"type": "lxc", "vmid": 300, "node": "pve1"}, entry{"type": "lxc", "vmid": 301, "node": "pve1"}, entry{"type": "lxc", "vmid": 305, "node": "pve2"}},
		"/storage": {entry{"storage": "tank", "type": "zfspool", "content": "images,rootdir"},
			entry{"storage": "ceph", "type": "rbd", "content": "images", "shared": 1}, entry{"storage": "backups", "type": "pbs", "content": "backup"}},
		"/nodes/pve1/storage": {entry{"storage": "tank", "total": 1 << 40, "active": 1}},
		"/nodes/pve2/storage": {entry{"storage": "tank", "total": 1 << 39, "active": 1}},
		"/nodes/pve1/network": {entry{"iface": "ovs0", "type": "OVSBridge", "ovs_ports": "eno7"}, entry{"iface": "bond0", "type": "bond"}, entry{"iface": "bond1", "type": "bond"}},
		"/cluster/mapping/pci": {entry{"id": "vgpu", "mdev": 1, "map": []string{"node=pve1,path=0000:03:00.0,id=10de:1eb8"}},
			entry{"id": "odd", "map": []string{"what is this"}}},
		"/qemu/100/pending": {entry{"key": "parent", "value": "before-upgrade"}, entry{"key": "vmstate", "value": "local-lvm:x"}, entry{"key": "args", "value": "-x"}},
		"/access/roles":     {entry{"roleid": "Future", "privs": "VM.Audit,VM.Teleport", "special": 0}},
		"/access/acl":       {entry{"path": "/", "type": "user", "ugid": "ghost@pve", "roleid": "PVEAuditor"}},
	}}
	result, err := capture.Capture(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, note := range result.Notes {
		said = append(said, note.String())
	}
	for _, want := range []string{
		"not captured: containers 300-301, 305, because",
		"not captured: snapshots of VM 100, because a world does not support them",
		"not captured: option args of VM 100, because it is free text",
		"not captured: option vmstate of VM 100, because",
		"not captured: of the network of host1: 1 × OVSBridge, 2 × bond, because",
		"not captured: mdev and live migration of mapping mapping3, because",
		"not captured: an entry of mapping mapping1, because",
		"not captured: privilege VM.Teleport of role role1, because pvesim does not support it",
		"not captured: 1 entries of permissions, because",
		"assumed: storage storage3 behaves like lvmthin, because pvesim does not support zfspool",
		"assumed: storage storage2 behaves like nfs, because pvesim does not support rbd",
		"assumed: storage storage1 behaves like nfs, because pvesim does not support pbs",
		"assumed: storage storage3 has 512 GiB on each host, because a world has one size for all hosts, and the sizes are up to 1024 GiB",
	} {
		if !slices.ContainsFunc(said, func(note string) bool { return strings.HasPrefix(note, want) }) {
			t.Errorf("nothing says %q", want)
		}
	}
	if t.Failed() {
		t.Log(strings.Join(said, "\n"))
	}
	file, world := load(t, result)
	if !slices.ContainsFunc(world.Hosts[0].Bridges, func(b pvesim.Bridge) bool { return b.Name == "bridge1" && b.Ports == "eno7" }) {
		t.Errorf("the bridge of Open vSwitch is not there: %+v", world.Hosts[0].Bridges)
	}
	// The head of the file says the same, in lines of its own.
	head := strings.Join(strings.Fields(strings.ReplaceAll(file, "#", "")), " ")
	for _, note := range said {
		_, text, _ := strings.Cut(note, ": ")
		if !strings.Contains(head, text) {
			t.Errorf("the file does not say %q", text)
		}
	}
}

func TestAQuestionThatIsRefusedIsNoEnd(t *testing.T) {
	cluster := spoiled(t, func(w http.ResponseWriter, r *http.Request) bool {
		refused := r.URL.Path == "/api2/json/pools" || r.URL.Path == "/api2/json/access/permissions" && r.URL.Query().Get("path") == "/mapping/pci"
		if refused {
			w.WriteHeader(500)
		}
		return refused
	})
	result := cluster.capture(false)
	var said []string
	for _, note := range result.Notes {
		said = append(said, note.String())
	}
	if text := strings.Join(said, "\n"); len(result.World.VMs) != 6 || !strings.Contains(text, "not captured: /pools, because the server refused") {
		t.Errorf("%d VMs, and it says:\n%s", len(result.World.VMs), text)
	}
}
