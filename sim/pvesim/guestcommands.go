package pvesim

import (
	"encoding/base64"
	"maps"
	"slices"
)

// guestCommandCalls are the calls with which clients run commands of a guest's agent.
func guestCommandCalls() []call {
	const base = "/nodes/{node}/qemu/{vmid}/agent"
	files := agentPriv("VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.Unrestricted")
	power := agentPriv("VM.PowerMgmt", "VM.GuestAgent.Unrestricted")
	post := func(name string, may check, params specs, serve agentCall) call {
		return call{method: "POST", path: base + name, may: may, params: params, protected: true, waits: true, serve: viaAgent(serve)}
	}
	mays := map[string]check{
		"fsfreeze-status": agentPriv("VM.GuestAgent.Audit", "VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.Unrestricted"),
		"fsfreeze-freeze": files, "fsfreeze-thaw": files, "fstrim": files, "shutdown": power,
	}
	calls := []call{
		// All commands without parameters, by name: the old call.
		post("", agentPriv("VM.GuestAgent.Unrestricted", "VM.GuestAgent.Unrestricted"),
			specs{"command": oneOf(plainGuestCommands...).req()}, (*Sim).guestCommand),
		post("/set-user-password", agentPriv("VM.GuestAgent.Unrestricted"),
			specs{"username": text().req(), "password": text().from(5).upTo(1024).req(), "crypted": boolean()}, (*Sim).setGuestPassword),
	}
	for _, name := range slices.Sorted(maps.Keys(mays)) {
		calls = append(calls, post("/"+name, mays[name], nil, plainAgentCall(name)))
	}
	return calls
}

// Backup tools freeze, trim and thaw; some clients name the command in a parameter.

// plainGuestCommands are all commands without parameters, including those that are not
// simulated.
var plainGuestCommands = []string{"fsfreeze-freeze", "fsfreeze-status", "fsfreeze-thaw", "fstrim", "get-fsinfo", "get-host-name",
	"get-memory-block-info", "get-memory-blocks", "get-osinfo", "get-time", "get-timezone", "get-users", "get-vcpus", "info",
	"network-get-interfaces", "ping", "shutdown", "suspend-disk", "suspend-hybrid", "suspend-ram"}

// guestCommand does the same as the call with the command's own path.
func (s *Sim) guestCommand(r *request, v *vm) (any, error) {
	return plainAgentCall(r.args.get("command"))(s, r, v)
}

// setGuestPassword sends the password in base64.
func (s *Sim) setGuestPassword(r *request, v *vm) (any, error) {
	value, err := s.agentCommand(v, v.run, "set-user-password", map[string]any{"username": r.args.get("username"),
		"password": base64.StdEncoding.EncodeToString([]byte(r.args.get("password"))), "crypted": r.args.flag("crypted")})
	if err != nil {
		return nil, err
	}
	return result(value), nil
}

func (s *Sim) guestFreezeStatus(v *vm, _ map[string]any) (any, *agentError) {
	if v.run.frozen {
		return "frozen", nil
	}
	return "thawed", nil
}

// guestFreeze returns the number of file systems that it froze.
func (s *Sim) guestFreeze(v *vm, _ map[string]any) (any, *agentError) {
	v.run.frozen = true
	s.changed(GuestChanged, v.node, v.id, "")
	return len(guestFileSystems(v).([]any)), nil
}

func (s *Sim) guestThaw(v *vm, _ map[string]any) (any, *agentError) {
	count := 0
	if v.run.frozen {
		count = len(guestFileSystems(v).([]any))
	}
	v.run.frozen = false
	s.changed(GuestChanged, v.node, v.id, "")
	return count, nil
}

// guestTrim has no effect, because disks have no content.
func (s *Sim) guestTrim(v *vm, _ map[string]any) (any, *agentError) {
	paths := []any{}
	for _, fs := range guestFileSystems(v).([]any) {
		paths = append(paths, map[string]any{"path": fs.(map[string]any)["mountpoint"], "trimmed": 0, "minimum": 0})
	}
	return map[string]any{"paths": paths}, nil
}

// guestShutdown shuts the guest down from inside. There is no task, and the agent does
// not confirm the command.
func (s *Sim) guestShutdown(v *vm, _ map[string]any) (any, *agentError) {
	run := v.run
	s.spawn(func() {
		if s.sleep(s.ctx, s.timings.Shutdown) != nil {
			return
		}
		s.lock()
		defer s.unlock()
		if v.run == run && s.vms[v.id] == v && !run.paused {
			s.halt(v)
		}
	})
	return nil, nil
}

// guestPassword accepts root and the user of cloud-init. Passwords are not stored,
// because there are no logins to a guest.
func (s *Sim) guestPassword(v *vm, args map[string]any) (any, *agentError) {
	if name := textOf(args["username"]); name != "root" && name != v.run.conf["ciuser"] {
		return nil, agentFails("child process has failed to set user password")
	}
	return map[string]any{}, nil
}
