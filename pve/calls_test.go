package pve

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"
)

const (
	upid = `"` + testUPID + `"`
	null = `null`
)

// Each call is made once. The request must be that of the recording, and the recorded
// answer must be decoded to these values.
func TestCallsMatchTheRecordedRequestsAndAnswers(t *testing.T) {
	ctx := context.Background()
	task := func(task Task, err error) (any, error) { return task.UPID.String(), err }
	none := func(err error) (any, error) { return nil, err }
	tests := []struct {
		name    string
		do      func(*Client) (any, error)
		answer  string // data
		request string
		want    any
	}{
		{
			"the version", func(c *Client) (any, error) { return c.Version(ctx) },
			`{"release":"9.2","repoid":"feasref","version":"9.2.11"}`,
			"GET /api2/json/version", Version{Version: "9.2.11"},
		},
		{
			"permissions at a path", func(c *Client) (any, error) { return c.PermissionsAt(ctx, "/vms/12345") },
			`{"/vms/12345":{"VM.Audit":1}}`,
			"GET /api2/json/access/permissions?path=%2Fvms%2F12345", Permissions{"/vms/12345": {"VM.Audit": true}},
		},
		{
			"the cluster's members", func(c *Client) (any, error) { return c.ClusterStatus(ctx) },
			`[{"id":"cluster","name":"lab","nodes":2,"quorate":1,"type":"cluster","version":3},
			  {"id":"node/pve1","ip":"192.0.2.1","level":"","local":1,"name":"pve1","nodeid":1,"online":1,"type":"node"},
			  {"id":"node/pve2","ip":"192.0.2.2","level":"","local":0,"name":"pve2","nodeid":2,"online":0,"type":"node"}]`,
			"GET /api2/json/cluster/status",
			ClusterStatus{Name: "lab", Quorate: true, Nodes: []ClusterNode{
				{Name: "pve1", Online: true},
				{Name: "pve2"},
			}},
		},
		{
			"the resources of one type", func(c *Client) (any, error) { return c.Resources(ctx, "vm") },
			`[{"id":"qemu/101","node":"pve1","pool":"gpu","status":"running","type":"qemu","vmid":101,"name":"w1","tags":"a;gpu","template":0,"maxmem":1073741824,"maxcpu":2,"cpu":0.0135,"lock":"backup"},
			  {"id":"qemu/102","node":"pve1","status":"unknown","type":"qemu","vmid":102}]`,
			"GET /api2/json/cluster/resources?type=vm",
			[]Resource{
				{ID: "qemu/101", Node: "pve1", Status: "running", Type: "qemu", VMID: 101, Name: "w1", Tags: "a;gpu", Lock: "backup"},
				{ID: "qemu/102", Node: "pve1", Status: "unknown", Type: "qemu", VMID: 102},
			},
		},
		{
			"the nodes", func(c *Client) (any, error) { return c.Nodes(ctx) },
			`[{"id":"node/pve1","node":"pve1","ssl_fingerprint":"12:32","status":"online","type":"node","maxcpu":32,"maxmem":137438953472}]`,
			"GET /api2/json/nodes",
			[]Node{{Name: "pve1", Status: "online"}},
		},
		{
			"a node about itself", func(c *Client) (any, error) { return c.NodeStatus(ctx, "pve1") },
			`{"boot-info":{"mode":"efi","secureboot":0},"cpu":0,"cpuinfo":{"cores":2,"cpus":4,"model":"AMD EPYC","hvm":"","mhz":"2445.424"},
			  "current-kernel":{"machine":"x86_64","release":"6.14.8-2-pve"},"kversion":"Linux 6.14.8-2-pve #1 SMP",
			  "loadavg":["0.07","0.25","0.56"],"memory":{"available":24281137152,"free":23765925888,"total":25276510208,"used":995373056},
			  "pveversion":"pve-manager/9.2.11/feasref","uptime":6558}`,
			"GET /api2/json/nodes/pve1/status",
			NodeStatus{Uptime: 6558, CPUs: 4, Memory: MemoryUse{Total: 25276510208, Used: 995373056}},
		},
		{
			"all PCI functions, bridges included", func(c *Client) (any, error) { return c.PCIDevices(ctx, "pve1") },
			`[{"class":"0x030200","device":"0x1eb8","device_name":"TU104GL [Tesla T4]","id":"0000:17:00.0","iommugroup":20,"vendor":"0x10de","vendor_name":"NVIDIA Corporation"},
			  {"class":"0x060400","device":"0xa190","id":"0000:00:1c.0","vendor":"0x8086","iommugroup":-1},
			  {"class":"0x060400","device":"0xa191","id":"0000:00:1d.0","vendor":"0x8086"}]`,
			"GET /api2/json/nodes/pve1/hardware/pci?pci-class-blacklist=",
			[]PCIDevice{
				{Class: "0x030200", Device: "0x1eb8", DeviceName: "TU104GL [Tesla T4]", ID: "0000:17:00.0", IOMMUGroup: 20, Vendor: "0x10de", VendorName: "NVIDIA Corporation"},
				{Class: "0x060400", Device: "0xa190", ID: "0000:00:1c.0", Vendor: "0x8086", IOMMUGroup: -1},
				{Class: "0x060400", Device: "0xa191", ID: "0000:00:1d.0", Vendor: "0x8086", IOMMUGroup: -1},
			},
		},
		{
			"the networks", func(c *Client) (any, error) { return c.Networks(ctx, "pve1") },
			`[{"autostart":1,"bridge_fd":"0","bridge_ports":"","bridge_stp":"off","bridge_vids":"2-4094","bridge_vlan_aware":1,"comments":"storage network\n","families":["inet"],"iface":"vmbr1","method":"manual","priority":5,"type":"bridge"}]`,
			"GET /api2/json/nodes/pve1/network",
			[]Network{{Interface: "vmbr1", Type: "bridge", VLANAware: true}},
		},
		{
			"the storages", func(c *Client) (any, error) { return c.Storages(ctx, "pve1") },
			`[{"active":1,"avail":64923688960,"content":"rootdir,images","enabled":1,"shared":0,"storage":"images","total":270553174016,"type":"dir","used":32869605376,"used_fraction":0.121490370591831}]`,
			"GET /api2/json/nodes/pve1/storage",
			[]Storage{{Name: "images", Type: "dir", Content: "rootdir,images", Enabled: true, Active: true, Total: 270553174016, Avail: 64923688960}},
		},
		{
			"the volumes of a storage", func(c *Client) (any, error) { return c.StorageContent(ctx, "pve1", "images", "images") },
			`[{"content":"images","ctime":1795308543,"format":"raw","parent":null,"size":1073741824,"used":4096,"vmid":100,"volid":"images:100/vm-100-disk-0.raw"}]`,
			"GET /api2/json/nodes/pve1/storage/images/content?content=images",
			[]Volume{{ID: "images:100/vm-100-disk-0.raw", Content: "images", Format: "raw", Size: 1 << 30, Used: 4096, VMID: 100, Created: 1795308543}},
		},
		{
			"deleting a volume", func(c *Client) (any, error) { return task(c.DeleteVolume(ctx, "pve1", "isos:iso/a b.iso")) }, upid,
			"DELETE /api2/json/nodes/pve1/storage/isos/content/isos:iso/a%20b.iso", testUPID,
		},
		{
			"deleting a volume that was done at once", func(c *Client) (any, error) { return task(c.DeleteVolume(ctx, "pve1", "isos:iso/a.iso")) }, null,
			"DELETE /api2/json/nodes/pve1/storage/isos/content/isos:iso/a.iso", "",
		},
		{
			"the mappings", func(c *Client) (any, error) { return c.Mappings(ctx) },
			`[{"description":"first T4","digest":"d1","id":"gpu-a","map":["node=pve1,path=0000:17:00.0,id=10de:1eb8"],"type":"pci"}]`,
			"GET /api2/json/cluster/mapping/pci",
			[]Mapping{{ID: "gpu-a", Description: "first T4", Digest: "d1", Map: []string{"node=pve1,path=0000:17:00.0,id=10de:1eb8"}}},
		},
		{
			"one mapping", func(c *Client) (any, error) { return c.Mapping(ctx, "s1") },
			`{"description":"v0","digest":"d1","map":["node=pve1,path=0000:17:00.0"],"type":"pci"}`,
			"GET /api2/json/cluster/mapping/pci/s1",
			Mapping{ID: "s1", Description: "v0", Digest: "d1", Map: []string{"node=pve1,path=0000:17:00.0"}},
		},
		{
			"making a mapping", func(c *Client) (any, error) {
				return none(c.CreateMapping(ctx, MappingSpec{ID: "m", Description: "a; b", Map: []string{"node=pve1,path=0000:17:00.0", "node=pve2,path=0000:18:00.0"}}))
			}, null,
			"POST /api2/json/cluster/mapping/pci description=a%3B%20b&id=m&map=node%3Dpve1%2Cpath%3D0000%3A17%3A00.0&map=node%3Dpve2%2Cpath%3D0000%3A18%3A00.0", nil,
		},
		{
			"changing a mapping", func(c *Client) (any, error) {
				return none(c.UpdateMapping(ctx, MappingUpdate{ID: "m", Description: "v1", Map: []string{"node=pve1"}, Digest: "d1"}))
			}, null,
			"PUT /api2/json/cluster/mapping/pci/m description=v1&digest=d1&map=node%3Dpve1", nil,
		},
		{
			"an empty description is deleted", func(c *Client) (any, error) {
				return none(c.UpdateMapping(ctx, MappingUpdate{ID: "m", Map: []string{"node=pve1"}}))
			}, null,
			"PUT /api2/json/cluster/mapping/pci/m delete=description&map=node%3Dpve1", nil,
		},
		{
			"deleting a mapping", func(c *Client) (any, error) { return none(c.DeleteMapping(ctx, "m")) }, null,
			"DELETE /api2/json/cluster/mapping/pci/m", nil,
		},
		{
			"current and pending options with the digest", func(c *Client) (any, error) { return c.Pending(ctx, "pve1", 211) },
			`[{"key":"cores","pending":2,"value":1},{"key":"digest","value":"d1"},{"key":"hostpci0","pending":"mapping=gpu-b,pcie=1"},
			  {"delete":1,"key":"memory","value":"256"},{"key":"protection","value":0},{"key":"name","value":"renamed"}]`,
			"GET /api2/json/nodes/pve1/qemu/211/pending",
			PendingConfig{Digest: "d1", Options: map[string]PendingOption{
				"cores":      {Value: "1", HasValue: true, Pending: "2", HasPending: true},
				"hostpci0":   {Pending: "mapping=gpu-b,pcie=1", HasPending: true},
				"memory":     {Value: "256", HasValue: true, Delete: true},
				"protection": {Value: "0", HasValue: true},
				"name":       {Value: "renamed", HasValue: true},
			}},
		},
		{
			"changing the configuration", func(c *Client) (any, error) {
				return none(c.UpdateConfig(ctx, "pve1", 101, ConfigUpdate{Digest: "d1", Set: map[string]string{"hostpci0": "mapping=gpu-b,pcie=1", "description": ""}, Delete: []string{"ide2", "net1"}}))
			}, null,
			"PUT /api2/json/nodes/pve1/qemu/101/config delete=ide2%2Cnet1&description=&digest=d1&hostpci0=mapping%3Dgpu-b%2Cpcie%3D1", nil,
		},
		{
			"a linked clone", func(c *Client) (any, error) {
				return task(c.Clone(ctx, "pve1", 9000, CloneOptions{NewID: 9105, Name: "w-1", Pool: "gpu"}))
			}, upid,
			"POST /api2/json/nodes/pve1/qemu/9000/clone name=w-1&newid=9105&pool=gpu", testUPID,
		},
		{
			"a full clone elsewhere", func(c *Client) (any, error) {
				return task(c.Clone(ctx, "pve1", 9000, CloneOptions{NewID: 9105, Full: true, Storage: "ceph", Target: "pve2", Description: "ours"}))
			}, upid,
			"POST /api2/json/nodes/pve1/qemu/9000/clone description=ours&full=1&newid=9105&storage=ceph&target=pve2", testUPID,
		},
		{
			"a larger disk", func(c *Client) (any, error) { return task(c.Resize(ctx, "pve1", 101, "scsi0", "+8G", "")) }, upid,
			"PUT /api2/json/nodes/pve1/qemu/101/resize disk=scsi0&size=%2B8G", testUPID,
		},
		{
			"the state of a VM", func(c *Client) (any, error) { return c.VMStatus(ctx, "pve1", 301) },
			`{"cpus":1,"ha":{"managed":0},"maxmem":268435456,"name":"vm301","pid":1366,"qmpstatus":"running","status":"running","uptime":5,"vmid":301,"agent":1,"lock":"backup","running-machine":"pc-q35-10.0+pve0"}`,
			"GET /api2/json/nodes/pve1/qemu/301/status/current",
			VMStatus{VMID: 301, Name: "vm301", Status: "running", Uptime: 5},
		},
		{
			"the VMs of a node", func(c *Client) (any, error) { return c.VMs(ctx, "pve1") },
			`[{"cpu":0,"cpus":1,"maxmem":268435456,"mem":0,"name":"plain","status":"stopped","uptime":0,"vmid":100},{"cpus":2,"name":"tmpl-q35","serial":1,"status":"stopped","template":1,"vmid":9000},{"name":"vm301","pid":1366,"status":"running","tags":"a;b","vmid":301}]`,
			"GET /api2/json/nodes/pve1/qemu",
			[]VMStatus{{VMID: 100, Name: "plain", Status: "stopped"}, {VMID: 9000, Name: "tmpl-q35", Status: "stopped", Template: true}, {VMID: 301, Name: "vm301", Status: "running"}},
		},
		{
			"start", func(c *Client) (any, error) { return task(c.Start(ctx, "pve1", 101, 0)) }, upid,
			"POST /api2/json/nodes/pve1/qemu/101/status/start", testUPID,
		},
		{
			"start with a time limit", func(c *Client) (any, error) { return task(c.Start(ctx, "pve1", 101, 90500*time.Millisecond)) }, upid,
			"POST /api2/json/nodes/pve1/qemu/101/status/start timeout=91", testUPID,
		},
		{
			"stop", func(c *Client) (any, error) { return task(c.Stop(ctx, "pve1", 101)) }, upid,
			"POST /api2/json/nodes/pve1/qemu/101/status/stop", testUPID,
		},
		{
			"shutdown", func(c *Client) (any, error) {
				return task(c.Shutdown(ctx, "pve1", 101, ShutdownOptions{Timeout: time.Minute, ForceStop: true}))
			}, upid,
			"POST /api2/json/nodes/pve1/qemu/101/status/shutdown forceStop=1&timeout=60", testUPID,
		},
		{
			"destroy", func(c *Client) (any, error) { return task(c.Destroy(ctx, "pve1", 101, DestroyOptions{Purge: true})) }, upid,
			"DELETE /api2/json/nodes/pve1/qemu/101?purge=1", testUPID,
		},
		{
			"a ping of the agent", func(c *Client) (any, error) { return none(c.AgentPing(ctx, "pve1", 101)) }, `{"result":{}}`,
			"POST /api2/json/nodes/pve1/qemu/101/agent/ping", nil,
		},
		{
			"the guest's interfaces", func(c *Client) (any, error) { return c.AgentNetworkInterfaces(ctx, "pve1", 101) },
			`{"result":[{"hardware-address":"bc:24:11:00:00:01","ip-addresses":[{"ip-address":"192.0.2.20","ip-address-type":"ipv4","prefix":24}],"name":"eth0"}]}`,
			"GET /api2/json/nodes/pve1/qemu/101/agent/network-get-interfaces",
			[]AgentInterface{{Name: "eth0", MAC: "bc:24:11:00:00:01", Addresses: []AgentAddress{{Address: "192.0.2.20", Type: "ipv4", Prefix: 24}}}},
		},
		{
			"a program in the guest", func(c *Client) (any, error) {
				return c.AgentExec(ctx, "pve1", 101, []string{"sh", "-c", ""}, "in put")
			}, `{"pid":4711}`,
			"POST /api2/json/nodes/pve1/qemu/101/agent/exec command=sh&command=-c&command=&input-data=in%20put", 4711,
		},
		{
			"how the program ended", func(c *Client) (any, error) { return c.AgentExecStatus(ctx, "pve1", 101, 4711) },
			`{"exited":1,"exitcode":3,"out-data":"hello\n","err-truncated":true}`,
			"GET /api2/json/nodes/pve1/qemu/101/agent/exec-status?pid=4711",
			AgentExecResult{Exited: true, ExitCode: 3, Out: "hello\n", ErrTruncated: true},
		},
		{
			"a file in the guest", func(c *Client) (any, error) {
				return none(c.AgentFileWrite(ctx, "pve1", 101, "/etc/x", []byte("a=b\n")))
			}, null,
			`POST /api2/json/nodes/pve1/qemu/101/agent/file-write {"content":"YT1iCg==","encode":"0","file":"/etc/x"}`, nil,
		},
		{
			"a file that is not ASCII", func(c *Client) (any, error) {
				return none(c.AgentFileWrite(ctx, "pve1", 101, "/etc/x", []byte("ü")))
			}, null,
			`POST /api2/json/nodes/pve1/qemu/101/agent/file-write {"content":"w7w=","encode":"0","file":"/etc/x"}`, nil,
		},
		{
			"a file of the guest, each byte one character", func(c *Client) (any, error) { return c.AgentFileRead(ctx, "pve1", 101, "/etc/x", 5) },
			`{"content":"a\u0000Ã¼\u001b","bytes-read":5,"truncated":1}`,
			"GET /api2/json/nodes/pve1/qemu/101/agent/file-read?count=5&file=%2Fetc%2Fx",
			AgentFile{Content: []byte("a\x00ü\x1b"), Truncated: true},
		},
		{
			"input that is not ASCII, each byte one character", func(c *Client) (any, error) {
				return c.AgentExec(ctx, "pve1", 101, []string{"cat"}, "ü\xff")
			}, `{"pid":4711}`,
			"POST /api2/json/nodes/pve1/qemu/101/agent/exec command=cat&input-data=%C3%83%C2%BC%C3%BF", 4711,
		},
		{
			"what a program wrote, each byte one character", func(c *Client) (any, error) { return c.AgentExecStatus(ctx, "pve1", 101, 1) },
			`{"exited":1,"signal":9,"out-data":"Ã¼ÿ","err-data":"already right: ü€"}`,
			"GET /api2/json/nodes/pve1/qemu/101/agent/exec-status?pid=1",
			AgentExecResult{Exited: true, Signal: 9, Out: "ü\xff", Err: "already right: ü€"},
		},
		{
			"the guest's system", func(c *Client) (any, error) { return c.AgentOSInfo(ctx, "pve1", 101) },
			`{"result":{"id":"debian","version-id":"12","pretty-name":"Debian GNU/Linux 12 (bookworm)","kernel-release":"6.1.0-26-amd64","machine":"x86_64","name":"Debian GNU/Linux"}}`,
			"GET /api2/json/nodes/pve1/qemu/101/agent/get-osinfo",
			AgentOS{ID: "debian", VersionID: "12", PrettyName: "Debian GNU/Linux 12 (bookworm)", Kernel: "6.1.0-26-amd64", Machine: "x86_64"},
		},
		{
			"the guest's name", func(c *Client) (any, error) { return c.AgentHostName(ctx, "pve1", 101) }, `{"result":{"host-name":"gpu-a"}}`,
			"GET /api2/json/nodes/pve1/qemu/101/agent/get-host-name", "gpu-a",
		},
		{
			"the agent about itself", func(c *Client) (any, error) { return c.AgentInfo(ctx, "pve1", 101) },
			`{"result":{"version":"7.2.22","supported_commands":[{"enabled":true,"name":"guest-ping","success-response":true},{"enabled":false,"name":"guest-exec","success-response":true}]}}`,
			"GET /api2/json/nodes/pve1/qemu/101/agent/info",
			AgentInfo{Version: "7.2.22", Commands: []AgentCommand{{Name: "guest-ping", Enabled: true}, {Name: "guest-exec"}}},
		},
		{
			"one volume", func(c *Client) (any, error) { return c.VolumeInfo(ctx, "pve1", "isos:iso/a.iso") },
			`{"format":"raw","path":"/srv/isos/template/iso/a.iso","size":6,"used":4096}`,
			"GET /api2/json/nodes/pve1/storage/isos/content/isos:iso/a.iso",
			VolumeInfo{Path: "/srv/isos/template/iso/a.iso", Format: "raw", Size: 6, Used: 4096},
		},
		{
			"the tasks of a node", func(c *Client) (any, error) {
				return c.Tasks(ctx, "pve1", TaskFilter{Source: "all", VMID: 101, Type: "qmstart", Limit: 5})
			},
			`[{"endtime":1795308752,"id":"101","node":"pve1","pid":1620,"pstart":666679,"starttime":1795308751,"status":"OK","type":"qmstart","upid":"` + testUPID + `","user":"ops@pve","tokenid":"ci"}]`,
			"GET /api2/json/nodes/pve1/tasks?limit=5&source=all&typefilter=qmstart&vmid=101",
			[]TaskInfo{{UPID: mustUPID(testUPID), Type: "qmstart", StartTime: 1795308751, EndTime: 1795308752}},
		},
		{
			"the tasks of all nodes", func(c *Client) (any, error) { return c.ClusterTasks(ctx) },
			`[{"id":"101","node":"pve1","pid":1620,"pstart":666679,"starttime":1795308751,"type":"qmstart","upid":"` + testUPID + `","user":"ops@pve","tokenid":"ci"}]`,
			"GET /api2/json/cluster/tasks",
			[]TaskInfo{{UPID: mustUPID(testUPID), Type: "qmstart", StartTime: 1795308751}},
		},
		{
			"stopping a task", func(c *Client) (any, error) { return none(c.StopTask(ctx, mustUPID(testUPID))) }, null,
			"DELETE /api2/json/nodes/pve1/tasks/UPID:pve1:0009E3A5:0BB5C3F1:68E4F1A2:qmstart:101:ops@pve%21ci:", nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, s := overHTTP(t, inTurn(says(tt.answer)))
			got, err := tt.do(c)
			if err != nil {
				t.Fatal(err)
			}
			if requests := s.requests(); len(requests) != 1 || requests[0] != tt.request {
				t.Errorf("sent %q\nwant %q", requests, tt.request)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %#v\nwant %#v", got, tt.want)
			}
		})
	}
}

