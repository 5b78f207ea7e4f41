package pvesim

import (
	"cmp"
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// checkSpecialValues checks values that need more than a check of their format, and
// converts those that are stored in another form.
func (s *Sim) checkSpecialValues(node string, sets map[string]string) error {
	if keys := sets["sshkeys"]; strings.TrimSpace(keys) != "" && !goodSSHKeys(keys) {
		return die("SSH public key validation error")
	}
	if units, err := strconv.Atoi(sets["cpuunits"]); err == nil && units > maxCPUWeight {
		sets["cpuunits"] = strconv.Itoa(maxCPUWeight)
	}
	if value, old := sets["cdrom"]; old {
		delete(sets, "cdrom")
		sets["ide2"] = value
		if !strings.Contains(value, "media=") {
			sets["ide2"] += ",media=cdrom"
		}
	}
	if err := checkNewValues(sets); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(sets)) {
		if isDrive(key) {
			if err := s.checkDrive(key, sets); err != nil {
				return err
			}
		}
	}
	if script, ok := sets["hookscript"]; ok {
		return s.checkHookScript(node, script)
	}
	return nil
}

// asRead is a value as read from a configuration file, without the blanks around it. A description keeps them.
func asRead(key, value string) string {
	if key == "description" {
		return value
	}
	return strings.TrimSpace(value)
}

// checkStored refuses values that a configuration file cannot contain.
func checkStored(sets map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(sets)) {
		value, option := sets[key], plainOptions[key]
		switch {
		case key != "description" && strings.Contains(value, "\n"):
			return die("unable to parse value of '%s' - property contains a line feed", key)
		case option.kind == "integer" && strings.HasPrefix(value, "+"):
			return die("unable to parse value of '%s' - type check ('integer') failed - got '%s'", key, value)
		}
	}
	return nil
}

// checkNewValues refuses values that a world file may have but that a request may not
// set: custom CPU types, and values of amd-sev and intel-tdx in a wrong form.
func checkNewValues(sets map[string]string) error {
	if name, custom := strings.CutPrefix(cpuFormat.parse(sets["cpu"])["cputype"], "custom-"); custom {
		return badParam("cpu", "invalid format - Custom cputype '%s' not found\n", name)
	}
	for key, format := range map[string]*propFormat{"amd-sev": sevFormat, "intel-tdx": tdxFormat} {
		value, set := sets[key]
		if !set {
			continue
		}
		if text := format.check(key, value); text != "" {
			return badParam(key, "invalid format - %s\n", text)
		}
	}
	return nil
}

// maxCPUWeight is the maximum of cpu.weight in cgroup v2; larger cpuunits are reduced to
// it.
const maxCPUWeight = 10000

// checkHookScript always refuses, because a script must be executable and the simulator has
// no executable files.
func (s *Sim) checkHookScript(node, volid string) error {
	d := drive{file: volid}
	storage, volume, ok := d.volume()
	st := s.storages[storage]
	switch {
	case !ok:
		return badParam("hookscript", "unable to parse volume ID '%s'\n", volid)
	case st == nil:
		return badParam("hookscript", "storage '%s' does not exist\n", storage)
	}
	kind, err := parseVolumeName(st, volume)
	if err != nil {
		return badParam("hookscript", "%s\n", err)
	}
	if kind.content != "snippets" {
		return badParam("hookscript", "'%s' is not in the snippets directory\n", volid)
	}
	if _, vol := s.volumeOf(node, d); vol == nil {
		return badParam("hookscript", "script '%s' does not exist\n", volid)
	}
	return badParam("hookscript", "script '%s' is not executable\n", volid)
}

func goodSSHKeys(encoded string) bool {
	text, err := url.PathUnescape(encoded)
	if err != nil {
		return false
	}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) < 2 {
			return false
		}
		blob, err := base64.StdEncoding.DecodeString(fields[1])
		// A key blob is 4 bytes of length, the type, and the key. No real key has
		// less than 40 bytes; an ed25519 key has 51 in all.
		if err != nil || len(blob) < 40 || !strings.HasPrefix(string(blob[4:]), fields[0]) || fields[0] == "ssh-ed25519" && len(blob) != 51 {
			return false
		}
	}
	return true
}

// checkMachine returns the error for a well-formed machine that is not valid.
func checkMachine(value string) error {
	props := machineFormat.parse(value)
	bits := props["aw-bits"]
	switch {
	case props["viommu"] == "intel" && !strings.Contains(props["type"], "q35"):
		return die("to use Intel vIOMMU please set the machine type to q35")
	case props["viommu"] == "intel" && bits != "" && bits != "39" && bits != "48":
		return die("Intel vIOMMU supports only 39 or 48 bits as address width")
	case bits != "" && props["viommu"] == "":
		return die("cannot set aw-bits if no vIOMMU is configured")
	}
	return nil
}

// pinnedMachine is the machine version for a VM with Windows.
const pinnedMachine = "10.0+pve1"

// pinned returns the machine type with a fixed version added. Proxmox VE does this for
// Windows guests, because a newer machine version would change their virtual hardware. The
// result is "" for other guests, and for every machine except pc and q35 without a version.
func pinned(machine, ostype string) string {
	d := drive{props: machineFormat.parse(machine)} // not a drive, but written in the same form: value,key=value
	kind := cmp.Or(d.props["type"], "pc")
	if !strings.HasPrefix(ostype, "w") || kind != "pc" && kind != "q35" {
		return ""
	}
	delete(d.props, "type")
	d.file = "pc-i440fx-" + pinnedMachine
	if kind == "q35" {
		d.file = "pc-q35-" + pinnedMachine
	}
	return d.String()
}
