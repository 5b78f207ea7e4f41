package pvesim

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// optionPrivs lists the options by privilege. Only root@pam may set options that are in
// no list. Network, drives and hostpci have separate rules.
var optionPrivs = map[string][]string{
	"VM.Config.CPU":    {"cpu", "cores", "cpulimit", "cpuunits", "numa", "smp", "sockets", "vcpus", "runningcpu"},
	"VM.Config.Memory": {"memory", "balloon", "shares", "allow-ksm"},
	"VM.Config.HWType": {"acpi", "audio0", "hotplug", "kvm", "machine", "rng0", "scsihw", "smbios1", "runningmachine", "tablet", "vga", "watchdog"},
	"VM.Config.Options": {"agent", "autostart", "bios", "description", "keyboard", "localtime", "migrate_downtime",
		"migrate_speed", "name", "onboot", "ostype", "protection", "reboot", "startdate", "startup", "tdf", "template"},
	"VM.Config.Disk": {"boot", "bootdisk", "vmstatestorage"},
	"VM.PowerMgmt":   {"freeze"},
}

var cloudInitOptions = []string{"cicustom", "cipassword", "citype", "ciuser", "ciupgrade", "nameserver", "searchdomain", "sshkeys"}

func privOf(key string) string {
	for priv, keys := range optionPrivs {
		if slices.Contains(keys, key) {
			return priv
		}
	}
	return ""
}

// vmNeed requires a privilege on a VM or on its future pool.
func (s *Sim) vmNeed(caller identity, vmid int, pool string, privs ...string) error {
	if pool != "" && s.may(caller, "/pool/"+pool, privs...) {
		return nil
	}
	return s.needAny(caller, vmPath(vmid), privs...)
}

// checkOptionPerms checks all options of a change, except those whose privilege also
// depends on the old value. These are checked when they are written.
func (s *Sim) checkOptionPerms(c *change, pool string) error {
	if c.caller.isRoot() {
		return nil
	}
	for _, key := range append(slices.Clone(c.deletes), slices.Sorted(maps.Keys(c.sets))...) {
		if err := s.optionPerm(c.caller, c.vmid, pool, key); err != nil {
			return err
		}
	}
	return nil
}

// latePerms are the options that devicePerm, drivePerm and tagPerm check.
var latePerms = []string{"hostpci", "unused", "serial", "usb", "virtiofs"}

func (s *Sim) optionPerm(caller identity, vmid int, pool, key string) error {
	base, _, _ := splitIndex(key)
	switch {
	case isDrive(key) || slices.Contains(latePerms, base) || key == "tags":
		return nil
	case base == "net" || key == "running-nets-host-mtu":
		return s.vmNeed(caller, vmid, pool, "VM.Config.Network")
	case base == "numa":
		return s.vmNeed(caller, vmid, pool, "VM.Config.CPU")
	case slices.Contains(cloudInitOptions, key) || base == "ipconfig":
		return s.vmNeed(caller, vmid, pool, "VM.Config.Cloudinit", "VM.Config.Network")
	}
	priv := privOf(key)
	if priv == "" {
		return die("only root can set '%s' config", key)
	}
	if err := s.vmNeed(caller, vmid, pool, priv); err != nil || key != "startup" {
		return err
	}
	// The startup order concerns the host, not only the VM.
	return s.need(caller, "/", "Sys.Modify")
}

// checkBridges requires SDN.Use on the bridges of network cards.
func (s *Sim) checkBridges(caller identity, sets map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(sets)) {
		if !isNet(key) {
			continue
		}
		if err := s.bridgePerm(caller, sets[key]); err != nil {
			return err
		}
	}
	return nil
}

// bridgePerm requires SDN.Use on a card's bridge, or on its VLANs there.
func (s *Sim) bridgePerm(caller identity, value string) error {
	_, bridge := netAddress(value)
	if bridge == "" {
		return nil
	}
	path, props := "/sdn/zones/localnetwork/"+bridge, netFormat.parse(value)
	vlans := vlansOf(props["trunks"])
	if tag := props["tag"]; tag != "" {
		vlans = append([]string{tag}, vlans...)
	}
	for _, vlan := range vlans {
		if err := s.need(caller, path+"/"+vlan, "SDN.Use"); err != nil {
			return err
		}
	}
	if len(vlans) > 0 {
		return nil
	}
	return s.need(caller, path, "SDN.Use")
}