func mustUPID(s string) UPID {
	u, err := ParseUPID(s)
	if err != nil {
		panic(err)
	}
	return u
}

func TestTheRequestHasTheHeadersThatPveproxyNeeds(t *testing.T) {
	ctx := context.Background()
	t.Run("a read has no body and no content type", func(t *testing.T) {
		c, s := overHTTP(t, inTurn(says(`{"version":"9.1.4"}`)))
		if _, err := c.Version(ctx); err != nil {
			t.Fatal(err)
		}
		got := s.asked[0]
		if got.length != 0 || got.header.Get("Content-Type") != "" || got.header.Get("Transfer-Encoding") != "" {
			t.Errorf("length %d, headers %v", got.length, got.header)
		}
		if h := got.header.Get("Authorization"); h != "PVEAPIToken="+testToken {
			t.Errorf("Authorization: %q", h)
		}
	})
	t.Run("a write without parameters says that its body is empty", func(t *testing.T) {
		c, s := overHTTP(t, inTurn(says(upid)))
		if _, err := c.Stop(ctx, "pve1", 101); err != nil {
			t.Fatal(err)
		}
		got := s.asked[0]
		if got.length != 0 || got.header.Get("Content-Length") != "0" {
			t.Errorf("length %d, headers %v", got.length, got.header)
		}
	})
	t.Run("a write has a form with a length", func(t *testing.T) {
		c, s := overHTTP(t, inTurn(says(upid)))
		if _, err := c.Resize(ctx, "pve1", 101, "scsi0", "8G", ""); err != nil {
			t.Fatal(err)
		}
		got := s.asked[0]
		if got.length != int64(len(got.body)) || got.header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			t.Errorf("length %d, headers %v", got.length, got.header)
		}
	})
	t.Run("a semicolon is escaped, at which the server would split", func(t *testing.T) {
		c, s := overHTTP(t, inTurn(says(`{}`)))
		if _, err := c.PermissionsAt(ctx, "/a;b c"); err != nil {
			t.Fatal(err)
		}
		if got := s.asked[0].query; got != "path=%2Fa%3Bb%20c" {
			t.Errorf("query %q", got)
		}
	})
}

