package strangers

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luthermonson/go-proxmox"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// asRoot is the client with root's password.
func asRoot(t *testing.T, url string, client *http.Client) stranger {
	t.Helper()
	return newStranger(t, url, client, proxmox.WithCredentials(&proxmox.Credentials{Username: "root@pam", Password: "homelab-root"}))
}

// TestGoProxmoxMakesALoginAndUsesIt creates group, role, user, token and rules, like a
// set-up program, logs in with them, and removes all of them.
func TestGoProxmoxMakesALoginAndUsesIt(t *testing.T) {
	_, url, client := homelab(t)
	root := asRoot(t, url, client)
	root.ok(root.NewGroup(root.ctx, "watchers", "who only look"))
	root.ok(root.NewRole(root.ctx, "Watch", "VM.Audit"))
	root.ok(root.NewUser(root.ctx, &proxmox.NewUser{UserID: "eye@pve", Enable: true, Password: "very-secret", Groups: proxmox.CSV{"watchers"}, Comment: "an eye"}))
	root.ok(root.UpdateACL(root.ctx, proxmox.ACLOptions{Path: "/vms", Roles: "Watch", Groups: "watchers", Propagate: true}))
	user, err := root.User(root.ctx, "eye@pve")
	root.ok(err)
	if user.Comment != "an eye" || !slices.Contains(user.Groups, "watchers") {
		t.Errorf("the user is %+v", user)
	}
	made, err := user.NewAPIToken(root.ctx, proxmox.Token{TokenID: "look", Privsep: true})
	root.ok(err)
	if made.FullTokenID != "eye@pve!look" {
		t.Errorf("the token is %q", made.FullTokenID)
	}

	person := newStranger(t, url, client, proxmox.WithCredentials(&proxmox.Credentials{Username: "eye@pve", Password: "very-secret"}))
	token := newStranger(t, url, client, proxmox.WithAPIToken(made.FullTokenID, made.Value))
	sees := func(s stranger) int {
		t.Helper()
		rights, err := s.Permissions(s.ctx, &proxmox.PermissionsOptions{Path: "/vms/100"})
		s.ok(err)
		return len(rights["/vms/100"])
	}
	if sees(person) != 1 || sees(token) != 0 {
		t.Errorf("the person has %d privileges, the token %d; want 1 and 0", sees(person), sees(token))
	}
	root.ok(root.UpdateACL(root.ctx, proxmox.ACLOptions{Path: "/vms", Roles: "Watch", Tokens: made.FullTokenID, Propagate: true}))
	if sees(token) != 1 {
		t.Errorf("the token has %d privileges, want 1", sees(token))
	}

	root.ok(user.DeleteAPIToken(root.ctx, "look"))
	if _, err := token.Version(token.ctx); !proxmox.IsNotAuthorized(err) {
		t.Errorf("with a deleted token: %v", err)
	}
	root.ok(root.Password(root.ctx, "eye@pve", "another-secret"))
	newStranger(t, url, client, proxmox.WithCredentials(&proxmox.Credentials{Username: "eye@pve", Password: "another-secret"}))
	root.ok(user.Delete(root.ctx))
	roles, err := root.Roles(root.ctx)
	root.ok(err)
	root.ok(roles[slices.IndexFunc(roles, func(r *proxmox.Role) bool { return r.RoleID == "Watch" })].Delete(root.ctx))
	group, err := root.Group(root.ctx, "watchers")
	root.ok(err)
	if len(group.Members) != 0 {
		t.Errorf("the group still has %v", group.Members)
	}
	root.ok(group.Delete(root.ctx))
	acl, err := root.ACL(root.ctx)
	root.ok(err)
	for _, entry := range acl {
		if entry.RoleID == "Watch" || strings.HasPrefix(entry.UGID, "eye@pve") {
			t.Errorf("a rule is left: %+v", entry)
		}
	}
}

