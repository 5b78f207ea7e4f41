package pci

import (
	"fmt"
	"strconv"
	"strings"
)

// BAR is a window of memory or I/O ports through which a function is used.
type BAR struct {
	Index    int    `json:"index"` // 0-5; 6 is the expansion ROM
	Start    uint64 `json:"start"` // 0 when the firmware found no space for it
	Size     uint64 `json:"size"`  // bytes
	IOPorts  bool   `json:"ioPorts,omitempty"`
	Wide     bool   `json:"wide,omitempty"` // may be above 4 GiB
	Prefetch bool   `json:"prefetch,omitempty"`
	// Unassigned reports whether the window has no address, so that it cannot be used.
	Unassigned bool `json:"unassigned,omitempty"`
}

// Flags of a resource, from include/linux/ioport.h of the kernel.
const (
	flagIO       = 0x100
	flagMemory   = 0x200
	flagPrefetch = 0x2000
	flagUnset    = 0x20000000
	flagWide     = 0x100000
)

// maxBARs is the number of lines that are read: six windows and the ROM. Those of
// bridges and virtual functions follow.
const maxBARs = 7

func (a attributes) bars() []BAR {
	text := a.text("resource")
	if text == "" {
		return nil
	}
	bars, err := parseResource(text)
	if err != nil {
		a.unreadable("resource", err.Error())
	}
	return bars
}

// parseResource reads the lines "start end flags" of a resource file.
func parseResource(text string) ([]BAR, error) {
	var bars []BAR
	for index, line := range strings.Split(text, "\n") {
		if index >= maxBARs {
			break
		}
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return bars, fmt.Errorf("line %d is not a resource", index+1)
		}
		var n [3]uint64
		for i, field := range fields {
			var err error
			if n[i], err = strconv.ParseUint(strings.TrimPrefix(field, "0x"), 16, 64); err != nil {
				return bars, fmt.Errorf("line %d is not a resource", index+1)
			}
		}
		start, end, flags := n[0], n[1], n[2]
		if flags&(flagIO|flagMemory) == 0 || end < start {
			continue
		}
		bars = append(bars, BAR{
			Index: index, Start: start, Size: end - start + 1, IOPorts: flags&flagIO != 0, Wide: flags&flagWide != 0,
			Prefetch: flags&flagPrefetch != 0, Unassigned: start == 0 || flags&flagUnset != 0,
		})
	}
	return bars, nil
}
