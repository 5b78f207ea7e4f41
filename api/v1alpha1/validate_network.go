package v1alpha1

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gpuworker/gpuworker/internal/fieldpath"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// mostVLAN is the highest VLAN tag; 4095 is reserved (IEEE 802.1Q).
const mostVLAN = 4094

// takenAddresses are the addresses that the pools name, with document and field. An
// address must be unique in a KubeCluster, and in a network of a hypervisor. Elsewhere,
// the same private address may be used again.
type takenAddresses map[addressIn]takenAddress

type addressIn struct {
	where   string
	address string
}

type takenAddress struct {
	by   *object
	path string
}

// mostNetworks is how many network cards a VM may have on Proxmox VE (net0 to net31).
const mostNetworks = 32

// networks checks the network cards of a pool's workers.
func (o *object) networks(path string, p *WorkerPool, taken takenAddresses) {
	if len(p.Spec.Networks) > mostNetworks {
		o.errorf(path, "%d are too many; a VM has at most %d", len(p.Spec.Networks), mostNetworks)
		return
	}
	route := -1 // index of the network with the gateway
	for i, n := range p.Spec.Networks {
		at := fieldpath.Item(path, i)
		if n.Name != "" && !bridgeForm.MatchString(n.Name) {
			o.errorf(fieldpath.Under(at, "name"), "%s is not the name of a bridge; a Linux interface has at most 15 letters, digits, and . - _ inside", phrase.Quote(n.Name))
		}
		if n.VLAN < 0 || n.VLAN > mostVLAN {
			o.errorf(fieldpath.Under(at, "vlan"), "%d is not a VLAN; write 1 to %d, or 0 for none", n.VLAN, mostVLAN)
		}
		if n.Gateway != "" && route >= 0 {
			o.errorf(fieldpath.Under(at, "gateway"), "%s has a gateway too; a worker has only one default route", fieldpath.Item(path, route))
		}
		if n.Gateway != "" && route < 0 {
			route = i
		}
		o.addresses(at, p, n, taken)
		o.macs(fieldpath.Under(at, "macs"), p, n, taken)
	}
}

// dns checks name servers and search domains.
func (o *object) dns(path string, d DNS) {
	o.distinct(fieldpath.Under(path, "servers"), d.Servers, resolverProblem)
	o.distinct(fieldpath.Under(path, "search"), d.Search, domainProblem)
}

var bridgeForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$`)

func (o *object) addresses(path string, p *WorkerPool, n Network, taken takenAddresses) {
	gateway := o.gateway(path, p, n)
	if len(n.Addresses) == 0 {
		return
	}
	for i, text := range n.Addresses {
		at := fieldpath.Item(fieldpath.Under(path, "addresses"), i)
		prefix, wrong := parseAddress(text)
		switch {
		case wrong != "":
			o.errorf(at, "%s", wrong)
		case gateway.IsValid() && prefix.Addr() == gateway:
			o.errorf(at, "%s is the gateway; a worker needs its own address", gateway)
		case gateway.IsValid() && !prefix.Contains(gateway) && !(gateway.Is6() && gateway.IsLinkLocalUnicast()):
			o.errorf(at, "the gateway %[2]s is not in the network of %[1]s; is the address, the prefix length or the gateway wrong?", prefix, gateway)
		default:
			o.takeAddress(at, p, n, prefix.Addr().String(), taken)
		}
	}
	o.enough(fieldpath.Under(path, "addresses"), len(n.Addresses), p)
}

// enough requires an entry for each worker.
func (o *object) enough(path string, written int, p *WorkerPool) {
	if size := p.Size(); written < size {
		o.errorf(path, "%d for %d workers; worker n uses the n-th one, so write %d more", written, size, size-written)
	}
}

// macs checks the addresses of network cards.
func (o *object) macs(path string, p *WorkerPool, n Network, taken takenAddresses) {
	if len(n.MACs) == 0 {
		return
	}
	for i, text := range n.MACs {
		at := fieldpath.Item(path, i)
		mac, err := net.ParseMAC(text)
		switch {
		case err != nil || len(mac) != 6:
			o.errorf(at, "%s is not the address of a network card, such as \"bc:24:11:00:00:01\"", phrase.Quote(text))
		case mac[0]&1 != 0:
			o.errorf(at, "%s is a multicast address; the first byte of a network card's address must be even", mac)
		default:
			o.takeAddress(at, p, n, mac.String(), taken)
		}
	}
	o.enough(path, len(n.MACs), p)
}

// gateway returns the gateway, or the zero value when it is missing or invalid.
func (o *object) gateway(path string, p *WorkerPool, n Network) netip.Addr {
	at := fieldpath.Under(path, "gateway")
	if n.Gateway == "" {
		if len(n.Addresses) > 0 && !p.hasRoute() {
			o.errorf(at, "is missing; static addresses need the default route of their network")
		}
		return netip.Addr{}
	}
	if len(n.Addresses) == 0 {
		o.errorf(at, "has no effect without addresses: with DHCP the gateway is part of the lease; remove it, or write addresses")
	}
	gateway, err := netip.ParseAddr(n.Gateway)
	if err != nil || gateway.Zone() != "" || gateway.Is4In6() {
		o.errorf(at, "%s is not an IP address; write it without prefix length, for example \"192.0.2.1\"", phrase.Quote(n.Gateway))
		return netip.Addr{}
	}
	return gateway
}

// hasRoute reports whether a network gives the workers a default route, by a gateway or
// by DHCP.
func (p *WorkerPool) hasRoute() bool {
	return slices.ContainsFunc(p.Networks(), func(n Network) bool { return n.Gateway != "" || len(n.Addresses) == 0 })
}

// parseAddress reads an address of a worker with its prefix length.
func parseAddress(text string) (prefix netip.Prefix, wrong string) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
			length := 24
			if address.Is6() {
				length = 64
			}
			return prefix, fmt.Sprintf("%s has no prefix length; write for example %q", phrase.Quote(text), fmt.Sprintf("%s/%d", text, length))
		}
		return prefix, phrase.Quote(text) + ` is not an address with prefix length, such as "192.0.2.21/24"`
	}
	address := prefix.Addr()
	switch {
	case address.Is4In6():
		return prefix, phrase.Quote(text) + " is an IPv4-mapped IPv6 address; write it as IPv4"
	case address.IsUnspecified(), address.IsLoopback(), address.IsMulticast(), address.IsLinkLocalUnicast():
		return prefix, phrase.Quote(text) + " cannot be the address of a machine on a network"
	case address.Is4() && prefix.Bits() < 31 && (address == prefix.Masked().Addr() || address == lastAddress(prefix)):
		return prefix, fmt.Sprintf("%s is the network or broadcast address; a worker needs an address between them", phrase.Quote(text))
	case prefix.Bits() == 0:
		return prefix, phrase.Quote(text) + " has prefix length 0, which is the whole internet"
	}
	return prefix, ""
}

// lastAddress is the broadcast address of an IPv4 network.
func lastAddress(prefix netip.Prefix) netip.Addr {
	bytes := prefix.Masked().Addr().As4()
	for bit := prefix.Bits(); bit < 32; bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(bytes)
}

// takeAddress records the IP or MAC address of one worker, and reports a duplicate.
func (o *object) takeAddress(path string, p *WorkerPool, n Network, address string, taken takenAddresses) {
	places := []addressIn{{fmt.Sprintf("network %s %s %d", p.Spec.Hypervisor, cmp.Or(n.Name, DefaultBridge), n.VLAN), address}}
	if p.Spec.KubeCluster != "" {
		places = append(places, addressIn{"cluster " + p.Spec.KubeCluster, address})
	}
	for _, place := range places {
		if first, twice := taken[place]; twice {
			o.conflict(path, first.by.field(first.path), "%s is already used", address)
			return
		}
	}
	for _, place := range places {
		taken[place] = takenAddress{o, path}
	}
}

func resolverProblem(text string) string {
	if address, err := netip.ParseAddr(text); err != nil || address.IsUnspecified() {
		return phrase.Quote(text) + ` is not an IP address; name servers are written as addresses, for example "192.0.2.53"`
	}
	return ""
}

func domainProblem(text string) string {
	if len(validation.IsDNS1123Subdomain(strings.TrimSuffix(text, "."))) > 0 {
		return phrase.Quote(text) + ` is not a domain; write for example "lab.example.org"`
	}
	return ""
}