// TestGoProxmoxGivesAVMToTheHAManager lets the manager start, stop and relocate
// a VM.
func TestGoProxmoxGivesAVMToTheHAManager(t *testing.T) {
	sim, url, client := homelab(t)
	root := asRoot(t, url, client)
	cluster, err := root.Cluster(root.ctx)
	root.ok(err)
	node, err := root.Node(root.ctx, "pve1")
	root.ok(err)
	task, err := node.NewVirtualMachine(root.ctx, 300)
	root.done(task, err)
	becomes := func(what string, is func(pvesim.VMState) bool) {
		t.Helper()
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for !is(sim.State().VMs[300]) {
			select {
			case <-ticker.C:
			case <-root.ctx.Done():
				t.Fatalf("the VM never %s", what)
			}
		}
	}
	root.ok(cluster.NewHAResource(root.ctx, &proxmox.HAResourceCreateOption{SID: "vm:300", Comment: "kept"}))
	becomes("runs", func(v pvesim.VMState) bool { return v.Running })
	root.ok(cluster.HAResourceRelocate(root.ctx, "vm:300", "pve2"))
	becomes("runs on pve2", func(v pvesim.VMState) bool { return v.Running && v.Host == "pve2" })
	stopped := "stopped"
	root.ok(cluster.HAResourceUpdate(root.ctx, "vm:300", &proxmox.HAResourceUpdateOption{State: &stopped}))
	becomes("stops", func(v pvesim.VMState) bool { return !v.Running })
	resource, err := cluster.HAResource(root.ctx, "vm:300")
	root.ok(err)
	if resource.Comment != "kept" || resource.State == nil || *resource.State != "stopped" {
		t.Errorf("the resource is %+v", resource)
	}
	root.ok(cluster.HAResourceDelete(root.ctx, "vm:300", true))
	if list, err := cluster.HAResources(root.ctx, "vm"); err != nil || len(list) != 0 {
		t.Errorf("resources: %v, %v", list, err)
	}
}

// TestGoProxmoxAsksAHostAndAGuest reads the capabilities of QEMU, and freezes and thaws
// the file systems of a guest.
func TestGoProxmoxAsksAHostAndAGuest(t *testing.T) {
	_, url, client := homelab(t)
	root := asRoot(t, url, client)
	node, err := root.Node(root.ctx, "pve1")
	root.ok(err)
	machines, err := node.QEMUMachineTypes(root.ctx, "")
	root.ok(err)
	// Its reader of CPU models fails on the boolean 0, so it is not used.
	flags, err := node.QEMUCPUFlags(root.ctx, "", "")
	root.ok(err)
	usb, err := node.ListUSBDevices(root.ctx)
	root.ok(err)
	if len(machines) < 10 || len(flags) < 10 || len(usb) != 0 {
		t.Errorf("%d machine types, %d CPU flags, %d USB devices", len(machines), len(flags), len(usb))
	}
	id, task, err := root.template("pve1").Clone(root.ctx, &proxmox.VirtualMachineCloneOptions{Name: "frozen"})
	root.done(task, err)
	vm := root.vm("pve1", id)
	task, err = vm.Start(root.ctx)
	root.done(task, err)
	root.ok(vm.WaitForAgent(root.ctx, 30))
	if frozen, err := vm.AgentFsfreezeFreeze(root.ctx); err != nil || frozen != 1 {
		t.Errorf("froze %d file systems: %v", frozen, err)
	}
	if state, err := vm.AgentFsfreezeStatus(root.ctx); err != nil || state != "frozen" {
		t.Errorf("the guest is %s: %v", state, err)
	}
	if _, err := vm.AgentExec(root.ctx, []string{"true"}, ""); err == nil {
		t.Error("a frozen guest runs a command")
	}
	if thawed, err := vm.AgentFsfreezeThaw(root.ctx); err != nil || thawed != 1 {
		t.Errorf("thawed %d file systems: %v", thawed, err)
	}
	root.ok(vm.AgentSetUserPassword(root.ctx, "very-secret", "root"))
	root.ok(vm.AgentShutdown(root.ctx))
}
