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

// parseIomem reads /proc/iomem. zeroed reports whether all addresses are zero, as the
// kernel shows them to who is not root.
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

// within are the regions that overlap the addresses.
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

// interruptChips reads of /proc/interrupts what kind of chips deliver messages:
// remapped ones are named IR-PCI-MSI and the like.
func interruptChips(body string) (remapped, plain []string) {
	for line := range strings.Lines(body) {
		number, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if _, err := strconv.Atoi(number); !ok || err != nil {
			continue
		}
		for _, word := range strings.Fields(rest) {
			if _, err := strconv.ParseUint(word, 10, 64); err == nil {
				continue // how often, on each CPU
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

// reserved is a line of an IOMMU group's reserved_regions: two addresses and the
// kind. direct are those of kind "direct".
func directRegions(body string) []string {
	var found []string
	for line := range strings.Lines(body) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[2] == "direct" {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// physicalBits reads of /proc/cpuinfo how wide physical addresses are; 0 when it
// does not tell. The line is "address sizes : 46 bits physical, 48 bits virtual".
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

// lockedLimit reads of /proc/PID/limits how much memory the process may lock:
// bytes, and whether there is a limit at all. ok is false when the line is not
// there.
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
