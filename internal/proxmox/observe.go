package proxmox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/pve"
)

// Observe implements hypervisor.Source. It sends a few requests to the cluster, at
// most six to each host, and one for the configuration of each relevant VM; all in
// parallel, up to the limit.
func (b *Backend) Observe(ctx context.Context, scope hypervisor.Scope) (*inventory.Snapshot, error) {
	version, err := b.client.Version(ctx)
	if err != nil {
		return nil, b.wrap(err, "reach the hypervisor", fault.Place{})
	}
	scope.Bridges = namedBridges(scope.Bridges)
	s := &inventory.Snapshot{
		Hypervisor: b.name, Product: "Proxmox VE", Version: version.Version, Supported: supported(version.Version),
		Capabilities: b.Capabilities(), Advice: advice, IDRange: fmt.Sprintf("%d to %d", b.spec.VMIDs.First, b.spec.VMIDs.Last),
	}
	known, resources, err := b.observeCluster(ctx, s, scope)
	if err != nil {
		return nil, b.wrap(err, "look at the cluster", fault.Place{})
	}
	if scope.Only != nil && scope.Only.Hosts {
		return s, nil
	}
	for i := range s.Claims {
		s.Claims[i].FromRange = fromRange(b.spec.VMIDs, number(s.Claims[i].Record.VM))
	}
	s.FreeIDs = b.freeIDs(resources, s.Claims, scope.NewVMs)
	if err := b.observeVMs(ctx, s, scope, known, resources); err != nil {
		return nil, b.wrap(err, "look at the VMs", fault.Place{})
	}
	if scope.Agents {
		b.observeAgents(ctx, s)
	}
	if scope.Seeds {
		b.observeSeeds(ctx, s)
	}
	s.Setup = b.setup(s)
	return s, nil
}

