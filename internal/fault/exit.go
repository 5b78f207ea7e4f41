package fault

// The exit codes of every command: the one table, documented in
// docs/reference/exit-codes.md.
const (
	ExitOK          = 0
	ExitFailed      = 1   // an error without a code of its own
	ExitInvalid     = 2   // usage, or a document with problems; nothing was changed
	ExitCheck       = 3   // a check failed, or a worker was refused
	ExitDiffers     = 4   // assert: the world is not as declared
	ExitDenied      = 5   // login or privilege
	ExitUnavailable = 6   // the hypervisor does not answer
	ExitConflict    = 7   // somebody else changed or holds it: plan again
	ExitStuck       = 8   // a person must act on a host
	ExitInterrupted = 130 // Ctrl-C
)

// ExitCode is the exit code for an error; 0 for nil.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	switch KindOf(err) {
	case Invalid, NotFound, Unsupported:
		return ExitInvalid
	case Refused:
		return ExitCheck
	case Denied:
		return ExitDenied
	case Unavailable:
		return ExitUnavailable
	case Conflict, Exists, Busy:
		return ExitConflict
	case Stuck:
		return ExitStuck
	case Interrupted:
		return ExitInterrupted
	default:
		return ExitFailed
	}
}
