package pvesim

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// guestCommandCalls are the calls with which clients run commands of a guest's agent.
func guestCommandCalls() []call {
	const base = "/nodes/{node}/qemu/{vmid}/agent"
	files := agentPriv("VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.Unrestricted")
	power := agentPriv("VM.PowerMgmt", "VM.GuestAgent.Unrestricted")
	post := func(name string, may check, params specs, serve func(*Sim, *request, *vm) (any, error)) call {
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
			specs{"username": text().req(), "password": text().from(5).upTo(1024).req(), "crypted": boolean()}, (*Sim).guestPassword),
	}
	for _, name := range slices.Sorted(maps.Keys(mays)) {
		calls = append(calls, post("/"+name, mays[name], nil, guestActions[name]))
	}
	return calls
}

// Backup tools freeze, trim and thaw; some clients name the command in a parameter.

// guestActions are the commands without parameters that need the simulator; guestReads
// has those that need only the VM.
var guestActions = map[string]func(*Sim, *request, *vm) (any, error){
	"ping":                   (*Sim).guestPing,
	"fsfreeze-status":        (*Sim).guestFreezeStatus,
	"fsfreeze-freeze":        (*Sim).guestFreeze,
	"fsfreeze-thaw":          (*Sim).guestThaw,
	"fstrim":                 (*Sim).guestTrim,
	"shutdown":               (*Sim).guestShutdown,
	"network-get-interfaces": (*Sim).guestInterfaces,
	"get-osinfo":             (*Sim).guestOS,
	"get-host-name":          (*Sim).guestName,
}

// plainGuestCommands are all commands without parameters, including those that are not
// simulated.
var plainGuestCommands = []string{"fsfreeze-freeze", "fsfreeze-status", "fsfreeze-thaw", "fstrim", "get-fsinfo", "get-host-name",
	"get-memory-block-info", "get-memory-blocks", "get-osinfo", "get-time", "get-timezone", "get-users", "get-vcpus", "info",
	"network-get-interfaces", "ping", "shutdown", "suspend-disk", "suspend-hybrid", "suspend-ram"}

// guestCommand does the same as the call with the command's own path.
func (s *Sim) guestCommand(r *request, v *vm) (any, error) {
	name := r.args.get("command")
	if refusal := v.frozenRefusal(name); refusal != nil {
		return result(refusal), nil
	}
	if act, ok := guestActions[name]; ok {
		return act(s, r, v)
	}
	if read, ok := guestReads[name]; ok {
		return result(read(v)), nil
	}
	return nil, notSimulated("the agent's command '%s'", name)
}

func result(value any) map[string]any { return map[string]any{"result": value} }

// frozenRefusal is the agent's answer while the file systems are frozen, when it would
// hang on the first file access. Source: QEMU's qga/main.c.
func (v *vm) frozenRefusal(command string) map[string]any {
	if !v.run.frozen || slices.Contains([]string{"ping", "info", "fsfreeze-status", "fsfreeze-thaw"}, command) {
		return nil
	}
	return map[string]any{"error": map[string]any{"class": "CommandNotFound", "desc": frozenText(command)}}
}

func frozenText(command string) string {
	return "Command guest-" + command + " has been disabled: the agent is in frozen state"
}

// thawed refuses calls to a guest with frozen file systems: those with parameters fail,
// those without return the agent's error as a result.
func thawed(serve func(*Sim, *request, *vm) (any, error)) func(*Sim, *request, *vm) (any, error) {
	return func(s *Sim, r *request, v *vm) (any, error) {
		command := path.Base(r.path)
		refusal := v.frozenRefusal(command)
		switch {
		case refusal == nil || command == "agent": // "agent" checks this itself
			return serve(s, r, v)
		case strings.HasPrefix(command, "file-"):
			return nil, die("Agent error: %s", frozenText("file-open"))
		case slices.Contains([]string{"exec", "exec-status", "set-user-password"}, command):
			return nil, die("Agent error: %s", frozenText(command))
		}
		return result(refusal), nil
	}
}

func (s *Sim) guestPing(*request, *vm) (any, error) { return result(map[string]any{}), nil }

func (s *Sim) guestFreezeStatus(_ *request, v *vm) (any, error) {
	if v.run.frozen {
		return result("frozen"), nil
	}
	return result("thawed"), nil
}

// guestFreeze returns the number of file systems that it froze.
func (s *Sim) guestFreeze(_ *request, v *vm) (any, error) {
	v.run.frozen = true
	s.changed(GuestChanged, v.node, v.id, "")
	return result(len(guestFileSystems(v).([]any))), nil
}

func (s *Sim) guestThaw(_ *request, v *vm) (any, error) {
	count := 0
	if v.run.frozen {
		count = len(guestFileSystems(v).([]any))
	}
	v.run.frozen = false
	s.changed(GuestChanged, v.node, v.id, "")
	return result(count), nil
}

// guestTrim has no effect, because disks have no content.
func (s *Sim) guestTrim(_ *request, v *vm) (any, error) {
	paths := []any{}
	for _, fs := range guestFileSystems(v).([]any) {
		paths = append(paths, map[string]any{"path": fs.(map[string]any)["mountpoint"], "trimmed": 0, "minimum": 0})
	}
	return result(map[string]any{"paths": paths}), nil
}

// guestShutdown shuts the guest down from inside. There is no task, and the agent does
// not confirm the command.
func (s *Sim) guestShutdown(_ *request, v *vm) (any, error) {
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
	return result(nil), nil
}

// guestPassword accepts root and the user of cloud-init. Passwords are not stored,
// because there are no logins to a guest.
func (s *Sim) guestPassword(r *request, v *vm) (any, error) {
	if name := r.args.get("username"); name != "root" && name != v.run.conf["ciuser"] {
		return nil, die("Agent error: child process has failed to set user password")
	}
	return result(map[string]any{}), nil
}
