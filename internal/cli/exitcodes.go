package cli

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
)

// exitMeanings describe the exit codes. The kinds of errors of each code come from
// fault.ExitCode.
var exitMeanings = []struct {
	code    int
	meaning string
}{
	{fault.ExitOK, "Done, or as declared."},
	{fault.ExitFailed, "Failed for a reason without its own code, several workers failed for different reasons, or a person answered no."},
	{fault.ExitInvalid, "The command line or a document is wrong. Nothing was changed."},
	{fault.ExitCheck, "A check failed, or a worker was refused. The other workers were done, unless `--all-or-nothing` was given. `gpuworker-host bind` and `unbind`: refused, nothing was changed."},
	{fault.ExitDiffers, "`assert`: the workers are not as declared, or the card is not bound."},
	{fault.ExitDenied, "The login was refused, or a privilege is missing."},
	{fault.ExitUnavailable, "The hypervisor does not answer. The last request may or may not have been carried out. Run the same command again: it finds out and continues."},
	{fault.ExitConflict, "Someone else changed the VM or mapping, or has it in use. Run the command again to see the new state."},
	{fault.ExitStuck, "A person must act on a host; the message says how."},
	{fault.ExitInterrupted, "Interrupted. Run the same command again: it continues where it stopped."},
}

// allKinds are the kinds of errors, in the order of package fault.
var allKinds = []fault.Kind{
	fault.Unknown, fault.Invalid, fault.NotFound, fault.Exists, fault.Conflict, fault.Busy, fault.Denied,
	fault.Refused, fault.Unavailable, fault.Unsupported, fault.Stuck, fault.Failed, fault.Interrupted,
}

func exitCodeReference() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n# Exit codes\n\nEvery command of `gpuworker`, `gpuworker-host` and `gpuworker-guest` exits with one of these codes. Their meanings do not change between versions.\n\n", generated)
	fmt.Fprint(&b, "| Code | Meaning | Kinds of errors |\n|---:|---|---|\n")
	for _, row := range exitMeanings {
		fmt.Fprintf(&b, "| %d | %s | %s |\n", row.code, row.meaning, strings.Join(kindsOf(row.code), ", "))
	}
	fmt.Fprint(&b, "\nWith `-o json` or `-o yaml` an error is written to standard error as\n")
	fmt.Fprint(&b, "`{\"error\": {\"kind\": …, \"message\": …, \"fix\": …, \"where\": …}}`; `kind` is one of the third column. Nothing else is\n")
	fmt.Fprint(&b, "written there, except that with `-v` log lines come before it. See [pipelines.md](../pipelines.md#output-for-programs).\n")
	return b.Bytes()
}

func kindsOf(code int) []string {
	var kinds []string
	for _, kind := range allKinds {
		if fault.ExitCode(&fault.Error{Kind: kind}) == code {
			kinds = append(kinds, "`"+string(kind)+"`")
		}
	}
	return kinds
}
