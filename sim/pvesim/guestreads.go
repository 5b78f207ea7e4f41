package pvesim

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// guestReadCalls are the calls with which clients read the clock, processors and disks
// of a guest. The guest is freshly installed: in UTC, with one file system and no users
// logged in.
func guestReadCalls() []call {
	audit := agentPriv("VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted")
	var calls []call
	for _, name := range slices.Sorted(maps.Keys(guestReads)) {
		if name == "get-osinfo" || name == "get-host-name" {
			continue // in agentCalls
		}
		calls = append(calls, call{
			method: "GET", path: "/nodes/{node}/qemu/{vmid}/agent/" + name, may: audit, protected: true, waits: true,
			serve: viaAgent(plainAgentCall(name)),
		})
	}
	return calls
}

// guestReads are the answers of those commands.
var guestReads = map[string]func(v *vm) any{
	"get-time":      func(*vm) any { return time.Now().UnixNano() },
	"get-timezone":  func(*vm) any { return map[string]any{"offset": 0, "zone": "UTC"} },
	"get-users":     func(*vm) any { return []any{} },
	"get-vcpus":     guestProcessors,
	"get-fsinfo":    guestFileSystems,
	"info":          guestAgent,
	"get-osinfo":    guestOS,
	"get-host-name": func(v *vm) any { return map[string]any{"host-name": v.hostname()} },
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
func guestAgent(v *vm) any {
	commands := []any{}
	for _, name := range []string{"exec", "exec-status", "file-close", "file-open", "file-read", "file-seek", "file-write",
		"fsfreeze-freeze", "fsfreeze-status", "fsfreeze-thaw", "fstrim", "get-fsinfo", "get-host-name", "get-osinfo", "get-time",
		"get-timezone", "get-users", "get-vcpus", "info", "network-get-interfaces", "ping", "set-user-password", "shutdown"} {
		commands = append(commands, map[string]any{"name": "guest-" + name, "enabled": v.agentRefuses(name) == nil,
			"success-response": name != "shutdown"})
	}
	return map[string]any{"version": "8.2.2", "supported_commands": commands}
}

// guestOS is what the agent reads from os-release and uname; a world names the system as
// "ubuntu" or "ubuntu 24.04".
func guestOS(v *vm) any {
	id, version, _ := strings.Cut(v.guest.OS, " ")
	out := map[string]any{"id": id, "name": id, "machine": "x86_64"}
	if version != "" {
		out["version-id"], out["version"], out["pretty-name"] = version, version, id+" "+version
	}
	return out
}
