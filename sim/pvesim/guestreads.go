package pvesim

import (
	"maps"
	"slices"
	"time"
)

// guestReadCalls are the calls with which clients read the clock, processors and disks
// of a guest. The guest is freshly installed: in UTC, with one file system and no users
// logged in.
func guestReadCalls() []call {
	audit := agentPriv("VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted")
	var calls []call
	for _, name := range slices.Sorted(maps.Keys(guestReads)) {
		read := guestReads[name]
		calls = append(calls, call{
			method: "GET", path: "/nodes/{node}/qemu/{vmid}/agent/" + name, may: audit, protected: true, waits: true,
			serve: viaAgent(func(_ *Sim, _ *request, v *vm) (any, error) { return result(read(v)), nil }),
		})
	}
	return calls
}

// guestReads are the answers of those commands.
var guestReads = map[string]func(v *vm) any{
	"get-time":     func(*vm) any { return time.Now().UnixNano() },
	"get-timezone": func(*vm) any { return map[string]any{"offset": 0, "zone": "UTC"} },
	"get-users":    func(*vm) any { return []any{} },
	"get-vcpus":    guestProcessors,
	"get-fsinfo":   guestFileSystems,
	"info":         guestAgent,
}

func guestProcessors(v *vm) any {
	out := []any{}
	for i := range vcpus(v.run.conf) {
		out = append(out, map[string]any{"logical-id": i, "online": true, "can-offline": i > 0})
	}
	return out
}

// guestFileSystems returns one file system, on the first disk that can be booted from.
// Its usage is not simulated and left out, as by an agent that does not know it.
func guestFileSystems(v *vm) any {
	for _, key := range diskKeys {
		if d := parseDrive(v.run.conf[key]); v.run.conf[key] != "" && !d.isCDROM() && isBootBus(key) {
			return []any{map[string]any{"name": "sda1", "mountpoint": "/", "type": "ext4", "disk": []any{}}}
		}
	}
	return []any{}
}

// isBootBus reports whether a drive can have a file system; those of the firmware
// cannot.
func isBootBus(key string) bool { return key != "efidisk0" && key != "tpmstate0" }

// guestAgent lists the commands of the simulated agent.
func guestAgent(*vm) any {
	commands := []any{}
	for _, name := range []string{"guest-exec", "guest-exec-status", "guest-file-close", "guest-file-open", "guest-file-read",
		"guest-file-write", "guest-fsfreeze-freeze", "guest-fsfreeze-status", "guest-fsfreeze-thaw",
		"guest-fstrim", "guest-get-fsinfo", "guest-get-host-name", "guest-get-osinfo", "guest-get-time", "guest-get-timezone",
		"guest-get-users", "guest-get-vcpus", "guest-info", "guest-network-get-interfaces", "guest-ping", "guest-set-user-password", "guest-shutdown"} {
		commands = append(commands, map[string]any{"name": name, "enabled": true, "success-response": true})
	}
	return map[string]any{"version": "8.2.2", "supported_commands": commands}
}
