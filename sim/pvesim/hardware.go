package pvesim

import (
	"cmp"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/pci"
)

func hardwareCalls() []call {
	device := specs{"pci-id-or-mapping": matching(`(?:[0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-9a-fA-F].*|.*[a-zA-Z][a-zA-Z0-9_-]+`)}
	return []call{
		{method: "GET", path: "/nodes/{node}/hardware", proxy: anyHost, serve: index("type", "pci", "usb")},
		{method: "GET", path: "/nodes/{node}/hardware/pci", may: permAny("/", "Sys.Audit", "Sys.Modify"), serve: (*Sim).listPCI,
			params: specs{"pci-class-blacklist": text(), "verbose": boolean()}, protected: true},
		// The real server answers this for any device, even one that does not exist.
		{method: "GET", path: "/nodes/{node}/hardware/pci/{pci-id-or-mapping}", params: device, proxy: anyHost, serve: index("method", "mdev")},
		{method: "GET", path: "/nodes/{node}/hardware/pci/{pci-id-or-mapping}/mdev", params: device, may: permAny("/", "Sys.Audit", "Sys.Modify"), serve: noMdev, protected: true},
	}
}

func noMdev(*Sim, *request) (any, error) { return []any{}, nil }

func compareBDF(a, b string) int {
	left, errA := pci.ParseBDF(a)
	right, errB := pci.ParseBDF(b)
	if errA != nil || errB != nil {
		return cmp.Compare(a, b)
	}
	return left.Compare(right)
}

// listPCI lists the functions of a host, without those of hidden classes. No version
// returns the kernel driver of a function.
func (s *Sim) listPCI(r *request) (any, error) {
	hidden := []string{"05", "06", "0b"}
	if r.args.has("pci-class-blacklist") {
		hidden = splitList(r.args.get("pci-class-blacklist"))
	}
	verbose := !r.args.has("verbose") || r.args.flag("verbose")
	h := s.hosts[r.node()]
	out := []any{}
	for _, f := range h.PCI {
		if slices.ContainsFunc(hidden, func(class string) bool { return strings.HasPrefix(f.Class, "0x"+class) }) {
			continue
		}
		group := f.Group
		if h.NoIOMMU {
			group = pci.NoGroup
		}
		out = append(out, f.fields(group, verbose))
	}
	return out, nil
}

func (f PCIFunction) fields(group int, verbose bool) map[string]any {
	vendor, device, _ := strings.Cut(f.ID, ":")
	out := map[string]any{
		"id": f.Address, "class": f.Class, "vendor": "0x" + vendor, "device": "0x" + device, "iommugroup": group,
	}
	if !verbose {
		return out
	}
	set := func(key, value string) {
		if value != "" {
			out[key] = value
		}
	}
	set("vendor_name", f.Vendor)
	set("device_name", f.Name)
	if subVendor, subDevice, ok := strings.Cut(f.Subsystem, ":"); ok {
		set("subsystem_vendor", "0x"+subVendor)
		set("subsystem_device", "0x"+subDevice)
		set("subsystem_vendor_name", f.SubsystemVendor)
		set("subsystem_device_name", f.SubsystemName)
	}
	return out
}
