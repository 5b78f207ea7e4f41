package bootstrap

import (
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
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
		entries = append(entries, entry{"routes", sequence(n.defaultRoute())})
	}
	if primary && len(w.DNS.Servers)+len(w.DNS.Search) > 0 {
		entries = append(entries, entry{"nameservers", mapping(entry{"addresses", texts(w.DNS.Servers...)}, entry{"search", texts(w.DNS.Search...)})})
	}
	return entries
}

// defaultRoute returns the route in the form that every renderer of cloud-init reads;
// "default" and gateway4 are not.
func (n NIC) defaultRoute() *yaml.Node {
	to := "0.0.0.0/0"
	gateway, err := netip.ParseAddr(n.Gateway)
	if err == nil && gateway.Is6() {
		to = "::/0"
	}
	var onLink *yaml.Node
	if address, wrong := netip.ParsePrefix(n.Address); err == nil && wrong == nil && !address.Contains(gateway) {
		onLink = flag(true) // a link-local gateway is in no network of the interface
	}
	return mapping(entry{"to", text(to)}, entry{"via", text(n.Gateway)}, entry{"on-link", onLink})
}
