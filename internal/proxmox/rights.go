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
	stops                   inventory.Stops
}

// rights are the privileges for a scope, on a Proxmox VE of the given version.
func (b *Backend) rights(version string, scope inventory.Scope) []right {
	const all, cards, nothing = inventory.StopsAll, inventory.StopsCards, inventory.StopsNothing
	vms := "/vms"
	if b.spec.ResourcePool != "" {
		vms = "/pool/" + b.spec.ResourcePool
	}
	list := []right{
		{"/", "Sys.Audit", "read the hosts' PCI devices and the tasks", all},
		{"/vms", "VM.Audit", "see which VM holds which card: of all VMs, also those of others", all},
		{"/vms", "VM.Clone", "clone the template", all},
		{vms, "VM.Allocate", "make and destroy VMs", all},
	}
	for _, p := range []struct{ privilege, reason string }{
		{"VM.Config.CPU", "set cores and CPU model"},
		{"VM.Config.Memory", "set memory"},
		{"VM.Config.Disk", "make the EFI variables, grow the disk"},
		{"VM.Config.Network", "plug in the network card, tell cloud-init login and addresses"},
		{"VM.Config.HWType", "set the machine type and attach the card"},
		{"VM.Config.Options", "set name, tags, note and protection"},
		{"VM.PowerMgmt", "start and stop"},
	} {
		list = append(list, right{vms, p.privilege, p.reason, all})
	}
	list = append(list, right{vms, agentPrivilege(version), "ask the guest agent for addresses", nothing})
	for _, storage := range scope.Storages {
		path := strings.TrimSuffix("/storage/"+storage, "/")
		list = append(list,
			right{path, "Datastore.AllocateSpace", "make disks", all},
			right{path, "Datastore.Audit", "see the free space", all})
	}
	for _, bridge := range scope.Bridges {
		path := strings.TrimSuffix("/sdn/zones/localnetwork/"+bridge, "/")
		list = append(list, right{path, "SDN.Use", "plug VMs into bridges, also into that of the template while cloning", all})
	}
	if scope.Cards {
		list = append(list,
			right{"/mapping/pci", "Mapping.Audit", "see who claims which card", cards},
			right{"/mapping/pci", "Mapping.Modify", "claim cards", cards},
			right{"/mapping/pci", "Mapping.Use", "attach cards", cards})
	}
	if b.spec.ResourcePool != "" {
		list = append(list, right{"/pool/" + b.spec.ResourcePool, "Pool.Audit", "see the pool", nothing})
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
	// Which storage the template is on is not known yet; a clone without the
	// right to it is refused before anything is made.
	scope.Storages = slices.DeleteFunc(slices.Clone(scope.Storages), func(name string) bool { return name == "" })
	needed := b.rights(version, scope)
	var paths []string
	for _, r := range needed {
		if !slices.Contains(paths, r.path) {
			paths = append(paths, r.path)
		}
	}
	granted := make([]map[string]bool, len(paths))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(hostRequests)
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
			lacking = append(lacking, inventory.Right{Privilege: r.privilege, Path: r.path, For: r.reason, Stops: r.stops})
		}
	}
	return lacking, nil
}

// Role writes the commands that make a least-privilege user, token, roles and
// ACLs, to be run as root on any host of the cluster. One role a path keeps
// each grant to what is needed there.
func (b *Backend) Role(version string, scope inventory.Scope) string {
	const user, token = "gpuworker@pve", "engine"
	// A clone is checked for the template's bridge too, which only an
	// observation shows: so the right is given on all local bridges.
	scope.Bridges = []string{""}
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
