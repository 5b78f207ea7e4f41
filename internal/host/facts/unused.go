package facts

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
)

// listedUnused is the maximum number of files and targets that are listed one by one.
const listedUnused = 10

// Unused returns a finding for each file and SSH target that belongs to no host, so
// that the operator does not believe that a host was checked. hosts are those of all
// hypervisors.
func (s *Source) Unused(hosts []string) []finding.Finding {
	var reasons []string
	for _, name := range slices.Sorted(maps.Keys(s.known)) {
		if !slices.ContainsFunc(hosts, func(host string) bool { return strings.EqualFold(host, name) }) {
			reasons = append(reasons, fmt.Sprintf("%s is of host %s, which no hypervisor has", plain(s.known[name].facts.From), name))
		}
	}
	for _, target := range s.ssh {
		if !strings.Contains(target, hostMark) && !slices.ContainsFunc(hosts, func(host string) bool { return isOf(target, host) }) {
			reasons = append(reasons, fmt.Sprintf("--ssh %s is not a host of any hypervisor", plain(target)))
		}
	}
	if more := len(reasons) - listedUnused; more > 0 {
		reasons = append(reasons[:listedUnused], fmt.Sprintf("%d more files and SSH targets are not of a host of any hypervisor", more))
	}
	var found []finding.Finding
	for _, reason := range reasons {
		found = append(found, finding.New(finding.HostFactsUnused, finding.Info, fault.Place{}).
			WithReason("facts are not used: "+reason).
			WithFix("gpuworker hosts lists the hosts; remove the file or target, or name the host as it is listed"))
	}
	return found
}
