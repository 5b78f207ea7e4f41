package hypervisor

import (
	"context"
	"errors"

	"github.com/gpuworker/gpuworker/internal/inventory"
)

// Seeder gives VMs their seed. Without Capabilities.SeedISO its methods return a
// fault.Unsupported.
type Seeder interface {
	// SetSeed makes the image the seed of a VM of ours, in place of a cloud-init drive of
	// the hypervisor or of an earlier seed. For a running VM the first seed is a
	// fault.Refused, because a guest that booted from another drive must not get one; a
	// clean seed is for a running VM too. When it is set, no image of the first seed with its content is left: where the
	// login may not remove it, it was overwritten. With the same image again, the work is
	// done without a write.
	SetSeed(ctx context.Context, ref inventory.VMRef, seed Seed, handle Handle) (*Wait, error)
	// RemoveSeeds removes the images of a VM that is about to be destroyed, or overwrites
	// them with the blank image where the login may not remove them. The VM keeps its
	// drive; it may be missing already. A running VM is a fault.Refused.
	RemoveSeeds(ctx context.Context, ref inventory.VMRef, blank []byte, handle Handle) (*Wait, error)
}

// Seed is an ISO image with the data for cloud-init. The file names on the storage are
// those of inventory.SeedName, with the UUID of the VM.
type Seed struct {
	Clean bool
	Image []byte
}

// Guests reaches the guests of our running VMs, through an agent in the guest. Each method
// makes one call and does not wait.
//
// A guest that does not answer is a fault.Unavailable. A guest, or a login, that forbids the
// call is a fault.Denied that says which of the two, and what to do: agents of Red Hat's
// releases forbid files and commands. Without Capabilities.Guest it is a fault.Unsupported.
// What guests return is untrusted. An error whose cause is in the guest, not in the
// hypervisor or the login, is marked by ByGuest.
type Guests interface {
	// ReadGuest reads the first bytes of a file, at most the limit. A missing file is a
	// fault.NotFound.
	ReadGuest(ctx context.Context, ref inventory.VMRef, path string, limit int) ([]byte, error)
	// WriteGuest writes a whole file, as root, after proving that the VM is ours. Its
	// directory must exist, and its size is at most Capabilities.GuestFile. After an error
	// the file may be empty.
	WriteGuest(ctx context.Context, ref inventory.VMRef, path string, content []byte) error
	// RunInGuest runs a command as root, after proving that the VM is ours, and returns its
	// result. The handle of the Wait belongs to this run of the command; when it is lost,
	// the command is run again.
	RunInGuest(ctx context.Context, ref inventory.VMRef, command []string, handle Handle) (*GuestResult, *Wait, error)
}

// GuestResult is the end of a command in a guest. The output is cut to some KiB.
type GuestResult struct {
	ExitCode int
	Out, Err string
}

// ByGuest marks an error whose cause is in the guest: its agent does not answer, or forbids
// the call. A guest may change by itself, so it is waited for, other than a hypervisor that
// does not answer or a login without a privilege.
func ByGuest(err error) error {
	if err == nil {
		return nil
	}
	return guestError{err}
}

// IsByGuest reports whether the cause of an error is in the guest.
func IsByGuest(err error) bool {
	var marked guestError
	return errors.As(err, &marked)
}

type guestError struct{ error }

// Unwrap returns the error without the mark.
func (g guestError) Unwrap() error { return g.error }
