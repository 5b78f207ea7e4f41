package proxmox

import (
	"context"
	"fmt"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

const readGuestWords, writeGuestWords, runInGuestWords = "read a file in the guest", "write a file in the guest", "run a command in the guest"

// ReadGuest implements hypervisor.Guests.
func (b *Backend) ReadGuest(ctx context.Context, ref inventory.VMRef, path string, limit int) ([]byte, error) {
	file, err := b.client.AgentFileRead(ctx, ref.Host, number(ref.ID), path, min(limit, pve.MaxAgentRead))
	return file.Content, b.wrapGuest(err, readGuestWords, ref)
}

// writeCommands are the commands of the agent that a write needs. They are asked for
// first: an agent that forbids only some of them would leave an empty file behind.
var writeCommands = []string{"guest-file-open", "guest-file-write", "guest-file-close"}

// WriteGuest implements hypervisor.Guests.
func (b *Backend) WriteGuest(ctx context.Context, ref inventory.VMRef, path string, content []byte) error {
	return b.wrapGuest(b.writeGuest(ctx, ref, path, content), writeGuestWords, ref)
}

func (b *Backend) writeGuest(ctx context.Context, ref inventory.VMRef, path string, content []byte) error {
	if _, err := b.prove(ctx, ref); err != nil {
		return err
	}
	info, err := b.client.AgentInfo(ctx, ref.Host, number(ref.ID))
	if err != nil {
		return err
	}
	for _, command := range writeCommands {
		if !info.Allows(command) {
			return b.agentForbids(ref, writeGuestWords, fmt.Errorf("it does not allow %s", command))
		}
	}
	if _, err := b.prove(ctx, ref); err != nil { // the agent may have taken seconds
		return err
	}
	return b.client.AgentFileWrite(ctx, ref.Host, number(ref.ID), path, content)
}

const (
	commandWords = "the command in the guest"
	// maxGuestOutput is the length of each output of a command that is kept.
	maxGuestOutput = 8 << 10
	// mostRuns is how often a command is run whose result is lost each time.
	mostRuns = 3
	// signalled is added to the number of a signal that ended a command, as shells do.
	signalled = 128
)

// RunInGuest implements hypervisor.Guests. The result of a command can be read only once:
// when that answer is lost, or the guest was rebooted, the command is run again.
func (b *Backend) RunInGuest(ctx context.Context, ref inventory.VMRef, command []string, handle hypervisor.Handle) (*hypervisor.GuestResult, *hypervisor.Wait, error) {
	m := recall(handle)
	if m.PID == 0 {
		wait, err := b.startInGuest(ctx, ref, command, m)
		return nil, wait, b.wrapGuest(err, runInGuestWords, ref)
	}
	status, err := b.client.AgentExecStatus(ctx, ref.Host, number(ref.ID), m.PID)
	switch {
	case pve.KindOf(err) == pve.NotFound && whatOf(err) == "process":
		return nil, memo{Count: m.Count}.wait(commandWords, time.Second), nil
	case err != nil:
		return nil, nil, b.wrapGuest(err, runInGuestWords, ref)
	case !status.Exited:
		return nil, m.wait(commandWords, pve.NextPoll(time.Since(m.Since))), nil
	}
	result := &hypervisor.GuestResult{
		ExitCode: status.ExitCode,
		Out:      status.Out[:min(len(status.Out), maxGuestOutput)], Err: status.Err[:min(len(status.Err), maxGuestOutput)],
	}
	if status.Signal != 0 {
		result.ExitCode = signalled + status.Signal
	}
	return result, nil, nil
}

// startInGuest starts a command; m.Count is how often it was started.
func (b *Backend) startInGuest(ctx context.Context, ref inventory.VMRef, command []string, m memo) (*hypervisor.Wait, error) {
	if m.Count >= mostRuns {
		return nil, &fault.Error{
			Kind: fault.Failed, Doing: runInGuestWords, Where: place(ref), Why: fmt.Sprintf("its result was lost %d times: the guest reboots, or the host does not answer", m.Count),
			Fix: "look at the guest's console and whether the host is up, then run the same command again",
		}
	}
	if _, err := b.prove(ctx, ref); err != nil {
		return nil, err
	}
	pid, err := b.client.AgentExec(ctx, ref.Host, number(ref.ID), command, "")
	if err != nil && !ambiguous(err) {
		return nil, err
	}
	m = memo{Since: time.Now(), PID: pid, Count: m.Count + 1}
	return m.wait(commandWords, pve.NextPoll(0)), nil
}

// wrapGuest is wrap for calls of the guest's agent. A guest that is off does not answer
// either.
func (b *Backend) wrapGuest(err error, doing string, ref inventory.VMRef) error {
	switch kind := pve.KindOf(err); {
	case err == nil:
		return nil
	case kind == pve.AgentForbidden:
		return b.agentForbids(ref, doing, err)
	case kind == pve.AgentUnavailable, kind == pve.NotRunning:
		where := place(ref)
		where.Hypervisor = b.name
		return &fault.Error{Kind: fault.Unavailable, Doing: doing, Where: where, Cause: hypervisor.ByGuest(err), Fix: agentDownFix(ref)}
	}
	return b.wrap(err, doing, place(ref))
}

func agentDownFix(ref inventory.VMRef) string {
	return fmt.Sprintf("look at the guest's console whether it boots and whether qemu-guest-agent is running: qm terminal %s, or the web interface   (on %s)", ref.ID, ref.Host)
}

// agentForbids is the error for a guest whose agent does not allow a command. Agents of
// Red Hat's releases do not, by /etc/sysconfig/qemu-ga; it has FILTER_RPC_ARGS, or
// BLOCK_RPCS in older ones.
func (b *Backend) agentForbids(ref inventory.VMRef, doing string, cause error) error {
	where := place(ref)
	where.Hypervisor = b.name
	return &fault.Error{
		Kind: fault.Denied, Doing: doing, Where: where, Why: "the agent in the guest forbids it; the login's privileges are not the cause", Cause: hypervisor.ByGuest(cause),
		Fix: "in the template, allow guest-exec, guest-exec-status and the guest-file commands in /etc/sysconfig/qemu-ga (FILTER_RPC_ARGS or BLOCK_RPCS) and in SELinux, " +
			"or write bootstrap.seed: ISO, which does it; docs/cloud-init.md says how",
	}
}
