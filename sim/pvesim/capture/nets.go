package capture

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// nets replaces addresses by addresses of networks for documentation and tests (RFC 5737,
// RFC 2544, RFC 3849). Addresses of one /24, or one /64, stay in one network and keep
// their order. Addresses that are already in such networks are kept.
type nets struct {
	taken map[string]bool // /24s that are already in use
	known map[string]string
	six   map[string]string
	next  int
	hosts map[string]int // in each /64
}

var documented = []netip.Prefix{
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("2001:db8::/32"),
}

// harmless reports whether an address reveals nothing.
func harmless(a netip.Addr) bool {
	if a.IsLoopback() || a.IsUnspecified() {
		return true
	}
	for _, prefix := range documented {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// address returns the replacement of an address.
func (n *nets) address(a netip.Addr) netip.Addr {
	a = a.WithZone("")
	switch {
	case harmless(a):
		return a
	case a.Is4() || a.Is4In6():
		four := a.Unmap().As4()
		return netip.MustParseAddr(fmt.Sprintf("%s.%d", n.four(fmt.Sprintf("%d.%d.%d", four[0], four[1], four[2])), four[3]))
	}
	return n.addressSix(a)
}

// four returns the replacement of a /24.
func (n *nets) four(net string) string {
	if known, ok := n.known[net]; ok {
		return known
	}
	for {
		candidate := fmt.Sprintf("198.%d.%d", 18+(n.next-3)/256%2, (n.next-3)%256)
		if n.next < 3 {
			candidate = []string{"192.0.2", "198.51.100", "203.0.113"}[n.next]
		}
		n.next++
		if !n.taken[candidate] {
			if n.known == nil {
				n.known = map[string]string{}
			}
			n.known[net] = candidate
			return candidate
		}
	}
}

// addressSix counts networks and the hosts in them.
func (n *nets) addressSix(a netip.Addr) netip.Addr {
	if n.six == nil {
		n.six, n.hosts = map[string]string{}, map[string]int{}
	}
	if known, ok := n.six[a.String()]; ok {
		return netip.MustParseAddr(known)
	}
	prefix, _ := a.Prefix(64)
	net, ok := n.six[prefix.String()]
	if !ok {
		net = fmt.Sprintf("2001:db8:ca:%x::", len(n.hosts)+1)
		n.six[prefix.String()] = net
	}
	n.hosts[net]++
	n.six[a.String()] = fmt.Sprintf("%s%x", net, n.hosts[net])
	return netip.MustParseAddr(n.six[a.String()])
}

// text replaces an address in text form; "" if it is not an address.
func (n *nets) text(text string) string {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return ""
	}
	return n.address(a).String()
}

// cidr replaces an address with prefix length; "" if it is not one.
func (n *nets) cidr(text string) string {
	address, length, ok := strings.Cut(text, "/")
	if moved := n.text(address); ok && moved != "" {
		if _, err := netip.ParsePrefix(moved + "/" + length); err == nil {
			return moved + "/" + length
		}
	}
	return ""
}

var documentedForm = regexp.MustCompile(`\b(192\.0\.2|198\.51\.100|203\.0\.113|198\.1[89]\.\d{1,3})\.\d{1,3}\b`)

// documentationNets are the documentation /24s that the cluster already uses and that
// must not be used as replacements.
func documentationNets(c *cluster) map[string]bool {
	taken := map[string]bool{}
	text, err := json.Marshal(c)
	if err != nil {
		return taken
	}
	for _, found := range documentedForm.FindAllStringSubmatch(string(text), -1) {
		taken[found[1]] = true
	}
	return taken
}