// vlansOf returns the numbers in a list of ranges: 5;10-12.
func vlansOf(trunks string) []string {
	var out []string
	for part := range strings.SplitSeq(trunks, ";") {
		first, last, isRange := strings.Cut(part, "-")
		from, err := strconv.Atoi(first)
		if err != nil {
			continue
		}
		to := from
		if isRange {
			to, _ = strconv.Atoi(last)
		}
		for n := from; n <= min(to, 4094); n++ {
			out = append(out, strconv.Itoa(n))
		}
	}
	slices.Sort(out)
	return out
}

// devicePerm checks the old and the new value of an option for a device of the host. verb
// is the operation, for the error about real serial ports.
func (s *Sim) devicePerm(caller identity, vmid int, pool, verb, key, value string) error {
	base, _, _ := splitIndex(key)
	if value == "" || caller.isRoot() {
		return nil
	}
	if base == "hostpci" {
		return s.hostpciPerm(caller, vmid, pool, key, value)
	}
	if base == "serial" && value != "socket" {
		return die("only root can %s '%s' config for real devices", verb, key)
	}
	priv := map[string]string{"serial": "VM.Config.HWType", "usb": "VM.Config.HWType", "virtiofs": "VM.Config.Disk"}[base]
	if key == "rng0" {
		priv = "VM.Config.HWType"
	}
	if priv == "" {
		return nil
	}
	if err := s.vmNeed(caller, vmid, pool, priv); err != nil {
		return err
	}
	return s.hostThingPerm(caller, base, key, value)
}

// hostThingPerm requires Mapping.Use on the mapping of a device.
func (s *Sim) hostThingPerm(caller identity, base, key, value string) error {
	switch {
	case key == "rng0" && rngFormat.parse(value)["source"] == "/dev/hwrng":
		return s.need(caller, "/mapping/hwrng", "Mapping.Use")
	case base == "virtiofs":
		return s.need(caller, "/mapping/dir/"+virtiofsFormat.parse(value)["dirid"], "Mapping.Use")
	case base == "usb":
		props := usbFormat.parse(value)
		switch {
		case strings.EqualFold(props["host"], "spice"):
			return nil
		case props["host"] != "":
			return die("only root can set '%s' config for real devices", key)
		case props["mapping"] == "":
			return die("either 'host' or 'mapping' must be set.")
		}
		return s.need(caller, "/mapping/usb/"+props["mapping"], "Mapping.Use")
	}
	return nil
}

// tagPerm applies the datacenter's rules for tags to those that change.
func (s *Sim) tagPerm(caller identity, vmid int, old, new string) error {
	if err := s.vmNeed(caller, vmid, "", "VM.Config.Options"); err != nil {
		return err
	}
	before, after := splitList(normaliseTags(old)), splitList(normaliseTags(new))
	for _, tag := range append(slices.Clone(before), after...) {
		if slices.Contains(before, tag) && slices.Contains(after, tag) {
			continue
		}
		if slices.Contains(s.dc.RegisteredTags, tag) {
			if !s.may(caller, "/", "Sys.Modify") {
				return forbidden("Permission check failed (/, Sys.Modify for modifying tag '%s')", tag)
			}
			continue
		}
		allowed := true
		switch s.dc.UserTags {
		case "none":
			allowed = false
		case "list":
			allowed = slices.Contains(s.dc.UserTagsAllowed, tag)
		case "existing":
			allowed = slices.Contains(s.dc.UserTagsAllowed, tag) || s.tagInUse(caller, tag)
		}
		if !allowed && !s.may(caller, "/", "Sys.Modify") {
			return forbidden("Permission check failed (/, Sys.Modify for modifying tag '%s')", tag)
		}
	}
	return nil
}

