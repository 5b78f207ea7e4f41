package pvesim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/pci"
)

// Damage is a function that a host lost while it used it, because a VM started with a
// device in the same IOMMU group.
type Damage struct {
	Host   string
	Device string // BDF
	Driver string // of the host, before
	VMID   int
	// Foreign is set for a function of another card than the one passed through.
	Foreign bool
	Time    time.Time
}

// passed is one hostpci option with its possible devices.
type passed struct {
	key          string
	props        map[string]string
	alternatives [][]string // full BDFs; the first free alternative is used
}

// parseError is an error that the real server also writes to the task's log
// before it ends the task.
type parseError struct{ text string }

func (e *parseError) Error() string { return e.text }

// parsePassed reads the hostpci options of a VM and compares mappings with the hardware.
func (s *Sim) parsePassed(v *vm) ([]passed, error) {
	var out []passed
	for i := range indexed["hostpci"] + 1 {
		key := fmt.Sprint("hostpci", i)
		if _, set := v.conf[key]; !set {
			continue
		}
		p := passed{key: key, props: hostpciFormat.parse(v.conf[key])}
		if err := s.resolve(s.hosts[v.node], &p); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (s *Sim) resolve(h *host, p *passed) error {
	mapped, raw := p.props["mapping"], p.props["host"]
	switch {
	case mapped != "" && raw != "":
		return &parseError{"Cannot set both 'host' and 'mapping'."}
	case mapped == "" && raw == "":
		return &parseError{"Either 'host' or 'mapping' must be set."}
	case raw != "":
		ids, err := h.expand(raw)
		p.alternatives = [][]string{ids}
		return err
	}
	m := s.mappings[mapped]
	if m == nil || len(m.on(h.Name)) == 0 {
		return &parseError{fmt.Sprintf("PCI device mapping not found for '%s'", mapped)}
	}
	for _, entry := range m.on(h.Name) {
		if text := h.assertMapping(m, entry); text != "" {
			return &parseError{"PCI device mapping invalid (hardware probably changed): " + text + "\n"}
		}
		ids, err := h.expand(entry["path"])
		if err != nil {
			return err
		}
		p.alternatives = append(p.alternatives, ids)
	}
	return nil
}

// expand turns "03:00;04:00.0" into full addresses; without a function, all functions of
// the card.
func (h *host) expand(list string) ([]string, error) {
	var out []string
	for expected := range strings.SplitSeq(list, ";") {
		var found []string
		for _, f := range h.PCI {
			if matchesAddress(f.Address, expected) {
				found = append(found, f.Address)
			}
		}
		if len(found) == 0 {
			return nil, &parseError{fmt.Sprintf("no PCI device found for '%s'", expected)}
		}
		out = append(out, found...)
	}
	return out, nil
}

// matchesAddress compares an address with one that may be without domain and function.
func matchesAddress(address, expected string) bool {
	if strings.Count(expected, ":") == 1 {
		expected = "0000:" + expected
	}
	if !strings.Contains(expected, ".") {
		return strings.HasPrefix(address, expected+".")
	}
	return address == expected
}

// chooseDevices chooses the devices for a start; from a mapping with several devices,
// the first free one.
func (s *Sim) chooseDevices(v *vm, list []passed) ([]string, error) {
	h := s.hosts[v.node]
	used := map[string]bool{}
	var chosen []string
	take := func(ids []string) error {
		for _, id := range ids {
			if used[id] {
				return die("device '%s' assigned more than once", id)
			}
			used[id] = true
		}
		chosen = append(chosen, ids...)
		return nil
	}
	for _, p := range list {
		if len(p.alternatives) == 1 {
			if err := take(p.alternatives[0]); err != nil {
				return nil, err
			}
			continue
		}
		i := slices.IndexFunc(p.alternatives, func(ids []string) bool {
			return !slices.ContainsFunc(ids, func(id string) bool { return used[id] || h.holder(id, v.id) != 0 })
		})
		if i < 0 {
			return nil, die("could not find a free device for '%s'", p.key)
		}
		if err := take(p.alternatives[i]); err != nil {
			return nil, err
		}
	}
	for _, p := range list {
		if lenientBool(p.props["pcie"]) == "1" && !strings.Contains(machineFormat.parse(v.conf["machine"])["type"], "q35") {
			return nil, die("q35 machine model is not enabled")
		}
		if lenientBool(p.props["legacy-igd"]) == "1" && vgaFormat.parse(v.conf["vga"])["type"] != "none" {
			return nil, die("legacy IGD assignment requires VGA mode to be 'none'")
		}
	}
	return chosen, nil
}

// mediate fails for options with mdev=, because no device here can be shared.
func (t *task) mediate(list []passed) error {
	for _, p := range list {
		if p.props["mdev"] == "" {
			continue
		}
		for _, ids := range p.alternatives {
			for _, id := range ids {
				t.note("pci device '%s' does not support mediated devices ", id)
			}
		}
		return die("could not create mediated device")
	}
	return nil
}

// holder returns the other VM that has reserved a device, 0 for none.
func (h *host) holder(id string, not int) int {
	if vmid := h.reserved[id]; vmid != not {
		return vmid
	}
	return 0
}

// reserve reserves devices for a start, all or none. Reservations are by full address,
// on this host only, and last until the VM stops.
func (s *Sim) reserve(v *vm, ids []string) error {
	h := s.hosts[v.node]
	for _, id := range ids {
		other := s.vms[h.holder(id, v.id)]
		switch {
		case other == nil:
		case other.starting:
			return die("PCI device '%s' is currently reserved for use by VMID '%d'", id, other.id)
		default:
			return die("PCI device '%s' already in use by VMID '%d'", id, other.id)
		}
	}
	for _, id := range ids {
		h.reserved[id] = v.id
	}
	return nil
}

func (s *Sim) unreserve(v *vm) {
	maps.DeleteFunc(s.hosts[v.node].reserved, func(_ string, vmid int) bool { return vmid == v.id })
}

// bind binds the whole IOMMU group of each device to vfio-pci, except bridges. The host
// loses the devices that it used there. Devices with driver=keep are not changed.
func (s *Sim) bind(t *task, v *vm, ids []string, kept map[string]bool) error {
	h := s.hosts[v.node]
	if len(ids) > 0 && h.NoIOMMU {
		return die("cannot prepare PCI pass-through, IOMMU not present")
	}
	for _, id := range ids {
		f := h.function(id)
		if f == nil || f.Broken == "info" {
			return die("no pci device info for device '%s'", id)
		}
		if kept[id] {
			continue
		}
		if err := s.bindGroup(v, f, ids); err != nil {
			return err
		}
		if f.Broken == "reset" {
			t.note("failed to reset PCI device '%s', but trying to continue as not all devices need a reset", id)
		}
	}
	return nil
}

func (s *Sim) bindGroup(v *vm, f *PCIFunction, ids []string) error {
	h := s.hosts[v.node]
	switch {
	case h.NoVFIO:
		return die("Cannot find vfio-pci module!")
	case f.Group < 0:
		return die("Cannot open iommu_group: No such file or directory")
	case f.Broken == "group":
		return die("can't unbind/bind PCI group to VFIO '%s'", f.Address)
	}
	for _, mate := range h.PCI {
		if !h.endpointOf(mate, f.Group) {
			continue
		}
		if mate.Broken == "bind" {
			return die("Cannot bind %s to vfio", mate.Address)
		}
		s.take(v, mate.Address, ids)
	}
	return nil
}

// endpointOf reports whether a function is in this group and not a bridge.
func (h *host) endpointOf(f PCIFunction, group int) bool {
	class, _ := pci.ParseClass(f.Class)
	return f.Group == group && !class.IsBridge()
}

// openable is QEMU's own check of the devices: the whole group of each must be on
// vfio-pci. With driver=keep this may not be the case.
func (s *Sim) openable(t *task, v *vm, ids []string) error {
	h := s.hosts[v.node]
	for i, id := range ids {
		f := h.function(id)
		text := ""
		for _, mate := range h.PCI {
			driver := h.drivers[mate.Address]
			switch {
			case f == nil || !h.endpointOf(mate, f.Group) || driver == "vfio-pci" || driver == "" && mate.Address != id:
			case mate.Address == id:
				text = fmt.Sprintf("vfio %s: %s: No such file or directory", id, s.unopened(f.Group))
			case text == "":
				text = fmt.Sprintf("vfio %s: group %d is not viable: Please ensure all devices within the iommu_group are bound to their vfio bus driver.", id, f.Group)
			}
		}
		if text != "" {
			t.note("kvm: -device %s: %s", v.vfioDevice(i, id), text)
			return die("start failed: QEMU exited with code 1")
		}
	}
	return nil
}

// unopened is QEMU's text for a device file of a group that it cannot open. Version 10,
// of Proxmox VE 9, has another text than older versions.
func (s *Sim) unopened(group int) string {
	if s.major < 9 {
		return fmt.Sprintf("failed to open /dev/vfio/%d", group)
	}
	return fmt.Sprintf("Could not open '/dev/vfio/%d'", group)
}

// vfioDevice is a device in the form of QEMU's command line, without the bus address of
// devices that are not on PCIe.
func (v *vm) vfioDevice(i int, id string) string {
	arg := fmt.Sprintf("vfio-pci,host=%s,id=hostpci%d", id, i)
	if lenientBool(hostpciFormat.parse(v.conf[fmt.Sprint("hostpci", i)])["pcie"]) == "1" {
		arg += fmt.Sprintf(",bus=ich9-pcie-port-%d,addr=0x0", i+1)
	}
	return arg
}

func (s *Sim) take(v *vm, address string, ids []string) {
	h := s.hosts[v.node]
	driver := h.drivers[address]
	if driver == "vfio-pci" {
		return
	}
	h.drivers[address] = "vfio-pci"
	h.bindAlike(address)
	if driver != "" {
		s.damage = append(s.damage, Damage{Host: h.Name, Device: address, Driver: driver, VMID: v.id,
			Foreign: !sameCard(address, ids), Time: time.Now()})
	}
	s.changed(DeviceBound, h.Name, v.id, address)
}

// bindAlike is the side effect of writing a card's ID to vfio-pci's new_id: the driver
// also takes cards of the same model that have no driver.
func (h *host) bindAlike(address string) {
	made := h.function(address)
	for _, f := range h.PCI {
		if f.ID == made.ID && h.drivers[f.Address] == "" {
			h.drivers[f.Address] = "vfio-pci"
		}
	}
}

// keptDevices returns the devices of options with driver=keep.
func keptDevices(list []passed) map[string]bool {
	kept := map[string]bool{}
	for _, p := range list {
		for _, ids := range p.alternatives {
			for _, id := range ids {
				kept[id] = kept[id] || p.props["driver"] == "keep"
			}
		}
	}
	return kept
}

func sameCard(address string, ids []string) bool {
	card, _, _ := strings.Cut(address, ".")
	return slices.ContainsFunc(ids, func(id string) bool { return strings.HasPrefix(id, card+".") })
}
