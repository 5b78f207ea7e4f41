package proxmox

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// mostNICs is how many network cards a VM may have: net0 to net31.
const mostNICs = 32

// nicModels are the kinds of network cards that Proxmox VE knows. The model is the
// key of a card's MAC: "virtio=BC:24:11:00:00:01,bridge=vmbr0". Source: API schema,
// option net[n].
var nicModels = []string{
	"virtio", "e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b", "i82559er",
	"ne2k_isa", "ne2k_pci", "pcnet", "rtl8139", "vmxnet3",
}

func nicKey(i int) string { return "net" + strconv.Itoa(i) }

func ipKey(i int) string { return "ipconfig" + strconv.Itoa(i) }

// nics returns the network cards by number, up to the last one; missing ones are empty.
func (o options) nics() []inventory.NIC {
	var nics []inventory.NIC
	for i := range mostNICs {
		text, there := o[nicKey(i)]
		ip := o[ipKey(i)]
		if !there && ip == "" {
			continue
		}
		nic := inventory.NIC{
			Network: property(text, "bridge", ""), MAC: strings.ToLower(macOf(text)),
			Address: property(ip, "ip", ""), Gateway: property(ip, "gw", ""),
		}
		nic.VLAN, _ = strconv.Atoi(property(text, "tag", ""))
		nics = append(nics, make([]inventory.NIC, i-len(nics))...)
		nics = append(nics, nic)
	}
	return nics
}

// modelOf returns the model of a network card, and the key that holds its MAC: ""
// when the model is not a key.
func modelOf(text string) (model, key string) {
	properties := pve.ParseProperties(text)
	for _, model := range nicModels {
		if _, there := properties.Get(model); there {
			return model, model
		}
	}
	return cmp.Or(property(text, "model", "model"), "virtio"), ""
}

func macOf(text string) string {
	if _, key := modelOf(text); key != "" {
		return property(text, key, "")
	}
	return property(text, "macaddr", "")
}

// updateNICs changes the declared network cards that differ. Others stay.
func (o options) updateNICs(have, desired []inventory.NIC, put func(bool, string, string)) {
	for i, nic := range desired {
		var is inventory.NIC
		if i < len(have) {
			is = have[i]
		}
		card := is.Network != nic.Network || is.VLAN != nic.VLAN || nic.MAC != "" && is.MAC != nic.MAC
		put(card && nic.Network != "", nicKey(i), nicOption(o[nicKey(i)], nic))
		ip := withProperty(withProperty(o[ipKey(i)], "ip", nic.Address), "gw", nic.Gateway)
		put(is.Address != nic.Address || is.Gateway != nic.Gateway, ipKey(i), ip)
	}
}

// nicOption changes the bridge and VLAN of a network card, and its MAC when one is
// declared. Everything else stays.
func nicOption(text string, desired inventory.NIC) string {
	if text == "" {
		text = "virtio"
	}
	if desired.MAC != "" && strings.ToLower(macOf(text)) != desired.MAC {
		text = withMAC(text, desired.MAC)
	}
	text = withProperty(text, "bridge", desired.Network)
	if desired.VLAN == 0 {
		return withProperty(text, "tag", "")
	}
	return withProperty(text, "tag", strconv.Itoa(desired.VLAN))
}

// withMAC sets the MAC of a network card, in the form that Proxmox writes.
func withMAC(text, mac string) string {
	model, key := modelOf(text)
	mac = strings.ToUpper(mac)
	if key != "" {
		return withProperty(text, key, mac)
	}
	properties := pve.ParseProperties(text)
	for _, other := range []string{"", "model", "macaddr"} {
		properties.Delete(other)
	}
	rest := properties.String()
	if rest == "" {
		return model + "=" + mac
	}
	return model + "=" + mac + "," + rest
}
