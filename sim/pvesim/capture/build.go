package capture

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// builder makes a world from the answers of a cluster. It makes no requests: the same
// answers give the same world.
type builder struct {
	in    *cluster
	names *names
	world pvesim.World
	notes
	users map[string]bool // users of the world, by their new ids
	// gone are options that were left out (option → VMs), unread are VMs whose options
	// could not be read (reason → VMs).
	gone, unread map[string][]int
}

func build(in *cluster, names *names) *Result {
	b := &builder{in: in, names: names, users: map[string]bool{}, gone: map[string][]int{}, unread: map[string][]int{}}
	b.dropNameless()
	b.prepareNames()
	b.product()
	b.noteLacking()
	b.hosts()
	b.storages()
	b.vms()
	b.mappings()
	b.pools()
	login, secret := b.access()
	b.volumes()
	b.noteFailed()
	names.known["network"] = names.nets.known
	return &Result{World: b.world, Notes: b.sorted(), Login: login, Secret: secret, Names: names.known}
}

// dropNameless removes objects without a name, which a real cluster does not have.
func (b *builder) dropNameless() {
	in := b.in
	delete(in.Hosts, "")
	for _, host := range in.Hosts {
		host.Network = slices.DeleteFunc(host.Network, func(i apiInterface) bool { return i.Iface == "" })
	}
	in.Storages = slices.DeleteFunc(in.Storages, func(s apiStorage) bool { return s.Storage == "" })
	in.Mappings = slices.DeleteFunc(in.Mappings, func(m apiMapping) bool { return m.ID == "" })
	in.Pools = slices.DeleteFunc(in.Pools, func(p apiPool) bool { return strings.Trim(p.ID, "/") == "" })
	in.ACL = slices.DeleteFunc(in.ACL, func(a apiACL) bool { return !strings.HasPrefix(a.Path, "/") })
}

// prepareNames assigns pseudonyms in the order of the names, so that sorted lists stay
// sorted.
func (b *builder) prepareNames() {
	b.names.prepare(hostKind, slices.Collect(maps.Keys(b.in.Hosts)))
	var storages, bridges, nics []string
	for _, s := range b.in.Storages {
		storages = append(storages, s.Storage)
	}
	for _, host := range b.in.Hosts {
		for _, i := range host.Network {
			switch {
			case i.bridge():
				bridges = append(bridges, i.Iface)
				nics = append(nics, i.ports()...)
			case i.Type == "eth":
				nics = append(nics, i.Iface)
			}
		}
	}
	b.names.prepare(storageKind, storages)
	b.names.prepare(bridgeKind, bridges)
	b.names.prepare(nicKind, nics)
	for _, pool := range b.poolIDs() {
		b.names.pool(pool)
	}
	var mappings []string
	for _, m := range b.in.Mappings {
		mappings = append(mappings, m.ID)
	}
	slices.SortFunc(mappings, natural)
	for _, id := range mappings {
		b.names.mapping(id)
	}
	for _, id := range b.vmIDs() {
		vm := b.in.VMs[id]
		slices.SortFunc(vm.Options, func(x, y apiPending) int { return natural(x.Key, y.Key) })
		b.names.vm(id, vm.name())
	}
}

// product sets the version and name of the cluster.
func (b *builder) product() {
	release := regexp.MustCompile(`^\d+\.\d+(\.\d+)?`).FindString(b.in.Version.Version)
	b.world.Version, b.world.Seed = release, 1
	b.world.RepoID = matched(b.in.Version.RepoID, `^[0-9a-z]{1,40}$`)
	for _, entry := range b.in.Status {
		if entry.Type == "cluster" {
			b.world.Cluster = b.names.note("cluster", entry.Name, either(b.names.keep, entry.Name, "captured"))
		}
	}
	if len(b.in.Status) == 0 && len(b.in.Nodes) > 1 {
		b.world.Cluster = "captured"
	}
	unknown := func(n apiNode) bool { return n.Status == "unknown" }
	b.world.NoStatistics = slices.ContainsFunc(b.in.Nodes, unknown) &&
		!slices.ContainsFunc(b.in.Nodes, func(n apiNode) bool { return n.Status == "online" })
	b.world.Datacenter = b.datacenter()
}

