package apply

import (
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
)

// allowedLater returns a wait when the agent of the guest forbids a call; nil when that
// stays so, and for a login that lacks a privilege. In RHEL and its rebuilds the agent answers before the seed
// has allowed it what gpuworker needs (allowAgent in internal/bootstrap).
func (j *Job) allowedLater(err error) *hypervisor.Wait {
	if !fault.Is(err, fault.Denied) || !hypervisor.IsByGuest(err) {
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

// silent returns a wait when the agent of the guest does not answer; nil for other errors,
// such as of a host that does not answer: they have their own retries.
func (j *Job) silent(err error) *hypervisor.Wait {
	j.guest.silentFix = ""
	if !fault.Is(err, fault.Unavailable) || !hypervisor.IsByGuest(err) {
		return nil
	}
	j.guest.silentFix = fault.FixOf(err)
	return &hypervisor.Wait{For: "the guest agent", CallAfter: guestEvery}
}