// namedBridges replaces "" by the default bridge, and removes duplicates.
func namedBridges(bridges []string) []string {
	var names []string
	for _, bridge := range bridges {
		if name := cmp.Or(bridge, v1alpha1.DefaultBridge); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// supported reports whether a version is supported: 8.4 and 9.
func supported(version string) bool {
	major, minor := majorMinor(version)
	return major == 9 || major == 8 && minor >= 4
}

func majorMinor(version string) (major, minor int) {
	_, _ = fmt.Sscanf(version, "%d.%d", &major, &minor)
	return major, minor
}

// observeCluster reads the cluster as a whole, and each host. The list of all VMs
// takes by far the longest, so it is requested first.
func (b *Backend) observeCluster(ctx context.Context, s *inventory.Snapshot, scope hypervisor.Scope) (known mappings, resources []pve.Resource, err error) {
	if s.Hosts, err = b.hosts(ctx); err != nil {
		return nil, nil, err
	}
	ask := func(g *errgroup.Group, gctx context.Context) {
		for i := range s.Hosts {
			if host := &s.Hosts[i]; host.Online && !host.Skipped {
				g.Go(func() error { return b.observeHost(gctx, host, scope) })
			}
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(maxRequests)
	g.Go(func() (err error) { resources, err = b.client.Resources(gctx, "vm"); return err })
	g.Go(func() (err error) { known, err = b.mappings(gctx); return err })
	g.Go(func() (err error) { s.Missing, err = b.missingRights(gctx, s.Version, scope); return err })
	g.Go(func() (err error) { s.MissingPool, err = b.missingPool(gctx); return err })
	g.Go(func() error { return b.observeQuorum(gctx, s) })
	if named := scope.Only != nil && !scope.Only.Hosts; !named {
		ask(g, gctx)
		err = g.Wait()
	} else if err = g.Wait(); err == nil { // only now it is known which hosts are needed
		skipHosts(s, scope.Only, claims(known, s.Hosts), resources)
		g, gctx = errgroup.WithContext(ctx)
		g.SetLimit(maxRequests)
		ask(g, gctx)
		err = g.Wait()
	}
	if err == nil {
		s.Claims = claims(known, s.Hosts)
	}
	return known, resources, err
}

// skipHosts marks the hosts that are not asked for and have no VM and no claim of the
// named workers, so that they are not read.
func skipHosts(s *inventory.Snapshot, only *hypervisor.Extent, claims []inventory.Claim, resources []pve.Resource) {
	named, asked, theirs := setOf(only.Workers), setOf(only.On), map[int]bool{}
	for i := range claims {
		if record := &claims[i].Record; named[record.Worker] {
			asked[claims[i].Card.Host], theirs[number(record.VM)] = true, true
		}
	}
	for _, r := range resources {
		if r.Type == "qemu" && (named[r.Name] || theirs[r.VMID]) {
			asked[r.Node] = true
		}
	}
	for i := range s.Hosts {
		if host := &s.Hosts[i]; !asked[host.Name] {
			host.Skipped = true
			host.Gaps = []inventory.Gap{{What: "PCI devices", Why: "this host was not read: it has none of the named workers"}}
		}
	}
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// hosts lists the hosts, sorted by name.
func (b *Backend) hosts(ctx context.Context) ([]inventory.Host, error) {
	nodes, err := b.client.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	var hosts []inventory.Host
	for _, n := range nodes {
		hosts = append(hosts, inventory.Host{Name: n.Name, Online: n.Status != "offline", IOMMU: inventory.Unknown})
	}
	slices.SortFunc(hosts, func(x, y inventory.Host) int { return strings.Compare(x.Name, y.Name) })
	return hosts, nil
}

// observeHost reads one host. A host that does not answer is in the snapshot as not
// online or with gaps; the other hosts are still read.
func (b *Backend) observeHost(ctx context.Context, host *inventory.Host, scope hypervisor.Scope) error {
	asked := []struct {
		what string
		ask  func() error
	}{
		{"status", func() error { return b.hostStatus(ctx, host) }},
		{"PCI devices", func() error { return b.hostDevices(ctx, host) }},
		{"networks", func() error { return b.hostBridges(ctx, host) }},
		{"storages", func() error { return b.hostStorages(ctx, host) }},
	}
	for _, a := range asked {
		if a.what == "networks" && scope.Only != nil && scope.Only.Hosts {
			continue
		}
		err := a.ask()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case pve.KindOf(err) == pve.Unavailable:
			// The cluster still lists a host as online for some seconds after it died.
			host.Online = false
			host.Gaps = append(host.Gaps, inventory.Gap{What: "everything", Why: err.Error()})
			return nil
		default:
			host.Gaps = append(host.Gaps, inventory.Gap{What: a.what, Why: err.Error()})
		}
	}
	return nil
}

func (b *Backend) hostStatus(ctx context.Context, host *inventory.Host) error {
	status, err := b.client.NodeStatus(ctx, host.Name)
	if err != nil {
		return err
	}
	host.CPUs, host.Uptime, host.MemoryTotal, host.MemoryUsed = status.CPUs, status.Uptime, status.Memory.Total, status.Memory.Used
	return nil
}

func (b *Backend) hostDevices(ctx context.Context, host *inventory.Host) error {
	began := time.Now()
	found, err := b.client.PCIDevices(ctx, host.Name)
	if err != nil {
		return err
	}
	fs := functions(found)
	host.Devices = pci.Devices(fs)
	b.cache(host.Name).setDevices(host.Devices, began)
	host.IOMMU = iommu(fs)
	return nil
}

// iommu reports the IOMMU as on when there are groups. With the IOMMU off, every
// function is in group -1 (PVE::SysFSTools, lspci).
func iommu(fs []pci.Function) inventory.State {
	if len(fs) == 0 {
		return inventory.Unknown
	}
	for _, f := range fs {
		if f.Group != pci.NoGroup {
			return inventory.On
		}
	}
	return inventory.Off
}

// functions converts the hardware list. A device whose address cannot be parsed is
// ignored: it cannot be passed through either.
func functions(found []pve.PCIDevice) []pci.Function {
	var fs []pci.Function
	for _, d := range found {
		bdf, err := pci.ParseBDF(d.ID)
		if err != nil {
			continue
		}
		f := pci.Function{BDF: bdf, Vendor: d.VendorName, Name: d.DeviceName, Group: d.IOMMUGroup}
		f.Class, _ = pci.ParseClass(d.Class)
		f.ID, _ = pci.ParseID(d.Vendor + ":" + d.Device)
		f.SubsystemID, _ = pci.ParseID(d.SubsystemVendor + ":" + d.SubsystemDevice)
		fs = append(fs, f)
	}
	return fs
}

func (b *Backend) hostBridges(ctx context.Context, host *inventory.Host) error {
	networks, err := b.client.Networks(ctx, host.Name)
	if err != nil {
		return err
	}
	for _, n := range networks {
		if n.Type == "bridge" || n.Type == "OVSBridge" {
			host.Bridges = append(host.Bridges, inventory.Bridge{Name: n.Interface, VLANAware: n.VLANAware || n.Type == "OVSBridge"})
		}
	}
	slices.SortFunc(host.Bridges, func(x, y inventory.Bridge) int { return strings.Compare(x.Name, y.Name) })
	return nil
}

func (b *Backend) hostStorages(ctx context.Context, host *inventory.Host) error {
	storages, err := b.client.Storages(ctx, host.Name)
	if err != nil {
		return err
	}
	for _, st := range storages {
		content := strings.FieldsFunc(st.Content, func(r rune) bool { return r == ',' })
		slices.Sort(content)
		host.Storages = append(host.Storages, inventory.Storage{
			Name: st.Name, Type: st.Type, Content: content,
			Shared: st.Shared, Active: st.Active && st.Enabled, Total: st.Total, Free: st.Avail,
		})
	}
	slices.SortFunc(host.Storages, func(x, y inventory.Storage) int { return strings.Compare(x.Name, y.Name) })
	return nil
}

// observeAgents asks the guests of our running VMs for their addresses.
func (b *Backend) observeAgents(ctx context.Context, s *inventory.Snapshot) {
	var ours []*inventory.VM
	for i := range s.VMs {
		if ownership, _ := s.VMs[i].Ownership(); ownership == inventory.Ours && s.VMs[i].Running {
			ours = append(ours, &s.VMs[i])
		}
	}
	_ = forEach(ctx, ours, func(vm *inventory.VM) string { return vm.Host }, func(ctx context.Context, vm *inventory.VM) error {
		addresses, err := b.guestAddresses(ctx, vm.Host, number(vm.ID))
		switch {
		case err == nil:
			vm.Agent, vm.Addresses = inventory.On, addresses
		case pve.KindOf(err) == pve.AgentUnavailable:
			vm.Agent = inventory.Off
		default:
			vm.Agent = inventory.Unknown
		}
		return nil
	})
}
