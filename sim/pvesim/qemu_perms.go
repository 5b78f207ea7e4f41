package pvesim

import (
	"maps"
	"slices"
)

// optionPrivs says which privilege an option needs; what is in no list may be
// set by root@pam only. Network, drives and hostpci have rules of their own.
var optionPrivs = map[string][]string{
	"VM.Config.CPU":    {"cpu", "cores", "cpulimit", "cpuunits", "numa", "smp", "sockets", "vcpus"},
	"VM.Config.Memory": {"memory", "balloon", "shares"},
	"VM.Config.HWType": {"acpi", "audio0", "hotplug", "kvm", "machine", "rng0", "scsihw", "smbios1", "tablet", "vga", "vmgenid", "watchdog"},
	"VM.Config.Options": {"agent", "allow-ksm", "autostart", "bios", "description", "keyboard", "localtime", "migrate_downtime",
		"migrate_speed", "name", "onboot", "ostype", "protection", "reboot", "startdate", "startup", "tags", "tdf", "template"},
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

// vmNeed asks for a privilege on a VM or on the pool that it is to be in.
func (s *Sim) vmNeed(who identity, vmid int, pool string, privs ...string) error {
	if pool != "" && s.may(who, "/pool/"+pool, privs...) {
		return nil
	}
	return s.needAny(who, vmPath(vmid), privs...)
}

// checkOptionPerms looks at all options of a change but drives and hostpci,
// which are looked at when they are written.
func (s *Sim) checkOptionPerms(c *change, v *vm, pool string) error {
	if c.who.isRoot() {
		return nil
	}
	for _, key := range append(slices.Clone(c.deletes), slices.Sorted(maps.Keys(c.sets))...) {
		if err := s.optionPerm(c.who, c.vmid, pool, key, c.sets[key]); err != nil {
			return err
		}
	}
	if tags, ok := c.sets["tags"]; ok {
		old := ""
		if v != nil {
			old = v.conf["tags"]
		}
		return s.tagPerm(c.who, old, tags)
	}
	return nil
}

func (s *Sim) optionPerm(who identity, vmid int, pool, key, value string) error {
	switch {
	case isDrive(key) || isHostpci(key) || hasIndex(key, "unused"):
		return nil
	case isNet(key):
		if err := s.vmNeed(who, vmid, pool, "VM.Config.Network"); err != nil {
			return err
		}
		return s.bridgePerm(who, value)
	case slices.Contains(cloudInitOptions, key) || hasIndex(key, "ipconfig"):
		return s.vmNeed(who, vmid, pool, "VM.Config.Cloudinit", "VM.Config.Network")
	case hasIndex(key, "serial") && (value == "socket" || value == ""):
		return s.vmNeed(who, vmid, pool, "VM.Config.HWType")
	}
	if priv := privOf(key); priv != "" {
		return s.vmNeed(who, vmid, pool, priv)
	}
	return die("only root can set '%s' config", key)
}

// bridgePerm asks for SDN.Use on the bridge of a network card.
func (s *Sim) bridgePerm(who identity, value string) error {
	_, bridge := netAddress(value)
	if bridge == "" {
		return nil
	}
	path := "/sdn/zones/localnetwork/" + bridge
	if tag := netFormat.parse(value)["tag"]; tag != "" && s.may(who, path+"/"+tag, "SDN.Use") {
		return nil
	}
	return s.need(who, path, "SDN.Use")
}

// tagPerm applies the datacenter's rules for tags to those that change.
func (s *Sim) tagPerm(who identity, old, new string) error {
	before, after := splitList(normaliseTags(old)), splitList(normaliseTags(new))
	for _, tag := range append(slices.Clone(before), after...) {
		if slices.Contains(before, tag) && slices.Contains(after, tag) {
			continue
		}
		if slices.Contains(s.dc.RegisteredTags, tag) {
			if !s.may(who, "/", "Sys.Modify") {
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
			allowed = slices.Contains(s.dc.UserTagsAllowed, tag) || s.tagInUse(who, tag)
		}
		if !allowed && !s.may(who, "/", "Sys.Modify") {
			return forbidden("Permission check failed (/, Sys.Modify for modifying tag '%s')", tag)
		}
	}
	return nil
}

// tagInUse tells whether a guest that the caller may see has a tag.
func (s *Sim) tagInUse(who identity, tag string) bool {
	for id, v := range s.vms {
		if s.may(who, vmPath(id), "VM.Audit") && slices.Contains(splitList(v.conf["tags"]), tag) {
			return true
		}
	}
	return false
}

// hostpciPerm is the rule that makes mappings worth having: a raw device may
// be set, changed and deleted by root@pam with a password only, a mapped one
// by who has VM.Config.HWType and Mapping.Use.
func (s *Sim) hostpciPerm(who identity, vmid int, pool, key, value string) error {
	if value == "" || who.isRoot() {
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
	if err := s.vmNeed(who, vmid, pool, "VM.Config.HWType"); err != nil {
		return err
	}
	return s.need(who, "/mapping/pci/"+props["mapping"], "Mapping.Use")
}

// drivePerm is asked when a drive is set or deleted.
func (s *Sim) drivePerm(who identity, vmid int, key string, d drive, pool string) error {
	if who.isRoot() {
		return nil
	}
	priv := "VM.Config.Disk"
	switch {
	case d.isCloudInit():
		priv = "VM.Config.Cloudinit"
	case d.isCDROM():
		priv = "VM.Config.CDROM"
	}
	return s.vmNeed(who, vmid, pool, priv)
}

// checkStorages looks at the storages of new disks.
func (s *Sim) checkStorages(who identity, sets map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(sets)) {
		if !isDrive(key) {
			continue
		}
		d := parseDrive(sets[key])
		storage, _, isNew := d.allocation()
		if name, ok := d.newCloudInit(); ok {
			storage, isNew = name, true
		}
		if d.props["import-from"] != "" {
			return notSimulated("import-from")
		}
		if !isNew {
			if name, _, ok := d.volume(); ok && s.storages[name] == nil {
				return die("storage '%s' does not exist", name)
			} else if ok {
				if err := s.needAny(who, "/storage/"+name, "Datastore.AllocateSpace", "Datastore.Audit"); err != nil {
					return err
				}
			}
			continue
		}
		if err := s.checkImageStorage(who, storage); err != nil {
			return err
		}
	}
	return nil
}

// checkImageStorage asks for a storage that takes disks.
func (s *Sim) checkImageStorage(who identity, name string) error {
	st := s.storages[name]
	if st == nil {
		return die("storage '%s' does not exist", name)
	}
	if err := s.need(who, "/storage/"+name, "Datastore.AllocateSpace"); err != nil {
		return err
	}
	if !st.holds("images") {
		return badParam("storage", "storage '%s' does not support vm images", name)
	}
	return nil
}
