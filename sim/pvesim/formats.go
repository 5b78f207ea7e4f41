package pvesim

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Formats of PVE::JSONSchema: each returns the error for a value, "" if it is valid.

var (
	vmidForm     = regexp.MustCompile(`^[1-9][0-9]{2,8}$`)
	storageForm  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]$`)
	configIDForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]+$`)
	dnsNameForm  = regexp.MustCompile(`^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?\.)*[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?$`)
	tagForm      = regexp.MustCompile(`^(?i)[a-z0-9_][a-z0-9_\-+.]*$`)
	volumeIDForm = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]):(\S+)$`)
	macForm      = regexp.MustCompile(`^(?i)[a-f0-9][02468ace](:[a-f0-9]{2}){5}$`)
	urlCodeForm  = regexp.MustCompile(`^[-%a-zA-Z0-9_.!~*'()]*$`)
	listSplit    = regexp.MustCompile(`[,;\s]+`)
)

// splitList splits a list in Proxmox's form: at commas, semicolons or blanks.
func splitList(text string) []string {
	return slices.DeleteFunc(listSplit.Split(strings.TrimSpace(text), -1), func(s string) bool { return s == "" })
}

func vmidFormat(_, v string) string {
	if !vmidForm.MatchString(v) {
		return "value does not look like a valid VM ID"
	}
	return ""
}

func storageFormat(_, v string) string {
	if !storageForm.MatchString(v) {
		return fmt.Sprintf("storage ID '%s' contains illegal characters", v)
	}
	return ""
}

func configIDFormat(_, v string) string {
	if !configIDForm.MatchString(v) {
		return fmt.Sprintf("invalid configuration ID '%s'", v)
	}
	return ""
}

func nodeFormat(_, v string) string {
	if !hostForm.MatchString(v) {
		return "value does not look like a valid node name"
	}
	return ""
}

func dnsNameFormat(_, v string) string {
	if !dnsNameForm.MatchString(v) {
		return "value does not look like a valid DNS name"
	}
	return ""
}

func tagsFormat(_, v string) string {
	for _, tag := range splitList(v) {
		if !tagForm.MatchString(tag) {
			return "invalid characters in tag"
		}
	}
	return ""
}

func volumeFormat(_, v string) string {
	if !volumeIDForm.MatchString(v) {
		return fmt.Sprintf("unable to parse volume ID '%s'", v)
	}
	return ""
}

// driveFileFormat accepts a volume, "none", "cdrom" or an absolute path.
func driveFileFormat(_, v string) string {
	if v == "none" || v == "cdrom" || strings.HasPrefix(v, "/") {
		return ""
	}
	return volumeFormat("", v)
}

func macFormat(_, v string) string {
	if !macForm.MatchString(v) {
		return "value does not look like a valid unicast MAC address"
	}
	return ""
}

func urlEncodedFormat(_, v string) string {
	if !urlCodeForm.MatchString(v) {
		return "invalid urlencoded string: " + v
	}
	return ""
}

func addressListFormat(_, v string) string {
	for _, a := range splitList(v) {
		if ip, err := netip.ParseAddr(a); (err != nil || ip.Zone() != "") && dnsNameFormat("", a) != "" {
			return "value does not look like a valid address: " + a
		}
	}
	return ""
}

func ipConfigFormat(_, v string) string {
	if v == "dhcp" || v == "manual" {
		return ""
	}
	if p, err := netip.ParsePrefix(v); err != nil || !p.Addr().Is4() || p.Bits() < 8 {
		return "value does not look like a valid ipv4 network configuration"
	}
	return ""
}

func ip6ConfigFormat(_, v string) string {
	if v == "dhcp" || v == "auto" || v == "manual" {
		return ""
	}
	if p, err := netip.ParsePrefix(v); err != nil || !p.Addr().Is6() {
		return "value does not look like a valid ipv6 network configuration"
	}
	return ""
}

// ip4Format accepts an IPv4 address, ip6Format an IPv6 address.
func ip4Format(_, v string) string {
	if a, err := netip.ParseAddr(v); err != nil || !a.Is4() {
		return "value does not look like a valid IPv4 address"
	}
	return ""
}

func ip6Format(_, v string) string {
	if a, err := netip.ParseAddr(v); err != nil || !a.Is6() || a.Zone() != "" {
		return "value does not look like a valid IPv6 address"
	}
	return ""
}

func contentFormat(_, v string) string {
	if !slices.Contains([]string{"images", "rootdir", "iso", "vztmpl", "backup", "snippets", "import", "none"}, v) {
		return fmt.Sprintf("invalid content type '%s'", v)
	}
	return ""
}

func contentListFormat(_, v string) string {
	for _, content := range splitList(v) {
		if text := contentFormat("", content); text != "" {
			return text
		}
	}
	return ""
}

var diskSizeForm = regexp.MustCompile(`^(\d+(\.\d+)?)([KMGT])?$`)

func diskSizeFormat(_, v string) string {
	if !diskSizeForm.MatchString(v) {
		return "value does not look like a valid disk size: " + v
	}
	return ""
}

func hotplugFormat(_, v string) string {
	if v == "0" || v == "1" {
		return ""
	}
	for _, feature := range splitList(v) {
		if !slices.Contains([]string{"network", "disk", "cpu", "memory", "usb", "cloudinit"}, feature) {
			return "invalid hotplug feature '" + feature + "'"
		}
	}
	return ""
}
