package proxmox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/gpuworker/gpuworker/internal/inventory"
)

// right is a privilege that we need on a path, and what for. Sources: the
// permission checks of each call in the API schema, and PVE::API2::Qemu.
type right struct {
	path, privilege, reason string
}

// rights are the privileges for a scope, on a Proxmox VE of the given version.
func (b *Backend) rights(version string, scope inventory.Scope) []right {
	vms := "/vms"
	if b.spec.ResourcePool != "" {
		vms = "/pool/" + b.spec.ResourcePool
	}
	list := []right{
		{"/", "Sys.Audit", "read the hosts' PCI devices and the tasks"},
		{"/vms", "VM.Audit", "see which VM holds which card: of all VMs, also those of others"},
		{"/vms", "VM.Clone", "clone the template"},
		{vms, "VM.Allocate", "make and destroy VMs"},
	}
	for _, p := range []struct{ privilege, reason string }{
		{"VM.Config.CPU", "set cores and CPU model"},
		{"VM.Config.Memory", "set memory"},
		{"VM.Config.Disk", "make the EFI variables, grow the disk"},
		{"VM.Config.CDROM", "change the cloud-init drive"},
		{"VM.Config.Network", "plug in the network card"},
		{"VM.Config.HWType", "set the machine type and attach the card"},
		{"VM.Config.Options", "set name, tags, note and protection"},
		{"VM.Config.Cloudinit", "set login and addresses"},
		{"VM.PowerMgmt", "start and stop"},
		{agentPrivilege(version), "ask the guest agent for addresses"},
	} {
		list = append(list, right{vms, p.privilege, p.reason})
	}
	for _, storage := range scope.Storages {
		list = append(list,
			right{"/storage/" + storage, "Datastore.AllocateSpace", "make disks"},
			right{"/storage/" + storage, "Datastore.Audit", "see the free space"})
	}
	for _, bridge := range scope.Bridges {
		list = append(list, right{"/sdn/zones/localnetwork/" + bridge, "SDN.Use", "plug VMs into the bridge"})
	}
	if scope.Cards {
		list = append(list,
			right{"/mapping/pci", "Mapping.Audit", "see who claims which card"},
			right{"/mapping/pci", "Mapping.Modify", "claim cards"},
			right{"/mapping/pci", "Mapping.Use", "attach cards"})
	}
	if b.spec.ResourcePool != "" {
		list = append(list, right{"/pool/" + b.spec.ResourcePool, "Pool.Audit", "see the pool"})
	}
	return list
}

// agentPrivilege differs by version: Proxmox VE 9 dropped VM.Monitor in favour
// of finer ones (pve-access-control, changelog of 9.0).
func agentPrivilege(version string) string {
	if major, _ := majorMinor(cmp.Or(version, "9")); major < 9 {
		return "VM.Monitor"
	}
	return "VM.GuestAgent.Audit"
}

// missing asks for the login's own privileges on each path that matters and
// returns those that it lacks. Source: GET /access/permissions.
func (b *Backend) missing(ctx context.Context, version string, scope inventory.Scope) ([]inventory.Right, error) {
	needed := b.rights(version, scope)
	var paths []string
	for _, r := range needed {
		if !slices.Contains(paths, r.path) {
			paths = append(paths, r.path)
		}
	}
	granted := make([]map[string]bool, len(paths))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(b.parallel)
	for i, path := range paths {
		g.Go(func() error {
			permissions, err := b.client.PermissionsAt(gctx, path)
			granted[i] = permissions[path]
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var lacking []inventory.Right
	for _, r := range needed {
		// The value tells whether a grant is inherited further down; that it is
		// there is enough here.
		if _, ok := granted[slices.Index(paths, r.path)][r.privilege]; !ok {
			lacking = append(lacking, inventory.Right{Privilege: r.privilege, Path: r.path, For: r.reason})
		}
	}
	return lacking, nil
}

// Role writes the commands that make a least-privilege user, token, roles and
// ACLs, to be run as root on any host of the cluster. One role a path keeps
// each grant to what is needed there.
func (b *Backend) Role(version string, scope inventory.Scope) string {
	const user, token = "gpuworker@pve", "engine"
	byPath := map[string][]right{}
	var paths []string
	for _, r := range b.rights(version, scope) {
		if _, known := byPath[r.path]; !known {
			paths = append(paths, r.path)
		}
		byPath[r.path] = append(byPath[r.path], r)
	}
	var out strings.Builder
	major, _ := majorMinor(cmp.Or(version, "9"))
	fmt.Fprintf(&out, "# Least-privilege login for gpuworker on Proxmox VE %d.\n", major)
	fmt.Fprintf(&out, "# Run as root on any host of the cluster. The second command prints the token's secret, once: keep it.\n\n")
	fmt.Fprintf(&out, "pveum user add %s --comment 'gpuworker engine'\n", user)
	roles := map[string]string{} // privileges → role
	var acls strings.Builder
	for _, path := range paths {
		var privileges []string
		fmt.Fprintf(&acls, "\n# %s\n", path)
		for _, r := range byPath[path] {
			privileges = append(privileges, r.privilege)
			fmt.Fprintf(&acls, "#   %-24s %s\n", r.privilege, r.reason)
		}
		joined := strings.Join(privileges, " ")
		role, made := roles[joined]
		if !made {
			role = "GpuWorker" + roleSuffix(path)
			roles[joined] = role
			fmt.Fprintf(&acls, "pveum role add %s --privs %q\n", role, joined)
		}
		fmt.Fprintf(&acls, "pveum acl modify %s --users %s --roles %s\n", path, user, role)
		fmt.Fprintf(&acls, "pveum acl modify %s --tokens '%s!%s' --roles %s\n", path, user, token, role)
	}
	fmt.Fprintf(&out, "pveum user token add %s %s --privsep 1\n", user, token)
	out.WriteString(acls.String())
	return out.String()
}

// roleSuffix names a role after the kind of path: "/storage/x" → "Storage".
func roleSuffix(path string) string {
	word, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if word == "" {
		return "Audit"
	}
	return strings.ToUpper(word[:1]) + word[1:]
}
