package apply

import (
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
)

// allowedLater returns a wait when the agent of the guest, or the login, may not do a call
// yet; nil when that stays so. In RHEL and its rebuilds the agent answers before the seed
// has allowed it what gpuworker needs (allowAgent in internal/bootstrap).
func (j *Job) allowedLater(err error) *hypervisor.Wait {
	if !fault.Is(err, fault.Denied) {
		j.guest.deniedSince = time.Time{}
		return nil
	}
	if j.guest.deniedSince.IsZero() {
		j.guest.deniedSince = time.Now()
	}
	if time.Since(j.guest.deniedSince) >= failureStays {
		return nil
	}
	return &hypervisor.Wait{For: "the guest to allow its agent files and commands", CallAfter: guestEvery}
}