// tagInUse reports whether a guest that the caller may see has a tag.
func (s *Sim) tagInUse(caller identity, tag string) bool {
	for id, v := range s.vms {
		if s.may(caller, vmPath(id), "VM.Audit") && slices.Contains(splitList(v.conf["tags"]), tag) {
			return true
		}
	}
	return false
}

// hostpciPerm is the reason for using mappings: only root@pam with a password may set,
// change and delete a raw device. For a mapped device, VM.Config.HWType and Mapping.Use
// are sufficient.
func (s *Sim) hostpciPerm(caller identity, vmid int, pool, key, value string) error {
	if value == "" || caller.isRoot() {
		return nil
	}
	props := hostpciFormat.parse(value)
	switch {
	case props["romfile"] != "":
		return badParam(key, "only root@pam can set 'romfile' option")
	case props["host"] != "":
		return die("only root can set '%s' config for non-mapped devices", key)
	case props["mapping"] == "":
		return die("either 'host' or 'mapping' must be set.")
	}
	if err := s.vmNeed(caller, vmid, pool, "VM.Config.HWType"); err != nil {
		return err
	}
	return s.need(caller, "/mapping/pci/"+props["mapping"], "Mapping.Use")
}

// drivePerm checks a drive that is set or deleted, for the old and the new value.
func (s *Sim) drivePerm(caller identity, vmid int, value string) error {
	if value == "" || caller.isRoot() {
		return nil
	}
	d, privs := parseDrive(value), []string{"VM.Config.Disk"}
	switch {
	case d.isCloudInit():
		privs = []string{"VM.Config.Cloudinit", "VM.Config.CDROM"}
	case d.isCDROM():
		privs = []string{"VM.Config.CDROM"}
	}
	for _, priv := range privs {
		if err := s.vmNeed(caller, vmid, "", priv); err != nil {
			return err
		}
	}
	return nil
}

// checkStorages requires the privileges on the storages and volumes of options.
func (s *Sim) checkStorages(caller identity, vmid int, sets map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(sets)) {
		if !isDrive(key) {
			continue
		}
		d := parseDrive(sets[key])
		if err := s.checkDriveStorage(caller, vmid, key, d); err != nil {
			return err
		}
		if err := s.importPerm(caller, vmid, key, d); err != nil {
			return err
		}
	}
	for _, key := range unusedKeys() {
		if value, ok := sets[key]; ok {
			if err := s.checkUnused(caller, vmid, parseDrive(value)); err != nil {
				return err
			}
		}
	}
	if name, ok := sets["vmstatestorage"]; ok {
		return s.need(caller, "/storage/"+name, "Datastore.AllocateSpace")
	}
	return nil
}

func (s *Sim) checkDriveStorage(caller identity, vmid int, key string, d drive) error {
	storage, _, isNew := d.allocation()
	_, justMade := d.newCloudInit()
	switch {
	case d.file == "none" || justMade:
		return nil
	case d.isCDROM() && d.file == "cdrom":
		return s.need(caller, "/", "Sys.Console")
	case isNew && !d.isCDROM():
		return s.checkImageStorage(caller, storage)
	}
	if err := s.volumePerm(caller, vmid, d); err != nil {
		return err
	}
	if _, _, ok := d.volume(); !ok {
		return nil
	}
	if kind, err := s.volumeKindOf(d); err != nil || kind.content != "images" && kind.content != "iso" {
		return cmp.Or(err, badParam(key, "content type needs to be 'images' or 'iso'"))
	}
	return nil
}

func (s *Sim) checkUnused(caller identity, vmid int, d drive) error {
	kind, err := s.volumeKindOf(d)
	if err != nil {
		return err
	}
	if kind.content != "images" {
		return die("unable to use volume %s - content type needs to be 'images'", d.file)
	}
	return s.volumePerm(caller, vmid, d)
}

// checkImageStorage requires a storage that accepts disks.
func (s *Sim) checkImageStorage(caller identity, name string) error {
	st := s.storages[name]
	if st == nil {
		return die("storage '%s' does not exist", name)
	}
	if err := s.need(caller, "/storage/"+name, "Datastore.AllocateSpace"); err != nil {
		return err
	}
	if !st.holds("images") {
		return badParam("storage", "storage '%s' does not support vm images", name)
	}
	return nil
}
