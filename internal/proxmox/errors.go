package proxmox

import (
	"cmp"
	"context"
	"errors"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/pve"
)

// kinds says which decision each kind of Proxmox error asks for.
var kinds = map[pve.Kind]fault.Kind{
	pve.NotFound:         fault.NotFound,
	pve.Exists:           fault.Exists,
	pve.Changed:          fault.Conflict,
	pve.Locked:           fault.Busy,
	pve.Denied:           fault.Denied,
	pve.Unauthenticated:  fault.Denied,
	pve.Invalid:          fault.Invalid,
	pve.InUse:            fault.Exists,
	pve.Hardware:         fault.Refused,
	pve.Protected:        fault.Refused,
	pve.Running:          fault.Busy,
	pve.NotRunning:       fault.Busy,
	pve.AlreadyRunning:   fault.Busy,
	pve.AgentUnavailable: fault.Unavailable,
	pve.Unsupported:      fault.Unsupported,
	pve.Unavailable:      fault.Unavailable,
	pve.TaskFailed:       fault.Failed,
	pve.Untrusted:        fault.Denied,
	pve.NoSpace:          fault.Refused,
	pve.NoMemory:         fault.Refused,
	pve.Canceled:         fault.Interrupted,
}

// fixes is the next step for kinds of errors where it is the same everywhere.
var fixes = map[pve.Kind]string{
	pve.NotFound:        "it went away meanwhile: look with gpuworker status, then run the same command again",
	pve.Denied:          "gpuworker role prints the commands that grant what is needed",
	pve.Unauthenticated: "check the token or password, and that the user is enabled and not expired",
	pve.Locked:          "something else works on this VM: look at its task list, then run the same command again",
	pve.Changed:         "somebody else changed it at the same time: run the same command again",
	pve.Unavailable:     "check that the host is up and the endpoint right, then run the same command again",
	pve.Hardware:        "gpuworker check says which layer is not ready",
	pve.InUse:           "gpuworker gpus says who holds the card",
	pve.Untrusted:       "compare with the fingerprint that pvenode cert info prints on the host, and mend tls of the Hypervisor",
	pve.NoSpace:         "free space on the storage, or name another in machine.disk.storage",
	pve.TaskFailed:      "the message is the hypervisor's: the task's log on the host says more; mend that, then run the same command again",
	pve.NoMemory:        "free memory on the host, or make the worker smaller: a GPU worker needs all of its memory really free",
}

// otherFix is the next step for what the hypervisor says and we do not know.
const otherFix = "the message is the hypervisor's: look at the task list and the system log of the host, mend that, then run the same command again"

// wrap turns an error of the client into a fault that says what was being done
// and where. nil stays nil, and what is a fault already keeps its kind.
func (b *Backend) wrap(err error, doing string, where fault.Place) error {
	if err == nil {
		return nil
	}
	where.Hypervisor = b.name
	var own *fault.Error
	if errors.As(err, &own) {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return &fault.Error{Kind: fault.Interrupted, Doing: doing, Where: where, Cause: err}
	}
	kind := pve.KindOf(err)
	decision, known := kinds[kind]
	if !known {
		decision = fault.Unknown
	}
	return &fault.Error{Kind: decision, Doing: doing, Where: where, Fix: cmp.Or(fixes[kind], otherFix), Cause: err}
}

// ambiguous tells that a request may or may not have been carried out: look
// before doing anything else.
func ambiguous(err error) bool {
	var e *pve.Error
	return errors.As(err, &e) && e.Ambiguous
}
