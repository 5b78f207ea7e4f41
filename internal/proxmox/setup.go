package proxmox

import (
	"fmt"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// setup returns the findings about the Hypervisor document: TLS, login and the range
// of VM numbers.
func (b *Backend) setup(s *inventory.Snapshot) []finding.Finding {
	where := fault.Place{Hypervisor: b.name}
	tls := finding.New(finding.TLSTrust, finding.Pass, where).WithReason("the server's certificate is checked")
	if b.spec.TLS.Insecure {
		tls.Verdict, tls.Reason = finding.Info, "TLS verification is off; credentials can be intercepted"
		tls.Fix = "set spec.proxmox.tls.fingerprint to what `pvenode cert info` prints on the host for pveproxy-ssl.pem, or for pve-ssl.pem when there is none"
	}
	findings := []finding.Finding{tls}
	if b.raw() && (b.spec.Credentials.Username != "root@pam" || b.spec.Credentials.Password == nil) {
		findings = append(findings, finding.New(finding.RawNeedsRoot, finding.Fail, where).
			WithReason("spec.proxmox.attach is Raw, which only root@pam with a password may do").
			WithFix("remove spec.proxmox.attach: an API token is enough to attach by mapping"))
	}
	return append(findings, b.numbersLeft(s))
}

func (b *Backend) numbersLeft(s *inventory.Snapshot) finding.Finding {
	r := b.spec.VMIDs
	free := r.Last - r.First + 1
	for i := range s.VMs {
		if s.VMs[i].FromRange {
			free--
		}
	}
	f := finding.New(finding.IDRangeFull, finding.Pass, fault.Place{Hypervisor: b.name}).WithReason(fmt.Sprintf("%d VM numbers from %d to %d are free", free, r.First, r.Last))
	if free <= 0 {
		f.Verdict, f.Fix = finding.Info, "widen spec.proxmox.vmids of the Hypervisor before the next worker is needed"
	}
	return f
}

// fromRange reports whether a number is in the range for new VMs.
func fromRange(r v1alpha1.VMIDRange, vmid int) bool { return r.First <= vmid && vmid <= r.Last }

// freeIDs returns the first numbers of the range that no VM and no claim has.
func (b *Backend) freeIDs(resources []pve.Resource, claims []inventory.Claim, most int) []string {
	used := map[int]bool{}
	for _, r := range resources {
		used[r.VMID] = true
	}
	for i := range claims {
		used[number(claims[i].Record.VM)] = true
	}
	var free []string
	for vmid := max(b.spec.VMIDs.First, 1); vmid <= b.spec.VMIDs.Last && len(free) < most; vmid++ {
		if !used[vmid] {
			free = append(free, idOf(vmid))
		}
	}
	return free
}
