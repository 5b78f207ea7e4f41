package v1alpha1

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gpuworker/gpuworker/internal/fieldpath"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// mostVLAN is the highest VLAN tag; 4095 is reserved (IEEE 802.1Q).
const mostVLAN = 4094

// takenAddresses says which document and field took an address: within one
// KubeCluster, and within one network of one hypervisor. The same private
// address may live in two places that never meet.
type takenAddresses map[addressIn]takenAddress

type addressIn struct {
	where   string
	address netip.Addr
}

type takenAddress struct {
	by   *object
	path string
}

func (o *object) network(path string, p *WorkerPool, taken takenAddresses) {
	n := p.Spec.Network
	if n.Bridge != "" && !bridgeForm.MatchString(n.Bridge) {
		o.errorf(fieldpath.Under(path, "bridge"), "%s is not the name of a bridge; a Linux interface has at most 15 letters, digits, and . - _ inside", phrase.Quote(n.Bridge))
	}
	if n.VLAN < 0 || n.VLAN > mostVLAN {
		o.errorf(fieldpath.Under(path, "vlan"), "%d is not a VLAN; write 1 to %d, or 0 for none", n.VLAN, mostVLAN)
	}
	o.addresses(path, p, taken)
	o.distinct(fieldpath.Under(path, "dns.servers"), n.DNS.Servers, resolverProblem)
	o.distinct(fieldpath.Under(path, "dns.search"), n.DNS.Search, domainProblem)
}

var bridgeForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$`)

func (o *object) addresses(path string, p *WorkerPool, taken takenAddresses) {
	n := p.Spec.Network
	gateway := o.gateway(path, n)
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
			o.errorf(at, "%s is the gateway; a worker needs an address of its own", gateway)
		case gateway.IsValid() && !prefix.Contains(gateway) && !(gateway.Is6() && gateway.IsLinkLocalUnicast()):
			o.errorf(at, "%s does not hold the gateway %s; is the address, the prefix length or the gateway wrong?", prefix, gateway)
		default:
			o.takeAddress(at, p, prefix.Addr(), taken)
		}
	}
	if size := p.Size(); len(n.Addresses) < size {
		o.errorf(fieldpath.Under(path, "addresses"), "%d for %d workers; worker n takes the n-th, so write %d more", len(n.Addresses), size, size-len(n.Addresses))
	}
}

// gateway returns the gateway when there is a good one.
func (o *object) gateway(path string, n Network) netip.Addr {
	at := fieldpath.Under(path, "gateway")
	if n.Gateway == "" {
		if len(n.Addresses) > 0 {
			o.errorf(at, "is missing beside addresses; write the default route of that network")
		}
		return netip.Addr{}
	}
	if len(n.Addresses) == 0 {
		o.errorf(at, "has no effect without addresses: with DHCP the gateway comes with the lease; remove it, or write addresses")
	}
	gateway, err := netip.ParseAddr(n.Gateway)
	if err != nil || gateway.Zone() != "" || gateway.Is4In6() {
		o.errorf(at, "%s is not an IP address; write it without prefix length, for example \"192.0.2.1\"", phrase.Quote(n.Gateway))
		return netip.Addr{}
	}
	return gateway
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
		return prefix, phrase.Quote(text) + " is an IPv4 address in IPv6 clothes; write it as IPv4"
	case address.IsUnspecified(), address.IsLoopback(), address.IsMulticast(), address.IsLinkLocalUnicast():
		return prefix, phrase.Quote(text) + " cannot be the address of a machine on a network"
	case address.Is4() && prefix.Bits() < 31 && (address == prefix.Masked().Addr() || address == lastAddress(prefix)):
		return prefix, fmt.Sprintf("%s is the network's own first or last address; a worker needs one between", phrase.Quote(text))
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

func (o *object) takeAddress(path string, p *WorkerPool, address netip.Addr, taken takenAddresses) {
	n := p.Spec.Network
	places := []addressIn{
		{"cluster " + p.Spec.KubeCluster, address},
		{fmt.Sprintf("network %s %s %d", p.Spec.Hypervisor, n.Bridge, n.VLAN), address},
	}
	for _, place := range places {
		if first, twice := taken[place]; twice {
			o.clash(path, first.by.field(first.path), "%s is taken already", address)
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
