package bootstrap

import (
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gpuworker/gpuworker/internal/driver"
)

// spareMetric is the metric of the default routes that the second and further networks
// get by DHCP. NetworkManager and systemd-networkd use about 100 for the first.
const spareMetric = 1000

// networkConfig returns the network-config, version 2. Interfaces are matched by MAC and
// keep the names that the kernel gives them. This needs cloud-init 22.2 or newer
// (canonical/cloud-init#3516) where it does not write netplan: on RHEL and Rocky Linux.
func (w Worker) networkConfig() *yaml.Node {
	cards := mapping()
	first := w.primary()
	for i, nic := range w.NICs {
		card := mapping(nic.entries(w, i == first)...)
		cards.Content = append(cards.Content, text("nic"+strconv.Itoa(i)), card)
	}
	return mapping(entry{"version", number("2")}, entry{"ethernets", cards})
}

// primary is the index of the network with the default route: the one with a gateway, or
// else the first with DHCP. It has the name servers too.
func (w Worker) primary() int {
	dhcp := -1
	for i, nic := range w.NICs {
		if nic.Gateway != "" {
			return i
		}
		if nic.Address == "" && dhcp < 0 {
			dhcp = i
		}
	}
	return max(dhcp, 0)
}

func (n NIC) entries(w Worker, primary bool) []entry {
	entries := []entry{{"match", mapping(entry{"macaddress", text(strings.ToLower(n.MAC))})}}
	if n.Address == "" {
		entries = append(entries, entry{"dhcp4", flag(true)})
		if !primary {
			entries = append(entries, entry{"dhcp4-overrides", mapping(entry{"route-metric", number(strconv.Itoa(spareMetric))})})
		}
	} else {
		entries = append(entries, entry{"dhcp4", flag(false)}, entry{"addresses", texts(n.Address)})
	}
	if n.Gateway != "" {
		entries = append(entries, n.defaultRoute(w.OS))
	}
	if primary && len(w.DNS.Servers)+len(w.DNS.Search) > 0 {
		entries = append(entries, entry{"nameservers", mapping(entry{"addresses", texts(w.DNS.Servers...)}, entry{"search", texts(w.DNS.Search...)})})
	}
	return entries
}

// defaultRoute returns the default route as a route, whose destination is written in the
// form that every renderer of cloud-init reads.
//
// On Debian, and where the release is not known, it is a gateway, for two faults of cloud-init:
//   - Before 25.3 it writes a route for ifupdown as "post-up route add … || true"
//     (canonical/cloud-init#6460). Without the package net-tools there is no command route,
//     and the route is missing without a message.
//   - 22.4.2, that of Debian 12, reads ::/0 as ::/64, except for netplan.
//
// A gateway reaches all renderers. netplan calls it deprecated and takes it, and so does
// cloud-init from 23.4 on where it writes for another one. Other releases have no ifupdown.
func (n NIC) defaultRoute(os driver.OS) entry {
	to, gateway := "0.0.0.0/0", "gateway4"
	via, err := netip.ParseAddr(n.Gateway)
	if err == nil && via.Is6() {
		to, gateway = "::/0", "gateway6"
	}
	var onLink *yaml.Node
	if address, wrong := netip.ParsePrefix(n.Address); err == nil && wrong == nil && !address.Contains(via) {
		onLink = flag(true) // the gateway is in no network of the interface
	}
	if (os.IsDebian() || os == "") && (onLink == nil || via.IsLinkLocalUnicast() && via.Is6()) { // link-local ones of IPv6 never are
		return entry{gateway, text(n.Gateway)}
	}
	return entry{"routes", sequence(mapping(entry{"to", text(to)}, entry{"via", text(n.Gateway)}, entry{"on-link", onLink}))}
}
