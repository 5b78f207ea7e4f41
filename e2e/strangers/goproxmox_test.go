package strangers

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luthermonson/go-proxmox"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

const (
	tokenID     = "gpuworker@pve!engine"
	rootTokenID = "root@pam!stranger"
	secret      = "11111111-1111-4111-8111-111111111111"
)

// homelab starts a simulator of three hosts over real HTTPS.
func homelab(t *testing.T, faults ...pvesim.Fault) (*pvesim.Sim, string, *http.Client) {
	t.Helper()
	data, err := os.ReadFile("../../testdata/worlds/homelab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	world, err := pvesim.LoadWorld(data)
	if err != nil {
		t.Fatal(err)
	}
	world.Faults = faults
	world.Tokens = append(world.Tokens, pvesim.Token{ID: rootTokenID, Secret: secret, NoPrivSep: true})
	sim, err := pvesim.New(world, pvesim.WithTimeScale(500), pvesim.WithLog(t.Logf))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(sim)
	t.Cleanup(func() {
		sim.Close()
		server.Close()
	})
	return sim, server.URL + "/api2/json", server.Client()
}

// stranger is a client of another project, with checks for its answers.
type stranger struct {
	*proxmox.Client
	t   *testing.T
	ctx context.Context
}

func newStranger(t *testing.T, url string, client *http.Client, option proxmox.Option) stranger {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return stranger{proxmox.NewClient(url, proxmox.WithHTTPClient(client), option), t, ctx}
}

func (s stranger) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for a task and fails the test unless it has this exit status.
func (s stranger) ends(task *proxmox.Task, err error, with string) {
	s.t.Helper()
	s.ok(err)
	s.ok(task.Wait(s.ctx, 10*time.Millisecond, 30*time.Second))
	if task.ExitStatus != with {
		log, _ := task.Log(s.ctx, 0, 100)
		s.t.Fatalf("%s ended with %q, want %q: %v", task.Type, task.ExitStatus, with, log)
	}
}

func (s stranger) done(task *proxmox.Task, err error) {
	s.t.Helper()
	s.ends(task, err, "OK")
}

func (s stranger) vm(host string, vmid int) *proxmox.VirtualMachine {
	s.t.Helper()
	node, err := s.Node(s.ctx, host)
	s.ok(err)
	vm, err := node.VirtualMachine(s.ctx, vmid)
	s.ok(err)
	return vm
}

func TestGoProxmoxManagesAVMFromCloneToDestroy(t *testing.T) {
	for name, login := range map[string]proxmox.Option{
		"with a token":  proxmox.WithAPIToken(rootTokenID, secret),
		"with a ticket": proxmox.WithCredentials(&proxmox.Credentials{Username: "root@pam", Password: "homelab-root"}),
	} {
		t.Run(name, func(t *testing.T) {
			_, url, client := homelab(t)
			s := newStranger(t, url, client, login)

			template := s.template("pve1")
			id, task, err := template.Clone(s.ctx, &proxmox.VirtualMachineCloneOptions{Name: "stranger", Full: true, Pool: "gpu-workers"})
			s.done(task, err)
			vm := s.vm("pve1", id)
			if vm.Name != "stranger" || !vm.IsStopped() || bool(vm.Template) {
				t.Errorf("the clone is %+v", vm)
			}
			s.configure(vm)
			s.useGuest(vm)
			s.snapshot(vm)

			task, err = vm.Stop(s.ctx)
			s.done(task, err)
			s.ok(vm.Ping(s.ctx))
			if !vm.IsStopped() {
				t.Errorf("after a stop it is %s", vm.Status)
			}
			task, err = vm.Delete(s.ctx, &proxmox.VirtualMachineDeleteOptions{Purge: true, DestroyUnreferencedDisks: true})
			s.done(task, err)
			cluster, err := s.Cluster(s.ctx)
			s.ok(err)
			if free, err := cluster.CheckID(s.ctx, id); err != nil || !free {
				t.Errorf("after its end, %d is free: %v, %v", id, free, err)
			}
		})
	}
}

// template finds the template of a host in the list of VMs.
func (s stranger) template(host string) *proxmox.VirtualMachine {
	s.t.Helper()
	node, err := s.Node(s.ctx, host)
	s.ok(err)
	vms, err := node.VirtualMachines(s.ctx)
	s.ok(err)
	i := slices.IndexFunc(vms, func(vm *proxmox.VirtualMachine) bool { return bool(vm.Template) })
	if i < 0 {
		s.t.Fatalf("no template among %d VMs of %s", len(vms), host)
	}
	return vms[i]
}

// configure changes options by both calls, adds a card and reads everything back.
func (s stranger) configure(vm *proxmox.VirtualMachine) {
	s.t.Helper()
	cluster, err := s.Cluster(s.ctx)
	s.ok(err)
	card := "node=pve1,path=0000:03:00.0,id=10de:1eb8,iommugroup=14,subsystem-id=10de:12a2"
	s.ok(cluster.NewPCIMapping(s.ctx, &proxmox.ClusterPCIMappingOptions{ID: "stranger-t4", Description: "made by a stranger", Map: []string{card}}))

	task, err := vm.Config(s.ctx, proxmox.VirtualMachineOption{Name: "cores", Value: 4},
		proxmox.VirtualMachineOption{Name: "machine", Value: "q35"},
		proxmox.VirtualMachineOption{Name: "hostpci0", Value: "mapping=stranger-t4,pcie=1"})
	s.done(task, err)
	s.ok(vm.ConfigSync(s.ctx, proxmox.VirtualMachineOption{Name: "description", Value: "a stranger's"},
		proxmox.VirtualMachineOption{Name: "ciuser", Value: "ops"},
		proxmox.VirtualMachineOption{Name: "sshkeys", Value: proxmox.EncodeSSHKeys("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKJBEy57+IHpF3+iJMMBWG0YrK2+Oq6v8nHNfa+6u3uZ ops@example")}))
	s.ok(vm.Ping(s.ctx))
	task, err = vm.AddTag(s.ctx, "stranger")
	s.done(task, err)
	task, err = vm.ResizeDisk(s.ctx, "scsi0", "+2G")
	s.done(task, err)

	s.ok(vm.Ping(s.ctx))
	config := vm.VirtualMachineConfig
	if config.Cores == nil || *config.Cores != 4 || config.HostPCIs["hostpci0"] != "mapping=stranger-t4,pcie=1" || !vm.HasTag("stranger") ||
		!strings.HasPrefix(config.Description, "a stranger's") || !strings.Contains(config.SCSIs["scsi0"], "size=12G") {
		s.t.Errorf("the configuration is %+v", config)
	}
	pending, err := vm.Pending(s.ctx)
	s.ok(err)
	if len(*pending) < 10 {
		s.t.Errorf("only %d options in the pending configuration", len(*pending))
	}
	s.ok(vm.CloudInitRegenerate(s.ctx))
	text, err := vm.CloudInitDump(s.ctx, "user")
	s.ok(err)
	if !strings.Contains(text, "user: ops") {
		s.t.Errorf("cloud-init gives %s", text)
	}
}

// useGuest starts the VM and uses its guest agent.
func (s stranger) useGuest(vm *proxmox.VirtualMachine) {
	s.t.Helper()
	task, err := vm.Start(s.ctx)
	s.done(task, err)
	s.ok(vm.Ping(s.ctx))
	if !vm.IsRunning() {
		s.t.Fatalf("after a start it is %s", vm.Status)
	}
	s.ok(vm.WaitForAgent(s.ctx, 30))
	system, err := vm.AgentOsInfo(s.ctx)
	s.ok(err)
	name, err := vm.AgentGetHostName(s.ctx)
	s.ok(err)
	if system.ID != "ubuntu" || name != "stranger" {
		s.t.Errorf("the guest is %+v, called %q", system, name)
	}
	cards, err := vm.AgentGetNetworkIFaces(s.ctx)
	s.ok(err)
	if len(cards) != 1 || len(cards[0].IPAddresses) == 0 {
		s.t.Errorf("the guest's network is %+v", cards)
	}
	pid, err := vm.AgentExec(s.ctx, []string{"echo", "hello"}, "")
	s.ok(err)
	said, err := vm.WaitForAgentExecExit(s.ctx, pid, 30)
	s.ok(err)
	if said.ExitCode != 0 || said.OutData != "hello\n" {
		s.t.Errorf("the command said %+v", said)
	}
	s.ok(vm.AgentFileWrite(s.ctx, "/etc/motd", []byte("welcome\n")))
	s.readGuest(vm)
}

// readGuest reads from the agent the data that clients usually show.
func (s stranger) readGuest(vm *proxmox.VirtualMachine) {
	s.t.Helper()
	s.ok(vm.AgentPing(s.ctx))
	file, err := vm.AgentFileRead(s.ctx, "/etc/motd")
	s.ok(err)
	// This client encodes the content and also tells the server to encode it, so that
	// the guest gets base64. It is the same on a real cluster.
	if file.Content != base64.StdEncoding.EncodeToString([]byte("welcome\n")) {
		s.t.Errorf("the file has %q", file.Content)
	}
	now, err := vm.AgentGetTime(s.ctx)
	s.ok(err)
	zone, err := vm.AgentGetTimezone(s.ctx)
	s.ok(err)
	if now == 0 || zone != "UTC" {
		s.t.Errorf("the guest's time is %v in %q", now, zone)
	}
	processors, err := vm.AgentGetVCPUs(s.ctx)
	s.ok(err)
	disks, err := vm.AgentGetFsInfo(s.ctx)
	s.ok(err)
	users, err := vm.AgentGetUsers(s.ctx)
	s.ok(err)
	agent, err := vm.AgentGetInfo(s.ctx)
	s.ok(err)
	if len(processors) != 4 || len(disks) != 1 || len(users) != 0 || agent.Version == "" {
		s.t.Errorf("%d processors, %d disks, %d users, agent %+v", len(processors), len(disks), len(users), agent)
	}
}

// snapshot takes, describes, rolls back and deletes a snapshot of the stopped VM.
func (s stranger) snapshot(vm *proxmox.VirtualMachine) {
	s.t.Helper()
	task, err := vm.Shutdown(s.ctx)
	s.done(task, err)
	task, err = vm.NewSnapshot(s.ctx, "before")
	s.done(task, err)
	s.ok(vm.Snapshot("before").UpdateConfig(s.ctx, &proxmox.VirtualMachineSnapshotUpdateOptions{Description: "as it was"}))
	s.ok(vm.ConfigSync(s.ctx, proxmox.VirtualMachineOption{Name: "cores", Value: 8}))
	task, err = vm.Snapshot("before").Rollback(s.ctx)
	s.done(task, err)
	s.ok(vm.Ping(s.ctx))
	if *vm.VirtualMachineConfig.Cores != 4 {
		s.t.Errorf("after the rollback it has %d cores", *vm.VirtualMachineConfig.Cores)
	}
	config, err := vm.Snapshot("before").Config(s.ctx)
	s.ok(err)
	all, err := vm.Snapshots(s.ctx)
	s.ok(err)
	if config["description"] != "as it was" || len(all) != 2 {
		s.t.Errorf("%d snapshots, the first is %v", len(all), config)
	}
	task, err = vm.Snapshot("before").Delete(s.ctx)
	s.done(task, err)
	task, err = vm.Start(s.ctx)
	s.done(task, err)
}

func TestGoProxmoxSeesTheCluster(t *testing.T) {
	_, url, client := homelab(t)
	s := newStranger(t, url, client, proxmox.WithCredentials(&proxmox.Credentials{Username: "root@pam", Password: "homelab-root"}))
	version, err := s.Version(s.ctx)
	s.ok(err)
	nodes, err := s.Nodes(s.ctx)
	s.ok(err)
	cluster, err := s.Cluster(s.ctx)
	s.ok(err)
	if version.Version != "9.1.4" || len(nodes) != 3 || cluster.Name != "homelab" || len(cluster.Nodes) != 3 || cluster.Quorate != 1 {
		t.Errorf("version %+v, %d nodes, cluster %+v", version, len(nodes), cluster)
	}
	for kind, want := range map[string]int{"vm": 5, "storage": 6, "node": 3} {
		found, err := cluster.Resources(s.ctx, kind)
		s.ok(err)
		if len(found) < want {
			t.Errorf("%d resources of kind %s, want at least %d", len(found), kind, want)
		}
	}
	node, err := s.Node(s.ctx, "pve1")
	s.ok(err)
	if node.CPUInfo.CPUs != 32 {
		t.Errorf("the host is %+v", node)
	}
	cards, err := node.ListPCIDevices(s.ctx, nil)
	s.ok(err)
	networks, err := node.Networks(s.ctx)
	s.ok(err)
	now, err := node.Time(s.ctx)
	s.ok(err)
	dns, err := node.DNS(s.ctx)
	s.ok(err)
	if len(cards) < 5 || len(networks) < 2 || now.Timezone != "UTC" || dns.Search == "" {
		t.Errorf("%d functions, %d interfaces, time %+v, DNS %+v", len(cards), len(networks), now, dns)
	}
}

func TestGoProxmoxKeepsMappings(t *testing.T) {
	sim, url, client := homelab(t)
	s := newStranger(t, url, client, proxmox.WithAPIToken(tokenID, secret))
	cluster, err := s.Cluster(s.ctx)
	s.ok(err)
	card := "node=pve1,path=0000:03:00.0,id=10de:1eb8,iommugroup=14,subsystem-id=10de:12a2"
	s.ok(cluster.NewPCIMapping(s.ctx, &proxmox.ClusterPCIMappingOptions{ID: "t4", Map: []string{card}}))
	first, err := cluster.PCIMapping(s.ctx, "t4")
	s.ok(err)
	change := &proxmox.ClusterPCIMappingOptions{Description: "worker-1", Map: first.Map, Digest: first.Digest}
	s.ok(cluster.UpdatePCIMapping(s.ctx, "t4", change))
	if err := cluster.UpdatePCIMapping(s.ctx, "t4", change); err == nil || !strings.Contains(err.Error(), "detected modified configuration") {
		t.Errorf("a change with an old digest: %v", err)
	}
	all, err := cluster.PCIMappings(s.ctx, "pve1")
	s.ok(err)
	i := slices.IndexFunc(all, func(m *proxmox.ClusterPCIMapping) bool { return m.ID == "t4" })
	if i < 0 || all[i].Description != "worker-1" || len(all[i].Checks) != 0 {
		t.Errorf("the mappings on pve1 are %+v", all)
	}
	s.ok(cluster.DeletePCIMapping(s.ctx, "t4"))
	if _, there := sim.State().Mappings["t4"]; there {
		t.Error("the mapping is still there")
	}
}

func TestGoProxmoxKeepsPoolsAndFiles(t *testing.T) {
	_, url, client := homelab(t)
	s := newStranger(t, url, client, proxmox.WithCredentials(&proxmox.Credentials{Username: "root@pam", Password: "homelab-root"}))
	s.ok(s.NewPool(s.ctx, "strangers", "VMs of strangers"))
	pool, err := s.Pool(s.ctx, "strangers")
	s.ok(err)
	s.ok(pool.Update(s.ctx, &proxmox.PoolUpdateOption{VirtualMachines: "100"}))
	if err := pool.Delete(s.ctx); err == nil || !strings.Contains(err.Error(), "is not empty (contains VM 100)") {
		t.Errorf("a pool with a VM is deleted: %v", err)
	}
	s.ok(pool.Update(s.ctx, &proxmox.PoolUpdateOption{VirtualMachines: "100", Delete: true}))
	s.ok(pool.Delete(s.ctx))
	pools, err := s.Pools(s.ctx)
	s.ok(err)
	if len(pools) != 1 {
		t.Errorf("%d pools are left", len(pools))
	}

	node, err := s.Node(s.ctx, "pve1")
	s.ok(err)
	storage, err := node.StorageISO(s.ctx)
	s.ok(err)
	task, err := storage.UploadString("iso", "seed.iso", "not really an image")
	s.done(task, err)
	iso, err := storage.ISO(s.ctx, "seed.iso")
	s.ok(err)
	task, err = iso.Delete(s.ctx)
	s.done(task, err)
	content, err := storage.GetContent(s.ctx)
	s.ok(err)
	if slices.ContainsFunc(content, func(c *proxmox.StorageContent) bool { return strings.Contains(c.Volid, "seed.iso") }) {
		t.Errorf("the file is still there: %+v", content)
	}
}

func TestGoProxmoxReadsPermissions(t *testing.T) {
	_, url, client := homelab(t)
	s := newStranger(t, url, client, proxmox.WithCredentials(&proxmox.Credentials{Username: "root@pam", Password: "homelab-root"}))
	users, err := s.Users(s.ctx)
	s.ok(err)
	user, err := s.User(s.ctx, "gpuworker@pve")
	s.ok(err)
	tokens, err := user.GetAPITokens(s.ctx)
	s.ok(err)
	token, err := user.APIToken(s.ctx, "engine")
	s.ok(err)
	roles, err := s.Roles(s.ctx)
	s.ok(err)
	rights, err := s.Permissions(s.ctx, nil)
	s.ok(err)
	acl, err := s.ACL(s.ctx)
	s.ok(err)
	realms, err := s.Domains(s.ctx)
	s.ok(err)
	_, err = s.Groups(s.ctx)
	s.ok(err)
	if len(users) < 2 || len(tokens) < 2 || len(roles) < 10 || len(rights) == 0 || len(acl) == 0 || len(realms) != 2 {
		t.Errorf("%d users, %d tokens (%+v), %d roles, %d rights, %d entries, %d realms",
			len(users), len(tokens), token, len(roles), len(rights), len(acl), len(realms))
	}
}

func TestGoProxmoxReportsFailures(t *testing.T) {
	_, url, client := homelab(t,
		pvesim.Fault{Path: "/9000/clone$", VMID: 130, Effect: pvesim.TaskFails, Text: "no space left on device"},
		pvesim.Fault{Path: "/130/status/start$", Effect: pvesim.TaskFailsButDone, Text: "WARNINGS: 1"})
	s := newStranger(t, url, client, proxmox.WithAPIToken(tokenID, secret))
	template := s.template("pve1")
	_, task, err := template.Clone(s.ctx, &proxmox.VirtualMachineCloneOptions{NewID: 130, Full: true})
	s.ends(task, err, "no space left on device")
	if !task.IsFailed || task.IsSuccessful {
		t.Errorf("the client takes the task for %+v", task)
	}
	_, task, err = template.Clone(s.ctx, &proxmox.VirtualMachineCloneOptions{NewID: 130, Full: true})
	s.done(task, err)
	if _, _, err = template.Clone(s.ctx, &proxmox.VirtualMachineCloneOptions{NewID: 130, Full: true}); err == nil ||
		!strings.Contains(err.Error(), "500 unable to create VM 130: config file already exists") {
		t.Errorf("a second clone to the id: %v", err)
	}
	vm := s.vm("pve1", 130)
	if err := vm.ConfigSync(s.ctx, proxmox.VirtualMachineOption{Name: "cores", Value: -1}); err == nil || !strings.Contains(err.Error(), "value must have a minimum value of 1") {
		t.Errorf("a wrong number of cores: %v", err)
	}
	if err := vm.ConfigSync(s.ctx, proxmox.VirtualMachineOption{Name: "hostpci0", Value: "0000:03:00.0"}); err == nil || !strings.Contains(err.Error(), "only root can set 'hostpci0' config") {
		t.Errorf("a raw device with a token: %v", err)
	}
	task, err = vm.Start(s.ctx)
	s.ends(task, err, "WARNINGS: 1")
	s.ok(vm.Ping(s.ctx))
	// This client reports it as failed, so its caller would start the VM again.
	if !vm.IsRunning() || !task.IsFailed {
		t.Errorf("after a start with warnings it is %s, and the task %+v", vm.Status, task)
	}
	wrong := newStranger(t, url, client, proxmox.WithAPIToken(tokenID, "22222222-0000-4000-8000-000000000000"))
	if _, err := wrong.Version(wrong.ctx); !proxmox.IsNotAuthorized(err) {
		t.Errorf("with a wrong secret: %v", err)
	}
}
