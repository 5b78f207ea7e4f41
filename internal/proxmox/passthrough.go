package proxmox

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/pve"
)

// cardOption is the option that holds a worker's one card.
const cardOption = "hostpci0"

// mappings are the cluster's PCI resource mappings by name.
type mappings map[string]pve.Mapping

// cards returns the cards of a host that a mapping may give to a VM. Source:
// GET /cluster/mapping/pci, property `map`.
func (m mappings) cards(name, host string) []pci.CardRef {
	var cards []pci.CardRef
	mapping, known := m[name]
	if !known {
		if registerHost, slot, ok := parseRegister(name); ok && registerHost == strings.ToLower(host) {
			return []pci.CardRef{{Host: host, Slot: slot}} // the register is gone, but its name names the card
		}
		return nil
	}
	for _, entry := range mapping.Map {
		if property(entry, "node", "") == host {
			cards = append(cards, pathCards(host, property(entry, "path", ""))...)
		}
	}
	return cards
}

// pathCards reads "0000:03:00.0;0000:03:00.1", each with or without a function.
func pathCards(host, path string) []pci.CardRef {
	var cards []pci.CardRef
	for _, address := range strings.Split(path, ";") {
		slot, err := pci.ParseCardSlot(address)
		if card := (pci.CardRef{Host: host, Slot: slot}); err == nil && !slices.Contains(cards, card) {
			cards = append(cards, card)
		}
	}
	return cards
}

// attachments returns the cards in a VM's configuration, current and pending.
// Option names and forms: qm(1), hostpci[n].
func attachments(config pve.PendingConfig, host string, known mappings) []inventory.Attachment {
	var all []inventory.Attachment
	for key, option := range config.Options {
		if !strings.HasPrefix(key, "hostpci") {
			continue
		}
		if option.HasValue {
			a := attachment(key, option.Value, host, known)
			a.Leaving = option.Delete || option.HasPending && option.Pending != option.Value
			all = append(all, a)
		}
		if option.HasPending && option.Pending != option.Value {
			a := attachment(key, option.Pending, host, known)
			a.Pending = true
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b inventory.Attachment) int {
		return strings.Compare(fmt.Sprint(a.Key, a.Pending), fmt.Sprint(b.Key, b.Pending))
	})
	return all
}

func attachment(key, value, host string, known mappings) inventory.Attachment {
	a := inventory.Attachment{Key: key, Mapping: property(value, "mapping", ""), Text: value}
	if a.Mapping != "" {
		a.Cards = known.cards(a.Mapping, host)
		return a
	}
	a.Cards = pathCards(host, property(value, "host", "host"))
	return a
}

// cardOf reads the worker's card and its options from a configuration; nil when it
// has no card.
func cardOf(o options, host string, known mappings) *inventory.Card {
	value := o[cardOption]
	if value == "" {
		return nil
	}
	a := attachment(cardOption, value, host, known)
	if len(a.Cards) != 1 {
		return nil
	}
	return &inventory.Card{
		Ref:    a.Cards[0],
		PCIe:   isTrue(property(value, "pcie", "")),
		XVGA:   isTrue(property(value, "x-vga", "")),
		ROMBar: property(value, "rombar", "") != "0",
	}
}

// cardValue returns the value of hostpci0 for a card: by mapping, or by address for
// root@pam. Unknown keys of old stay. An address without a function passes all
// functions of the slot (qm(1), hostpci).
func cardValue(old, register string, raw bool, card inventory.Card) string {
	value := old
	for _, key := range []string{"", "host", "mapping"} {
		value = withProperty(value, key, "")
	}
	if raw {
		value = prepend("host="+card.Ref.Slot.String(), value)
	} else {
		value = prepend("mapping="+register, value)
	}
	value = withProperty(value, "pcie", onlyTrue(card.PCIe))
	value = withProperty(value, "x-vga", onlyTrue(card.XVGA))
	if card.ROMBar {
		return withProperty(value, "rombar", "")
	}
	return withProperty(value, "rombar", "0")
}

func prepend(first, rest string) string {
	if rest == "" {
		return first
	}
	return first + "," + rest
}

func onlyTrue(on bool) string {
	if on {
		return "1"
	}
	return ""
}

// registerName returns the name of the mapping that is the register of a card:
// "gpu-pve1-0000-03-00". Mapping names allow [a-z][a-z0-9_-]+ (PVE::Mapping::PCI).
func registerName(card pci.CardRef) string {
	name := "gpu-" + strings.ToLower(card.Host) + "-" + strings.ReplaceAll(card.Slot.String(), ":", "-")
	return strings.ReplaceAll(name, ".", "_")
}

// parseRegister reads registerName back.
func parseRegister(name string) (host string, slot pci.Slot, ok bool) {
	rest, ours := strings.CutPrefix(name, "gpu-")
	parts := strings.Split(rest, "-")
	if !ours || len(parts) < 4 {
		return "", pci.Slot{}, false
	}
	at := len(parts) - 3
	slot, err := pci.ParseSlot(strings.Join(parts[at:], ":"))
	if err != nil {
		return "", pci.Slot{}, false
	}
	return strings.Join(parts[:at], "-"), slot, true
}

// registerEntry returns the mapping's entry for a card, which Proxmox compares with
// the hardware at each start (PVE::Mapping::PCI, assert_valid). A card with one
// function has the function's address, one with several has the slot, which passes all.
func registerEntry(host string, device pci.Device) string {
	first := device.Functions[0]
	path := device.Slot.String()
	if len(device.Functions) == 1 {
		path = first.BDF.String()
	}
	entry := fmt.Sprintf("node=%s,path=%s,id=%s", host, path, first.ID)
	if !first.SubsystemID.IsZero() {
		entry += ",subsystem-id=" + first.SubsystemID.String()
	}
	if first.Group != pci.NoGroup {
		entry += fmt.Sprintf(",iommugroup=%d", first.Group)
	}
	return entry
}

// staleness describes how a register's entry differs from the hardware; "" when it
// does not.
func staleness(mapping pve.Mapping, host string, device *pci.Device) string {
	if device == nil {
		return "the card is not present any more"
	}
	desired := registerEntry(host, *device)
	if len(mapping.Map) != 1 {
		return fmt.Sprintf("it has %d entries, a register has one", len(mapping.Map))
	}
	for _, key := range []string{"node", "path", "id", "subsystem-id", "iommugroup"} {
		was, is := property(mapping.Map[0], key, ""), property(desired, key, "")
		if was != is {
			return fmt.Sprintf("%s is %q, the hardware says %q", key, was, is)
		}
	}
	return ""
}
