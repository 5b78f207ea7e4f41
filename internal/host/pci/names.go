package pci

import (
	"bytes"
	"strings"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// idFiles are the paths at which distributions install the names of PCI devices
// (pci.ids(5)).
var idFiles = []string{"usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids", "usr/share/pci.ids"}

// name sets the vendor and model names of the functions, if the host has the list.
func name(tree hosttree.Reader, functions []Function) {
	for _, file := range idFiles {
		data, err := tree.ReadFile(file)
		if err != nil {
			continue
		}
		vendors := parseNames(data, functions)
		for i := range functions {
			f := &functions[i]
			vendor := vendors[f.ID.Vendor]
			f.Vendor, f.Name = vendor.name, vendor.devices[f.ID.Device]
		}
		return
	}
}

type vendorNames struct {
	name    string
	devices map[uint16]string
}

// parseNames reads the names that the functions need. The list has lines "10de  NVIDIA
// Corporation", and below them, after a tab, "1eb8  TU104GL [Tesla T4]".
func parseNames(data []byte, functions []Function) map[uint16]vendorNames {
	wanted := map[uint16]map[uint16]bool{}
	for i := range functions {
		id := functions[i].ID
		if wanted[id.Vendor] == nil {
			wanted[id.Vendor] = map[uint16]bool{}
		}
		wanted[id.Vendor][id.Device] = true
	}
	names := map[uint16]vendorNames{}
	var vendor uint16
	known := false
	for line := range bytes.Lines(data) {
		text := strings.TrimRight(string(line), "\r\n")
		switch {
		case text == "" || text[0] == '#' || strings.HasPrefix(text, "\t\t"):
		case text[0] == 'C' && strings.HasPrefix(text, "C "): // classes follow
			return names
		case text[0] == '\t':
			if id, name, ok := idLine(text[1:]); known && ok && wanted[vendor][id] {
				names[vendor].devices[id] = name
			}
		default:
			var title string
			vendor, title, known = idLine(text)
			if known = known && wanted[vendor] != nil; known {
				names[vendor] = vendorNames{title, map[uint16]string{}}
			}
		}
	}
	return names
}

func idLine(text string) (id uint16, name string, ok bool) {
	head, name, ok := strings.Cut(text, "  ")
	if !ok || len(head) != 4 {
		return 0, "", false
	}
	for _, r := range head {
		digit := strings.IndexRune("0123456789abcdef", r)
		if digit < 0 {
			return 0, "", false
		}
		id = id<<4 | uint16(digit)
	}
	return id, name, true
}
