package place

import (
	"fmt"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// CheckVersion checks whether the hypervisor's version is supported.
func CheckVersion(s *inventory.Snapshot) finding.Finding {
	f := finding.New(finding.APIVersion, finding.Pass, fault.Place{Hypervisor: s.Hypervisor}).WithReason(s.Product + " " + s.Version)
	if !s.Supported {
		f.Verdict, f.Reason = finding.Fail, fmt.Sprintf("%s %s is not a supported version", s.Product, s.Version)
		f.Fix = s.Advise(inventory.Upgrade, inventory.Subject{})
	}
	return f
}

// CheckWritable checks whether the hypervisor takes changes at present.
func CheckWritable(s *inventory.Snapshot) finding.Finding {
	f := finding.New(finding.ClusterNoQuorum, finding.Pass, fault.Place{Hypervisor: s.Hypervisor}).WithReason("the hypervisor takes changes")
	if s.Frozen != nil {
		f.Verdict, f.Reason, f.Fix = finding.Fail, s.Frozen.Why, s.Frozen.Fix
	}
	return f
}

// CheckAccess names each privilege that the login lacks, and the resource pool
// when it does not exist.
func CheckAccess(s *inventory.Snapshot) []finding.Finding {
	findings := checkPrivileges(s)
	if s.MissingPool != "" {
		findings = append(findings, poolMissing(s))
	}
	return findings
}

func poolMissing(s *inventory.Snapshot) finding.Finding {
	return finding.New(finding.PoolMissing, finding.Fail, fault.Place{Hypervisor: s.Hypervisor}).
		WithReason(fmt.Sprintf("resource pool %s does not exist, but new VMs must go into it", s.MissingPool)).
		WithFix(s.Advise(inventory.MakePool, inventory.Subject{}))
}

func checkPrivileges(s *inventory.Snapshot) []finding.Finding {
	f := finding.New(finding.PrivilegeMissing, finding.Pass, fault.Place{Hypervisor: s.Hypervisor}).WithReason("the login has every privilege that is needed")
	if len(s.Missing) == 0 {
		return []finding.Finding{f}
	}
	var findings []finding.Finding
	for _, right := range s.Missing {
		f.Verdict = finding.Fail
		if right.Stops == inventory.StopsNothing {
			f.Verdict = finding.Unknown
		}
		f.Reason = fmt.Sprintf("the login lacks %s on %s, needed to %s", right.Privilege, right.Path, right.For)
		f.Fix = "gpuworker role -f FILE prints the commands that make the right login"
		findings = append(findings, f)
	}
	return findings
}

// RefuseAccess refuses a worker that the login cannot make completely, so that no
// incomplete worker is left.
func RefuseAccess(s *inventory.Snapshot, withCard bool) []finding.Finding {
	var refusals []finding.Finding
	for i, f := range checkPrivileges(s) {
		if f.Verdict == finding.Fail && (withCard || s.Missing[i].Stops == inventory.StopsAll) {
			refusals = append(refusals, f)
		}
	}
	if s.MissingPool != "" {
		refusals = append(refusals, poolMissing(s))
	}
	return refusals
}