func (b *builder) datacenter() pvesim.Datacenter {
	o := b.in.Options
	tags := func(all texts) []string {
		out := split(b.names.tags(strings.Join(all, ";")))
		if len(out) == 0 {
			return nil
		}
		return out
	}
	dc := pvesim.Datacenter{NextIDLower: o.NextID.integer("lower"), NextIDUpper: o.NextID.integer("upper"),
		RegisteredTags: tags(o.Registered), UserTagsAllowed: tags(o.UserTags["user-allow-list"])}
	if mode := o.UserTags["user-allow"]; len(mode) == 1 && slices.Contains([]string{"free", "existing", "list", "none"}, mode[0]) {
		dc.UserTags = mode[0]
	}
	return dc
}

// The assumed size of a host whose size is unknown.
const (
	assumedCPUs   = 16
	assumedMemory = 64
)

func (b *builder) hosts() {
	ids := slices.SortedFunc(maps.Keys(b.in.Hosts), natural)
	for _, id := range ids {
		b.host(id, b.in.Hosts[id])
	}
	b.drivers()
}

func (b *builder) host(id string, in *hostAnswers) {
	host := pvesim.Host{Name: b.names.of(hostKind, id), Offline: in.Silent != nil}
	for _, entry := range b.in.Status {
		if entry.Type == "node" && entry.Name == id {
			host.IP = b.names.nets.text(entry.IP)
		}
	}
	node := b.in.Nodes[slices.IndexFunc(b.in.Nodes, func(n apiNode) bool { return n.Node == id })]
	// A world limits the size of a host.
	host.CPUs = min(cmp.Or(in.Status.CPUInfo.CPUs.integer(), node.MaxCPU.integer(), assumedCPUs), 8192)
	host.MemoryGiB = min(cmp.Or(gib(in.Status.Memory.Total), gib(node.MaxMem), assumedMemory), 65536)
	sized := in.Status.CPUInfo.CPUs.integer() > 0 || node.MaxCPU.integer() > 0
	if host.Offline {
		b.missing("networks, PCI functions, sizes and files of "+host.Name, "it does not answer"+b.reason(in.Silent),
			"capture again when it does")
	}
	if !sized {
		b.assumed(fmt.Sprintf("%s has %d processors and %d GiB of memory", host.Name, assumedCPUs, assumedMemory),
			either(host.Offline, "it does not answer", "the login may not see it"), "change them in this file")
	}
	b.network(&host, in.Network)
	for _, f := range in.PCI {
		b.function(&host, f)
	}
	slices.SortFunc(host.PCI, func(x, y pvesim.PCIFunction) int { return strings.Compare(x.Address, y.Address) })
	host.NoIOMMU = len(host.PCI) > 0 && !slices.ContainsFunc(host.PCI, func(f pvesim.PCIFunction) bool { return f.Group >= 0 })
	b.world.Hosts = append(b.world.Hosts, host)
}

// reason says why something could not be read, without real names.
func (b *builder) reason(err error) string {
	if failed := asError(err); failed != nil && failed.brief != "" {
		return ": " + failed.brief
	}
	return ""
}

// gib is a number of bytes in GiB, rounded to a hundredth, because people read the file.
func gib(bytes scalar) float64 { return math.Round(bytes.number()/(1<<30)*100) / 100 }

func (i apiInterface) bridge() bool { return i.Type == "bridge" || i.Type == "OVSBridge" }

func (i apiInterface) ports() []string { return split(i.Ports + " " + i.OVSPorts) }

func (b *builder) network(host *pvesim.Host, in []apiInterface) {
	slices.SortFunc(in, func(x, y apiInterface) int { return natural(x.Iface, y.Iface) })
	others := map[string]int{}
	for _, i := range in {
		switch {
		case i.bridge():
			if i.Type == "OVSBridge" {
				others["OVSBridge"]++
			}
			if i.CIDR6 != "" {
				others["IPv6 address"]++
			}
			var ports []string
			for _, port := range i.ports() {
				ports = append(ports, b.names.of(nicKind, port))
			}
			host.Bridges = append(host.Bridges, pvesim.Bridge{Name: b.names.of(bridgeKind, i.Iface), CIDR: b.names.nets.cidr(i.CIDR),
				Gateway: b.names.nets.text(i.Gateway), Ports: strings.Join(ports, " "), VLANAware: i.VLANAware.set(), Down: !i.Active.set()})
		case i.Type == "eth":
			host.NICs = append(host.NICs, b.names.of(nicKind, i.Iface))
		default:
			others[i.Type]++
		}
	}
	slices.SortFunc(host.NICs, natural)
	slices.SortFunc(host.Bridges, func(x, y pvesim.Bridge) int { return natural(x.Name, y.Name) })
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(others)) {
		kinds = append(kinds, fmt.Sprintf("%d × %s", others[kind], matched(kind, `^[A-Za-z0-9 -]{1,20}$`)))
	}
	if len(kinds) > 0 {
		b.missing(fmt.Sprintf("of the network of %s: %s", host.Name, strings.Join(kinds, ", ")), "a world supports only NICs and Linux bridges with IPv4", "")
	}
}

