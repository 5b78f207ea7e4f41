package fault

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/gpuworker/gpuworker/internal/pci"
)

func TestAnErrorSaysWhereWhatAndWhy(t *testing.T) {
	card := Place{Hypervisor: "lab", Host: "pve1", VM: "9101", Worker: "gpu-1", Card: pci.MustBDF("0000:03:00.0")}
	cause := errors.New("storage local-lvm is full")
	for want, err := range map[string]error{
		"gpu-1, VM 9101 on pve1, card 0000:03:00.0: attach: storage local-lvm is full": &Error{Doing: "attach", Where: card, Cause: cause},
		"pve1: clone: no room: storage local-lvm is full":                              &Error{Where: Place{Hypervisor: "lab", Host: "pve1"}, Doing: "clone", Why: "no room", Cause: cause},
		"hypervisor lab: it does not answer":                                           &Error{Where: Place{Hypervisor: "lab"}, Why: "it does not answer"},
		"VM 9101: Busy":                                                                &Error{Where: Place{VM: "9101"}, Kind: Busy},
		"gpu-1: clone: task UPID:1 may still run":                                      &Error{Where: Place{Worker: "gpu-1"}, Kind: Interrupted, Doing: "clone", Why: "task UPID:1 may still run", Cause: context.Canceled},
		"gpu-1: clone: Interrupted":                                                    &Error{Where: Place{Worker: "gpu-1"}, Kind: Interrupted, Doing: "clone", Cause: context.Canceled},
		"gpu-1: agent: it was waiting for the guest agent":                             &Error{Where: Place{Worker: "gpu-1"}, Kind: Interrupted, Doing: "agent", Why: "it was waiting for the guest agent", Cause: context.DeadlineExceeded},
		"gpu-1: observe: context deadline exceeded":                                    &Error{Where: Place{Worker: "gpu-1"}, Kind: Unavailable, Doing: "observe", Cause: context.DeadlineExceeded},
		"gpu-1: clone: read the task: context canceled":                                &Error{Where: Place{Worker: "gpu-1"}, Kind: Interrupted, Doing: "clone", Cause: fmt.Errorf("read the task: %w", context.Canceled)},
	} {
		if got := err.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestKindFixAndExitCodeComeFromTheFirstThatSaysIt(t *testing.T) {
	inner := &Error{Kind: Denied, Fix: "grant it"}
	for name, test := range map[string]struct {
		err  error
		kind Kind
		fix  string
		code int
	}{
		"no error":               {nil, "", "", ExitOK},
		"wrapped":                {fmt.Errorf("look: %w", inner), Denied, "grant it", ExitDenied},
		"the outer kind":         {&Error{Kind: Conflict, Cause: inner}, Conflict, "grant it", ExitConflict},
		"a canceled context":     {fmt.Errorf("x: %w", context.Canceled), Interrupted, "", ExitInterrupted},
		"a deadline":             {context.DeadlineExceeded, Unavailable, "", ExitUnavailable},
		"what nobody classified": {errors.New("x"), Unknown, "", ExitFailed},
		"not found":              {&Error{Kind: NotFound}, NotFound, "", ExitInvalid},
		"refused":                {&Error{Kind: Refused}, Refused, "", ExitCheck},
		"stuck":                  {&Error{Kind: Stuck}, Stuck, "", ExitStuck},
		"failed":                 {&Error{Kind: Failed}, Failed, "", ExitFailed},
	} {
		if KindOf(test.err) != test.kind || FixOf(test.err) != test.fix || ExitCode(test.err) != test.code || Is(test.err, test.kind) != (test.err != nil) {
			t.Errorf("%s: %s, %q, %d", name, KindOf(test.err), FixOf(test.err), ExitCode(test.err))
		}
	}
}
