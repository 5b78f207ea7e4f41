package pvesim

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// drive is the value of a drive option.
type drive struct {
	file  string
	props map[string]string // without file
	// implied is set when the file makes this a CD drive, without media=cdrom.
	implied bool
}

// parseDrive reads a valid value.
func parseDrive(value string) drive {
	props := driveFormat.parse(value)
	d := drive{file: cmp.Or(props["file"], props["volume"]), props: props}
	delete(props, "file")
	delete(props, "volume")
	if (d.file == "none" || d.file == "cdrom") && props["media"] == "" {
		props["media"], d.implied = "cdrom", true
	}
	return d
}

// String formats the drive like Proxmox: the file, then the other properties sorted.
func (d drive) String() string {
	parts := []string{d.file}
	keys := make([]string, 0, len(d.props))
	for key := range d.props {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		parts = append(parts, key+"="+d.props[key])
	}
	return strings.Join(parts, ",")
}

func (d drive) isCDROM() bool { return d.props["media"] == "cdrom" }

var (
	allocateForm  = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]):(\d+(?:\.\d+)?)$`)
	cloudInitForm = regexp.MustCompile(`(?:^|[:/])vm-\d+-cloudinit(?:\.\w+)?$`)
)

// allocation parses "storage:SIZE", which requests a new disk of SIZE GiB.
func (d drive) allocation() (storage string, gib float64, ok bool) {
	m := allocateForm.FindStringSubmatch(d.file)
	if m == nil {
		return "", 0, false
	}
	gib, err := strconv.ParseFloat(m[2], 64)
	return m[1], gib, err == nil
}

// newCloudInit parses "storage:cloudinit", which requests a cloud-init drive.
func (d drive) newCloudInit() (storage string, ok bool) {
	storage, name, isVolume := strings.Cut(d.file, ":")
	return storage, isVolume && name == "cloudinit"
}

func (d drive) isCloudInit() bool {
	_, justMade := d.newCloudInit()
	return justMade || cloudInitForm.MatchString(d.file)
}

// volume splits the file into storage and volume name; ok is false for
// "none", "cdrom" and paths.
func (d drive) volume() (storage, name string, ok bool) {
	m := volumeIDForm.FindStringSubmatch(d.file)
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}

const (
	kib = int64(1) << 10
	mib = int64(1) << 20
	gib = int64(1) << 30
	tib = int64(1) << 40
)

// parseSize reads a disk size: "10G", "528K", plain bytes.
func parseSize(text string) int64 {
	m := diskSizeForm.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseFloat(m[1], 64)
	unit := map[string]int64{"": 1, "K": kib, "M": mib, "G": gib, "T": tib}[m[3]]
	return int64(n * float64(unit))
}

// formatSize formats a size in the largest unit that divides it.
func formatSize(bytes int64) string {
	if bytes == 0 {
		return "0T"
	}
	for _, u := range []struct {
		unit int64
		name string
	}{{tib, "T"}, {gib, "G"}, {mib, "M"}, {kib, "K"}} {
		if bytes >= u.unit && bytes%u.unit == 0 {
			return fmt.Sprintf("%d%s", bytes/u.unit, u.name)
		}
	}
	return strconv.FormatInt(bytes, 10)
}

// printNet formats a network card: the model with its address, then the other
// properties sorted. mac is used when the value has no address.
func printNet(value string, mac func() string) string {
	props := netFormat.parse(value)
	model, address := props["model"], props["macaddr"]
	for _, name := range netModels {
		if a, ok := props[name]; ok {
			model, address = name, a
			delete(props, name)
		}
	}
	delete(props, "model")
	delete(props, "macaddr")
	if address == "" {
		address = mac()
	}
	rest := drive{file: model + "=" + strings.ToUpper(address), props: props}
	return rest.String()
}

// netAddress returns the MAC address and bridge of a card in the form of printNet.
func netAddress(value string) (mac, bridge string) {
	props := netFormat.parse(value)
	for _, name := range netModels {
		if a, ok := props[name]; ok {
			mac = a
		}
	}
	return mac, props["bridge"]
}