func (b *builder) function(host *pvesim.Host, in apiPCI) {
	pair := func(vendor, device string) string {
		if vendor == "" || device == "" {
			return ""
		}
		return strings.ToLower(strings.TrimPrefix(vendor, "0x") + ":" + strings.TrimPrefix(device, "0x"))
	}
	f := pvesim.PCIFunction{Class: strings.ToLower(in.Class), ID: pair(in.Vendor, in.Device), Vendor: in.VendorName, Name: in.DeviceName,
		Subsystem: pair(in.SubVendor, in.SubDevice), SubsystemVendor: in.SubVendorName, SubsystemName: in.SubsystemDevice, Group: pci.NoGroup}
	if in.Group != nil {
		f.Group = in.Group.integer()
		if strings.HasPrefix(string(*in.Group), "-") {
			f.Group = pci.NoGroup
		}
	}
	address, err := pci.ParseBDF(in.ID)
	_, classErr := pci.ParseClass(f.Class)
	_, idErr := pci.ParseID(f.ID)
	if err != nil || classErr != nil || idErr != nil || len(f.Class) != 8 {
		b.missing("a PCI function of "+host.Name, "its address, class or id cannot be read", "")
		return
	}
	if id, err := pci.ParseID(f.Subsystem); err != nil || id.String() != f.Subsystem {
		f.Subsystem = ""
	}
	f.Address = address.String()
	host.PCI = append(host.PCI, f)
}

// Assumed drivers, because the API does not return them.
const (
	passedDriver = "vfio-pci"
	usedDriver   = "in-use"
)

// drivers assumes for each function whether the host uses it. To be safe, disks and
// network cards count as used.
func (b *builder) drivers() {
	given := b.givenSlots()
	any := false
	for h := range b.world.Hosts {
		host := &b.world.Hosts[h]
		cards := map[string]bool{}
		for _, f := range host.PCI {
			if slot := f.Address[:len(f.Address)-2]; strings.HasPrefix(f.Class, "0x03") && strings.HasPrefix(f.ID, "10de:") || given[host.Name+" "+slot] {
				cards[slot] = true
			}
		}
		for i := range host.PCI {
			f := &host.PCI[i]
			any = true
			switch {
			case cards[f.Address[:len(f.Address)-2]]:
				f.Driver = passedDriver
			case slices.Contains([]string{"01", "02", "03", "04", "0c"}, f.Class[2:4]):
				f.Driver = usedDriver
			}
		}
	}
	if any {
		b.assumed(fmt.Sprintf("NVIDIA cards, and devices in mappings and VMs, are on %s; other disks, network cards, displays, sound and USB are %s",
			passedDriver, usedDriver), "the API does not show kernel drivers", "change driver in this file")
	}
}

var slotForm = regexp.MustCompile(`[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}`)

// givenSlots returns the slots of devices in mappings and VMs: host and slot.
func (b *builder) givenSlots() map[string]bool {
	given := map[string]bool{}
	add := func(host, text string) {
		if b.in.Hosts[host] == nil {
			return // the host was removed from the cluster
		}
		for _, slot := range slotForm.FindAllString(text, -1) {
			given[b.names.of(hostKind, host)+" "+slot] = true
		}
	}
	for _, m := range b.in.Mappings {
		for _, entry := range m.Map {
			add(property(entry, "node"), property(entry, "path"))
		}
	}
	for _, vm := range b.in.VMs {
		for _, option := range vm.Options {
			if strings.HasPrefix(option.Key, "hostpci") && option.Value != nil {
				add(vm.Guest.Node, string(*option.Value))
			}
		}
	}
	return given
}

// property returns one value of a property string, "" if it is missing.
func property(text, key string) string {
	for part := range strings.SplitSeq(text, ",") {
		if name, value, _ := strings.Cut(part, "="); name == key {
			return value
		}
	}
	return ""
}
