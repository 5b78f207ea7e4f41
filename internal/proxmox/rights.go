package proxmox

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// right is a privilege that we need on a path, and the reason. Sources: the
// permission checks of each call in the API schema, and PVE::API2::Qemu.
type right struct {
	path, privilege, reason string
	stops                   inventory.Stops
}

// rights returns the privileges that a scope needs, on a given version of Proxmox VE.
func rights(version string, scope hypervisor.Scope) []right {
	const all, cards, nothing = inventory.StopsAll, inventory.StopsCards, inventory.StopsNothing
	list := []right{
		{"/", "Sys.Audit", "read the hosts' PCI devices and the tasks", all},
		{"/vms", "VM.Audit", "see which VM holds which card, including VMs of other owners", all},
		{"/vms", "VM.Clone", "clone the template", all},
	}
	for _, pool := range pools(scope) {
		vms := "/vms"
		if pool != "" {
			vms = "/pool/" + pool
			list = append(list, right{vms, "Pool.Audit", "see whether the pool exists", nothing})
		}
		list = append(list, right{vms, "VM.Allocate", "create and destroy VMs", all})
		for _, p := range []struct{ privilege, reason string }{
			{"VM.Config.CPU", "set cores and CPU model"},
			{"VM.Config.Memory", "set memory"},
			{"VM.Config.Disk", "create the EFI variables disk, grow the disk"},
			{"VM.Config.Network", "set the network card, and login and addresses for cloud-init"},
			{"VM.Config.HWType", "set the machine type and attach the card"},
			{"VM.Config.Options", "set name, tags, note and protection"},
			{"VM.PowerMgmt", "start and stop"},
		} {
			list = append(list, right{vms, p.privilege, p.reason, all})
		}
		list = append(list, right{vms, agentPrivilege(version), "ask the guest agent for addresses", nothing})
	}
	for _, storage := range scope.Storages {
		path := strings.TrimSuffix("/storage/"+storage, "/")
		list = append(list,
			right{path, "Datastore.AllocateSpace", "create disks", all},
			right{path, "Datastore.Audit", "see the free space", all})
	}
	for _, bridge := range scope.Bridges {
		path := strings.TrimSuffix("/sdn/zones/localnetwork/"+bridge, "/")
		list = append(list, right{path, "SDN.Use", "connect VMs to bridges, including the template's bridge during a clone", all})
	}
	if scope.Cards {
		list = append(list,
			right{"/mapping/pci", "Mapping.Audit", "see which worker claims which card", cards},
			right{"/mapping/pci", "Mapping.Modify", "claim cards", cards},
			right{"/mapping/pci", "Mapping.Use", "attach cards", cards})
	}
	return list
}

// pools returns the resource pools for VMs; "" means none.
func pools(scope hypervisor.Scope) []string {
	if len(scope.ResourcePools) == 0 {
		return []string{""}
	}
	return scope.ResourcePools
}

// agentPrivilege depends on the version: Proxmox VE 9 replaced VM.Monitor by several
// smaller privileges (pve-access-control, changelog of 9.0).
func agentPrivilege(version string) string {
	if major, _ := majorMinor(cmp.Or(version, "9")); major < 9 {
		return "VM.Monitor"
	}
	return "VM.GuestAgent.Audit"
}

// missingRights asks for the login's privileges on each needed path and returns the
// missing ones. Source: GET /access/permissions.
func (b *Backend) missingRights(ctx context.Context, version string, scope hypervisor.Scope) ([]inventory.Right, error) {
	// The storage of the template is not known yet; a clone without the right to it
	// is refused before anything is created.
	scope.Storages = slices.DeleteFunc(slices.Clone(scope.Storages), func(name string) bool { return name == "" })
	needed := rights(version, scope)
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
		// The value says whether the grant is inherited by paths below; only its
		// presence matters here.
		if _, ok := granted[slices.Index(paths, r.path)][r.privilege]; !ok {
			lacking = append(lacking, inventory.Right{Privilege: r.privilege, Path: r.path, For: r.reason, Stops: r.stops})
		}
	}
	return lacking, nil
}