func TestInvalidCallsAreNotSent(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		name string
		do   func(*Client) error
		says string
	}{
		{"no node", func(c *Client) error { _, err := c.NodeStatus(ctx, ""); return err }, `"" cannot be part of a path`},
		{"a node that climbs", func(c *Client) error { _, err := c.NodeStatus(ctx, ".."); return err }, `".." cannot be part of a path`},
		{"a volume that climbs", func(c *Client) error { _, err := c.DeleteVolume(ctx, "pve1", "a:b/../c"); return err }, `cannot be part of a path`},
		{"a volume without its storage", func(c *Client) error { _, err := c.DeleteVolume(ctx, "pve1", "x.iso"); return err }, `must include its storage`},
		{"a change of nothing", func(c *Client) error { return c.UpdateConfig(ctx, "pve1", 101, ConfigUpdate{Digest: "d"}) }, `changes nothing`},
		{"a mapping without entries", func(c *Client) error { return c.UpdateMapping(ctx, MappingUpdate{ID: "m"}) }, `must contain its entries`},
		{"the command is empty", func(c *Client) error { _, err := c.AgentExec(ctx, "pve1", 101, nil, ""); return err }, `the command is empty`},
		{"a file that is too long", func(c *Client) error {
			return c.AgentFileWrite(ctx, "pve1", 101, "/x", make([]byte, MaxAgentFile+1))
		}, `46081 bytes are more than the 46080`},
		{"a file that is not ASCII", func(c *Client) error { return c.AgentFileWrite(ctx, "pve1", 101, "/ü", nil) }, `other than ASCII`},
		{"a read of nothing", func(c *Client) error { _, err := c.AgentFileRead(ctx, "pve1", 101, "/x", 0); return err }, `one call reads 1 to`},
		{"a command that is not ASCII", func(c *Client) error { _, err := c.AgentExec(ctx, "pve1", 101, []string{"echo", "ü"}, ""); return err }, `other than ASCII`},
		{"input that is too long", func(c *Client) error {
			_, err := c.AgentExec(ctx, "pve1", 101, []string{"cat"}, strings.Repeat("x", 64<<10+1))
			return err
		}, `longer than the 64 KiB`},
		{"an upload whose name the server would change", func(c *Client) error {
			_, err := c.Upload(ctx, "pve1", "local", UploadFile{Content: "iso", Name: "a b.iso", Size: 1}, strings.NewReader("x"))
			return err
		}, `the server replaces others`},
		{"an upload of nothing", func(c *Client) error {
			_, err := c.Upload(ctx, "pve1", "local", UploadFile{Content: "iso", Name: "a.iso"}, strings.NewReader(""))
			return err
		}, `the file is empty`},
		{"an upload with half a checksum", func(c *Client) error {
			_, err := c.Upload(ctx, "pve1", "local", UploadFile{Content: "iso", Name: "a.iso", Size: 1, SHA256: "abc"}, strings.NewReader("x"))
			return err
		}, `no SHA-256`},
		{"a log of no task", func(c *Client) error { _, _, err := c.TaskLog(ctx, UPID{}, 0, 0); return err }, `cannot be part of a path`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, s := inProcess(t, inTurn(says(null)))
			e := mustError(t, tt.do(c))
			mustContain(t, e.Error(), tt.says)
			if e.Kind != Invalid || e.Ambiguous {
				t.Errorf("kind %s, ambiguous %v", e.Kind, e.Ambiguous)
			}
			if got := s.requests(); len(got) != 0 {
				t.Errorf("sent %q", got)
			}
		})
	}
}

func TestTagsAreAList(t *testing.T) {
	if got, want := (Resource{Tags: "a;b,c d"}).TagList(), []string{"a", "b", "c", "d"}; !reflect.DeepEqual(got, want) {
		t.Errorf("tags %q", got)
	}
	if got := (Resource{}).TagList(); len(got) != 0 {
		t.Errorf("no tags, but %q", got)
	}
}
