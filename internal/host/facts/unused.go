package facts

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
)

// toldOf bounds the files and targets that are told one by one.
const toldOf = 10

// Unused tells which files and SSH targets are of none of the hosts: whoever gave them
// believes that a host was looked at. hosts are those of all hypervisors.
func (s *Source) Unused(hosts []string) []finding.Finding {
	var reasons []string
	for _, name := range slices.Sorted(maps.Keys(s.known)) {
		if !slices.ContainsFunc(hosts, func(host string) bool { return strings.EqualFold(host, name) }) {
			reasons = append(reasons, fmt.Sprintf("%s speaks of host %s, which no hypervisor has", plain(s.known[name].facts.From), name))
		}
	}
	for _, target := range s.ssh {
		if !strings.Contains(target, hostMark) && !slices.ContainsFunc(hosts, func(host string) bool { return isOf(target, host) }) {
			reasons = append(reasons, fmt.Sprintf("--ssh %s names no host of a hypervisor", plain(target)))
		}
	}
	if more := len(reasons) - toldOf; more > 0 {
		reasons = append(reasons[:toldOf], fmt.Sprintf("%d more files and SSH targets are of no host of a hypervisor", more))
	}
	var found []finding.Finding
	for _, reason := range reasons {
		found = append(found, finding.New(finding.HostFactsUnused, finding.Info, fault.Place{}).
			WithReason("facts are not used: "+reason).
			WithFix("gpuworker hosts lists the hosts; take the file or target away, or name the host as it is listed"))
	}
	return found
}
