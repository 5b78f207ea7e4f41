package pvesim

import (
	"slices"
	"time"
)

func agentCalls() []call {
	base := "/nodes/{node}/qemu/{vmid}/agent"
	audit := agentPriv("VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted")
	unrestricted := agentPriv("VM.GuestAgent.Unrestricted")
	agent := func(method, name string, may check, params specs, serve agentCall) call {
		return call{method: method, path: base + "/" + name, may: may, params: params, protected: true, waits: true, serve: viaAgent(serve)}
	}
	plain := func(method, name string) call { return agent(method, name, audit, nil, plainAgentCall(name)) }
	files := specs{"file": text().req(), "count": integer().atLeast(1).atMost(maxAgentRead), "offset": integer().atLeast(0), "decode": boolean()}
	return []call{
		{method: "GET", path: base, serve: index("name", "exec", "exec-status", "file-read", "file-write", "fsfreeze-freeze",
			"fsfreeze-status", "fsfreeze-thaw", "fstrim", "get-fsinfo", "get-host-name", "get-memory-block-info",
			"get-memory-blocks", "get-osinfo", "get-time", "get-timezone", "get-users", "get-vcpus", "info",
			"network-get-interfaces", "ping", "set-user-password", "shutdown", "suspend-disk", "suspend-hybrid", "suspend-ram")},
		plain("POST", "ping"), plain("GET", "network-get-interfaces"), plain("GET", "get-osinfo"), plain("GET", "get-host-name"),
		agent("POST", "exec", unrestricted, specs{"command": {kind: "array", required: true}, "input-data": text().upTo(65536)}, (*Sim).guestExec),
		agent("GET", "exec-status", unrestricted, specs{"pid": integer().req()}, (*Sim).guestExecStatus),
		agent("GET", "file-read", agentPriv("VM.GuestAgent.FileRead", "VM.GuestAgent.Unrestricted"), files, (*Sim).guestRead),
		agent("POST", "file-write", agentPriv("VM.GuestAgent.FileWrite", "VM.GuestAgent.Unrestricted"),
			specs{"content": text().upTo(61440).req(), "file": text().req(), "encode": boolean()}, (*Sim).guestWrite),
	}
}

// agentCall serves a call to a guest that is running and whose agent answers.
type agentCall func(*Sim, *request, *vm) (any, error)

func (v *vm) agentAnswers() bool {
	return v.run != nil && !v.run.paused && v.hasAgent() && !v.run.agentUp.IsZero() && !time.Now().Before(v.run.agentUp)
}

// agentPing is the server's timeout for the ping of an agent; agentWait the one for
// most other commands. Source: qemu-server, QMPClient.pm.
const (
	agentPing = Duration(3 * time.Second)
	agentWait = Duration(5 * time.Second)
)

// viaAgent wraps a call to a guest: it fails when no agent is configured, the VM is off
// or the agent does not answer within three seconds.
func viaAgent(serve agentCall) func(*Sim, *request) (any, error) {
	return func(s *Sim, r *request) (any, error) {
		s.lock()
		defer s.unlock()
		for tries := 0; ; tries++ {
			v, err := s.vmOn(r.node(), r.vmid())
			if err == nil {
				s.refreshGuest(v)
			}
			switch {
			case err != nil:
				return nil, err
			case v.conf["agent"] == "":
				return nil, die("No QEMU guest agent configured")
			case v.run == nil:
				return nil, die("VM %d is not running", v.id)
			case s.socketOf(v) != "":
				if err := s.agentAlive(v, v.run); err != nil {
					return nil, err
				}
				return serve(s, r, v)
			case v.agentAnswers() && !v.starting && v.guest.Slow < agentPing:
				if tries > 0 || v.guest.Slow == 0 {
					return serve(s, r, v)
				}
			case tries > 0:
				return nil, die("QEMU guest agent is not running")
			}
			wait := agentPing
			if v.agentAnswers() {
				wait = min(wait, v.guest.Slow)
			}
			s.unlock()
			err = s.sleep(r.ctx, wait)
			s.lock()
			if err != nil {
				return nil, err
			}
		}
	}
}

// agentAlive is the ping before each command of a call with several.
func (s *Sim) agentAlive(v *vm, run *run) error {
	switch {
	case v.run == nil || s.vms[v.id] != v:
		return die("VM %d is not running", v.id)
	case s.socketOf(v) == "":
		if v.run != run || !v.agentAnswers() {
			return die("QEMU guest agent is not running")
		}
		return nil
	}
	// An agent that refuses to ping answers too.
	if _, _, err := s.askAgent(v, run, "ping", nil); err != nil {
		return die("QEMU guest agent is not running")
	}
	return nil
}

// agentError is an error in the answer of a guest agent.
type agentError struct {
	Class string `json:"class"`
	Desc  string `json:"desc"`
}

// askAgent runs a command, without "guest-", in the agent of a VM, real or simulated. The
// simulator's lock is held, but not while it waits. err means that there is no answer.
func (s *Sim) askAgent(v *vm, run *run, command string, args map[string]any) (value any, refused *agentError, err error) {
	socket := s.socketOf(v)
	if socket == "" {
		value, refused, err = s.modelCommand(v, command, args)
		return value, refused, err
	}
	if slices.Contains(neverPassedOn, command) {
		return nil, nil, &apiError{status: 501, reason: "simulator: the agent's command '" + command + "' is never passed on to a socket"}
	}
	s.unlock()
	value, refused, err = askSocket(socket, command, args)
	s.lock()
	if err == nil && v.run != run {
		err = errAgentGone
	}
	if err != nil {
		err = die("VM %d qga command 'guest-%s' failed - %v", v.id, command, err)
	}
	return value, refused, err
}

// agentCommand is a command whose errors are those of the call.
func (s *Sim) agentCommand(v *vm, run *run, command string, args map[string]any) (any, error) {
	value, refused, err := s.askAgent(v, run, command, args)
	if err == nil && refused != nil {
		err = die("Agent error: %s", refused.Desc)
	}
	return value, err
}

// plainAgentCall serves a command without parameters. The server answers 200 also when
// the agent refuses: the error is the result.
func plainAgentCall(command string) agentCall {
	return func(s *Sim, _ *request, v *vm) (any, error) {
		value, refused, err := s.askAgent(v, v.run, command, nil)
		switch {
		case err != nil:
			return nil, err
		case refused != nil:
			return result(map[string]any{"error": refused}), nil
		}
		return result(value), nil
	}
}

func result(value any) map[string]any { return map[string]any{"result": value} }
