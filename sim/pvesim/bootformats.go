package pvesim

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// bootFormat is the format of "boot": devices in order, or the letters of old versions.
var bootFormat = &propFormat{defaultKey: "legacy", props: specs{
	"legacy": matching(`[acdn]{1,4}`), "order": formatted(bootOrderFormat),
}}

func bootOrderFormat(_, v string) string {
	for _, key := range splitList(v) {
		if !bootable(key) {
			return fmt.Sprintf("invalid boot device '%s'", key)
		}
	}
	return ""
}

// bootable reports whether an option is a device that a VM can start from.
func bootable(key string) bool {
	if key == "efidisk0" || key == "tpmstate0" {
		return false
	}
	return isDrive(key) || isNet(key) || isHostpci(key) || hasIndex(key, "usb")
}

func bootDiskFormat(_, v string) string {
	if !isDrive(v) || !bootable(v) {
		return fmt.Sprintf("invalid boot disk '%s'", v)
	}
	return ""
}

var startupPart = regexp.MustCompile(`^(?:(?:order=)?\d+|up=\d+|down=\d+)$`)

// startupFormat is the format of "startup", in which a part may be repeated.
func startupFormat(_, v string) string {
	good := v != "" && v != "0"
	for part := range strings.SplitSeq(v, ",") {
		good = good && (strings.TrimSpace(part) == "" || startupPart.MatchString(part))
	}
	if !good {
		return "unable to parse startup options"
	}
	return ""
}

var cpuRange = regexp.MustCompile(`^\s*(\d+)(?:-(\d+))?\s*$`)

// cpuSetFormat accepts CPUs of the host: 0,5,8-11.
func cpuSetFormat(_, v string) string {
	for part := range strings.SplitSeq(strings.TrimRight(v, ","), ",") {
		m := cpuRange.FindStringSubmatch(part)
		if m == nil {
			return "unable to parse cpuset option"
		}
		from, _ := strconv.Atoi(m[1])
		if to, err := strconv.Atoi(m[2]); err == nil && to < from {
			return "unable to parse cpuset option"
		}
	}
	return ""
}
