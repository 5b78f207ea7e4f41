package check

import (
	"strconv"
	"strings"
)

// region is a line of /proc/iomem.
type region struct {
	start, end uint64 // both are part of it
	name       string
}

// parseIomem reads /proc/iomem. zeroed reports whether all addresses are zero: the
// kernel shows them so to users other than root.
func parseIomem(body string) (regions []region, zeroed bool) {
	zeroed = true
	for line := range strings.Lines(body) {
		addresses, name, ok := strings.Cut(strings.TrimSpace(line), " : ")
		if !ok {
			continue
		}
		from, to, ok := strings.Cut(addresses, "-")
		start, err := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if !ok || err != nil || err2 != nil || end < start {
			continue
		}
		zeroed = zeroed && end == 0
		regions = append(regions, region{start, end, strings.TrimSpace(name)})
	}
	return regions, zeroed
}

// within returns the regions that overlap an address range.
func within(regions []region, start, size uint64) []region {
	var found []region
	if size == 0 {
		return nil
	}
	last := start + size - 1
	for _, r := range regions {
		if r.start <= last && r.end >= start {
			found = append(found, r)
		}
	}
	return found
}

// interruptChips returns the lines of /proc/interrupts with remapped and with plain
// interrupts. The controllers of remapped ones have names such as IR-PCI-MSI.
func interruptChips(body string) (remapped, plain []string) {
	for line := range strings.Lines(body) {
		number, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if _, err := strconv.Atoi(number); !ok || err != nil {
			continue
		}
		for _, word := range strings.Fields(rest) {
			if _, err := strconv.ParseUint(word, 10, 64); err == nil {
				continue // the count of one CPU
			}
			switch {
			case strings.HasPrefix(word, "IR-"), strings.HasPrefix(word, "ITS-"):
				remapped = append(remapped, strings.TrimSpace(line))
			case strings.Contains(word, "PCI-MSI"), strings.HasPrefix(word, "IO-APIC"):
				plain = append(plain, strings.TrimSpace(line))
			}
			break
		}
	}
	return remapped, plain
}

// parseMeminfo reads /proc/meminfo: bytes by name.
func parseMeminfo(body string) map[string]uint64 {
	values := map[string]uint64{}
	for line := range strings.Lines(body) {
		name, rest, ok := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if !ok || len(fields) == 0 {
			continue
		}
		n, err := strconv.ParseUint(fields[0], 10, 64)
		if err != nil || n > 1<<53 {
			continue
		}
		if len(fields) > 1 && fields[1] == "kB" {
			n <<= 10
		}
		values[strings.TrimSpace(name)] = n
	}
	return values
}

// parseArcstats reads the statistics of the ZFS cache: lines "size 4 12345",
// name, type and bytes.
func parseArcstats(body string) map[string]uint64 {
	values := map[string]uint64{}
	for line := range strings.Lines(body) {
		if fields := strings.Fields(line); len(fields) == 3 {
			if n, err := strconv.ParseUint(fields[2], 10, 64); err == nil {
				values[fields[0]] = n
			}
		}
	}
	return values
}

// directRegions returns the lines of kind "direct" in reserved_regions of an IOMMU
// group. A line has two addresses and the kind.
func directRegions(body string) []string {
	var found []string
	for line := range strings.Lines(body) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[2] == "direct" {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// physicalBits reads the width of physical addresses from /proc/cpuinfo; 0 when it is
// missing. The line is "address sizes : 46 bits physical, 48 bits virtual".
func physicalBits(body string) int {
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, "address sizes"); ok {
			for _, field := range strings.Fields(strings.TrimLeft(rest, " \t:")) {
				n, _ := strconv.Atoi(field)
				return n
			}
		}
	}
	return 0
}

// lockedLimit reads from /proc/PID/limits how many bytes of memory the process may
// lock; limited is false for no limit, ok is false when the line is missing.
func lockedLimit(body string) (bytes uint64, limited, ok bool) {
	for line := range strings.Lines(body) {
		rest, found := strings.CutPrefix(line, "Max locked memory")
		if !found {
			continue
		}
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			return 0, false, false
		}
		if fields[0] == "unlimited" {
			return 0, false, true
		}
		n, err := strconv.ParseUint(fields[0], 10, 64)
		return n, true, err == nil
	}
	return 0, false, false
}
