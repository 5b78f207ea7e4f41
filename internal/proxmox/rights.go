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
	// optional: it is recommended, and everything works without it.
	optional bool
}

// rights returns the privileges that a scope needs, on a given version of Proxmox VE.
func (b *Backend) rights(version string, scope hypervisor.Scope) []right {
	const all, cards, nothing = inventory.StopsAll, inventory.StopsCards, inventory.StopsNothing
	var list rightList
	list.add("/", "Sys.Audit", "read the hosts' PCI devices and the tasks", all)
	list.add("/vms", "VM.Audit", "see which VM holds which card, including VMs of other owners", all)
	list.add("/vms", "VM.Clone", "clone the template", all)
	for _, pool := range pools(scope) {
		vms := "/vms"
		if pool != "" {
			vms = "/pool/" + pool
			list.add(vms, "Pool.Audit", "see whether the pool exists", nothing)
		}
		list.add(vms, "VM.Allocate", "create and destroy VMs", all)
		for _, p := range []struct{ privilege, reason string }{
			{"VM.Config.CPU", "set cores and CPU model"},
			{"VM.Config.Memory", "set memory"},
			{"VM.Config.Disk", "create the EFI variables disk, grow the disk"},
			{"VM.Config.Network", "set the network card, and login and addresses for cloud-init"},
			{"VM.Config.HWType", "set the machine type and attach the card"},
			{"VM.Config.Options", "set name, tags, note and protection"},
			{"VM.PowerMgmt", "start and stop"},
		} {
			list.add(vms, p.privilege, p.reason, all)
		}
		list.addGuest(vms, version, scope)
	}
	for _, storage := range scope.Storages {
		path := strings.TrimSuffix("/storage/"+storage, "/")
		list.add(path, "Datastore.AllocateSpace", "create disks", all)
		list.add(path, "Datastore.Audit", "see the free space", all)
	}
	if scope.UseSeeds {
		list.addSeeds("/storage/" + b.isoStorage())
	}
	for _, bridge := range scope.Bridges {
		path := strings.TrimSuffix("/sdn/zones/localnetwork/"+bridge, "/")
		list.add(path, "SDN.Use", "connect VMs to bridges, including the template's bridge during a clone", all)
	}
	if scope.Cards {
		list.add("/mapping/pci", "Mapping.Audit", "see which worker claims which card", cards)
		list.add("/mapping/pci", "Mapping.Modify", "claim cards", cards)
		list.add("/mapping/pci", "Mapping.Use", "attach cards", cards)
	}
	return list
}

// rightList is a list of privileges, each once for a path.
type rightList []right

func (l *rightList) add(path, privilege, reason string, stops inventory.Stops) {
	if !slices.ContainsFunc(*l, func(r right) bool { return r.path == path && r.privilege == privilege }) {
		*l = append(*l, right{path: path, privilege: privilege, reason: reason, stops: stops})
	}
}

// addGuest adds what is needed on VMs for their seeds and guests. Reading and writing files
// has privileges of its own, but commands need Unrestricted, which includes them.
func (l *rightList) addGuest(vms, version string, scope hypervisor.Scope) {
	if scope.UseSeeds {
		l.add(vms, "VM.Config.CDROM", "attach and exchange the ISO image for cloud-init", inventory.StopsAll)
		l.add(vms, "VM.Config.Cloudinit", "put the seed in place of the template's cloud-init drive", inventory.StopsAll)
	}
	if agent := agentPrivilege(version); !scope.Guests || agent == "VM.GuestAgent.Audit" {
		l.add(vms, agent, "ask the guest agent for addresses", inventory.StopsNothing)
	}
	if scope.Guests {
		l.add(vms, guestPrivilege(version), "read and write files and run commands in the guests", inventory.StopsAll)
	}
}

// addSeeds adds what is needed on the storage for ISO images.
func (l *rightList) addSeeds(path string) {
	l.add(path, "Datastore.AllocateTemplate", "upload the ISO images for cloud-init", inventory.StopsAll)
	l.add(path, "Datastore.Audit", "see the images, and use them in VMs", inventory.StopsAll)
	*l = append(*l, right{
		path: path, privilege: "Datastore.Allocate", optional: true,
		reason: "remove images that are not needed any more; without it they are overwritten, and gpuworker orphans lists them",
	})
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

// guestPrivilege is the privilege for files and commands in guests.
func guestPrivilege(version string) string {
	if before9 := agentPrivilege(version); before9 == "VM.Monitor" {
		return before9
	}
	return "VM.GuestAgent.Unrestricted"
}

// missingRights asks for the login's privileges on each needed path and returns the
// missing ones. Source: GET /access/permissions.
func (b *Backend) missingRights(ctx context.Context, version string, scope hypervisor.Scope) ([]inventory.Right, error) {
	// The storage of the template is not known yet; a clone without the right to it
	// is refused before anything is created.
	scope.Storages = slices.DeleteFunc(slices.Clone(scope.Storages), func(name string) bool { return name == "" })
	needed := slices.DeleteFunc(b.rights(version, scope), func(r right) bool { return r.optional })
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
