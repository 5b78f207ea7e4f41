package pvesim

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The simulated agent: the commands of QEMU's qemu-ga, with its texts. Source of the
// texts: answers of qemu-ga 7.2, and QEMU's qga/.

// modelCommand is a command of the simulated agent.
func (s *Sim) modelCommand(v *vm, command string, args map[string]any) (any, *agentError, error) {
	if refused := v.agentRefuses(command); refused != nil {
		return nil, refused, nil
	}
	if run, ok := modelCommands[command]; ok {
		value, refused := run(s, v, args)
		return value, refused, nil
	}
	if command == "exec" {
		return s.modelExec(v, args)
	}
	return nil, nil, notSimulated("the agent's command '%s'", command)
}

var modelCommands map[string]func(*Sim, *vm, map[string]any) (any, *agentError)

func init() { // the table and its entries refer to each other
	modelCommands = map[string]func(*Sim, *vm, map[string]any) (any, *agentError){
		"ping":                   func(*Sim, *vm, map[string]any) (any, *agentError) { return map[string]any{}, nil },
		"fsfreeze-status":        (*Sim).guestFreezeStatus,
		"fsfreeze-freeze":        (*Sim).guestFreeze,
		"fsfreeze-thaw":          (*Sim).guestThaw,
		"fstrim":                 (*Sim).guestTrim,
		"shutdown":               (*Sim).guestShutdown,
		"set-user-password":      (*Sim).guestPassword,
		"network-get-interfaces": (*Sim).guestInterfaces,
		"exec-status":            (*Sim).modelExecStatus,
		"file-open":              (*Sim).modelOpen,
		"file-seek":              (*Sim).modelSeek,
		"file-read":              (*Sim).modelRead,
		"file-write":             (*Sim).modelWrite,
		"file-close":             (*Sim).modelClose,
	}
	for name, read := range guestReads {
		modelCommands[name] = func(_ *Sim, v *vm, _ map[string]any) (any, *agentError) { return read(v), nil }
	}
}

// RHELForbids are the commands that the qemu-ga of RHEL 9, Rocky Linux and Fedora does not
// allow by default, for Guest.Forbid. Source: BLACKLIST_RPC in their /etc/sysconfig/qemu-ga.
var RHELForbids = []string{"file-open", "file-close", "file-read", "file-write", "file-seek", "file-flush", "exec", "exec-status"}

// agentRefuses is the answer for a command that the guest's agent does not allow: those
// that its configuration forbids, and most while the file systems are frozen, when it
// would hang on the first file access. Source: QEMU's qga/main.c.
func (v *vm) agentRefuses(command string) *agentError {
	because := ""
	switch {
	case slices.Contains(v.guest.Forbid, command):
		because = "the command is not allowed"
	case v.run.frozen && !slices.Contains([]string{"ping", "info", "fsfreeze-status", "fsfreeze-thaw"}, command):
		because = "the agent is in frozen state"
	default:
		return nil
	}
	return &agentError{Class: "CommandNotFound", Desc: "Command guest-" + command + " has been disabled: " + because}
}

func agentFails(format string, args ...any) *agentError {
	return &agentError{Class: "GenericError", Desc: fmt.Sprintf(format, args...)}
}

// guestInterfaces returns the loopback and one interface for each network option.
func (s *Sim) guestInterfaces(v *vm, _ map[string]any) (any, *agentError) {
	cards := []any{guestCard("lo", "00:00:00:00:00:00", "127.0.0.1", 8)}
	for i := range indexed["net"] + 1 {
		value := v.run.conf[fmt.Sprint("net", i)]
		if value == "" {
			continue
		}
		mac, _ := netAddress(value)
		if v.disk.source == "None" { // the network was reset
			cards = append(cards, map[string]any{"name": fmt.Sprint("eth", i), "hardware-address": strings.ToLower(mac), "ip-addresses": []any{}})
			continue
		}
		address, bits := guestAddress(v, i)
		cards = append(cards, guestCard(fmt.Sprint("eth", i), strings.ToLower(mac), address, bits))
	}
	return cards, nil
}

func guestCard(name, mac, address string, bits int) map[string]any {
	return map[string]any{"name": name, "hardware-address": mac, "ip-addresses": []any{
		map[string]any{"ip-address": address, "ip-address-type": "ipv4", "prefix": bits},
	}}
}

// guestAddress is the address from cloud-init, or else an address in 10.0.0.0/8 that is
// computed from the VM's id, as if by DHCP.
func guestAddress(v *vm, card int) (string, int) {
	ip := ipFormat.parse(v.run.conf[fmt.Sprint("ipconfig", card)])["ip"]
	if p, err := netip.ParsePrefix(ip); err == nil {
		return p.Addr().String(), p.Bits()
	}
	id := v.id
	return fmt.Sprintf("10.%d.%d.%d", (id>>16&0xff)^card, id>>8&0xff, id&0xff), 8
}

// guestHandle is a file that the agent has open.
type guestHandle struct {
	path   string
	offset int
	writes bool
}

// maxGuestFiles is the maximum size of all files of a simulated guest together.
const maxGuestFiles = 64 << 20

// guestDirs are the directories of a fresh system in which the agent may create files.
var guestDirs = []string{"/", "/etc", "/etc/cloud", "/etc/systemd/system", "/opt", "/root", "/run", "/tmp", "/usr/local/bin",
	"/usr/local/sbin", "/var/lib", "/var/log", "/var/tmp"}

// hasDir reports whether a guest has a directory: those of a fresh system, those of its
// files, and those that were made with mkdir.
func (v *vm) hasDir(path string) bool {
	if path == "" || slices.Contains(guestDirs, path) {
		return true
	}
	for name := range v.files {
		if strings.HasPrefix(name, path+"/") {
			return true
		}
	}
	return false
}

func (s *Sim) modelOpen(v *vm, args map[string]any) (any, *agentError) {
	path, _ := args["path"].(string)
	mode, given := args["mode"].(string)
	if !given {
		mode = "r"
	}
	fails := func(why string) (any, *agentError) {
		return nil, agentFails("failed to open file '%s' (mode: '%s'): %s", path, mode, why)
	}
	_, there := v.files[path]
	writes := mode == "wb"
	switch {
	case !writes && mode != "r":
		return nil, agentFails("simulator: files are not opened with mode '%s'", mode)
	case path == "" || !writes && !there && !v.hasDir(path):
		return fails("No such file or directory")
	case writes && v.hasDir(path):
		return fails("Is a directory")
	case writes && !v.hasDir(path[:max(0, strings.LastIndex(path, "/"))]):
		return fails("No such file or directory")
	case len(v.run.handles) >= 1000:
		return fails("Too many open files")
	}
	if writes {
		v.writeFile(path, "")
	}
	v.run.nextHandle++
	v.run.handles[999+v.run.nextHandle] = &guestHandle{path: path, writes: writes}
	return 999 + v.run.nextHandle, nil
}

// writeFile writes to the guest's disk.
func (v *vm) writeFile(path, content string) {
	if v.files == nil {
		v.files = map[string]string{}
	}
	v.files[path] = content
}

func (v *vm) handle(args map[string]any) (*guestHandle, *agentError) {
	n := asInt(args["handle"])
	if h := v.run.handles[n]; h != nil {
		return h, nil
	}
	return nil, agentFails("handle '%d' has not been found", n)
}

func (s *Sim) modelSeek(v *vm, args map[string]any) (any, *agentError) {
	h, refused := v.handle(args)
	if refused != nil {
		return nil, refused
	}
	h.offset = asInt(args["offset"])
	return map[string]any{"position": h.offset, "eof": false}, nil
}

// modelRead sets eof when the end was met, not yet when exactly the rest was read.
func (s *Sim) modelRead(v *vm, args map[string]any) (any, *agentError) {
	h, refused := v.handle(args)
	if refused != nil {
		return nil, refused
	}
	content, isFile := v.files[h.path]
	if !isFile {
		return nil, agentFails("failed to read file: Is a directory")
	}
	rest := content[min(len(content), h.offset):]
	count := asInt(args["count"])
	piece := rest[:min(len(rest), count)]
	h.offset += len(piece)
	return map[string]any{"count": len(piece), "buf-b64": base64.StdEncoding.EncodeToString([]byte(piece)), "eof": len(rest) < count}, nil
}

func (s *Sim) modelWrite(v *vm, args map[string]any) (any, *agentError) {
	h, refused := v.handle(args)
	if refused != nil {
		return nil, refused
	}
	text, _ := args["buf-b64"].(string)
	data, err := base64.StdEncoding.DecodeString(text)
	used := len(data)
	for _, content := range v.files {
		used += len(content)
	}
	switch {
	case err != nil:
		return nil, agentFails("Base64 data contains invalid characters")
	case !h.writes:
		return nil, agentFails("failed to write to file: Bad file descriptor")
	case used > maxGuestFiles:
		return nil, agentFails("failed to write to file: No space left on device")
	}
	v.writeFile(h.path, v.files[h.path]+string(data))
	return map[string]any{"count": len(data), "eof": false}, nil
}

func (s *Sim) modelClose(v *vm, args map[string]any) (any, *agentError) {
	h, refused := v.handle(args)
	if refused != nil {
		return nil, refused
	}
	delete(v.run.handles, asInt(args["handle"]))
	if h.writes {
		s.changed(GuestChanged, v.node, v.id, h.path)
	}
	return map[string]any{}, nil
}

// guestExec is a program that the agent started.
type guestProcess struct {
	result GuestResult
	ends   time.Time
}

// maxGuestOutput is the length of an output that the agent keeps.
const maxGuestOutput = 16 << 20

// modelExec starts a program. Its effects on the guest come at once; After only delays
// its end.
func (s *Sim) modelExec(v *vm, args map[string]any) (any, *agentError, error) {
	path, _ := args["path"].(string)
	more, _ := args["arg"].([]string)
	input, err := base64.StdEncoding.DecodeString(textOf(args["input-data"]))
	if err != nil {
		return nil, agentFails("Base64 data contains invalid characters"), nil
	}
	call := GuestCall{VMID: v.id, Command: append([]string{path}, more...), Input: string(input)}
	run := v.run
	var result GuestResult
	if s.guest != nil {
		s.unlock()
		result = s.guest(call)
		s.lock()
		if v.run != run {
			return nil, nil, die("VM %d qga command 'guest-exec' failed - %v", v.id, errAgentGone)
		}
	} else if result, err = s.runProgram(v, call); err != nil {
		return nil, nil, err
	}
	if result.Missing {
		return nil, agentFails("Guest agent command failed, error was 'Failed to execute child process “%s” (No such file or directory)'", path), nil
	}
	run.nextPID++
	run.execs[run.nextPID] = &guestProcess{result, time.Now().Add(s.scaled(result.After))}
	return map[string]any{"pid": run.nextPID}, nil, nil
}

func textOf(value any) string {
	text, _ := value.(string)
	return text
}

// modelExecStatus forgets a program once its end was told.
func (s *Sim) modelExecStatus(v *vm, args map[string]any) (any, *agentError) {
	pid := asInt(args["pid"])
	p := v.run.execs[pid]
	if p == nil {
		return nil, agentFails("PID %d does not exist", pid)
	}
	if time.Now().Before(p.ends) {
		return map[string]any{"exited": false}, nil
	}
	delete(v.run.execs, pid)
	out := map[string]any{"exited": true}
	if p.result.Signal != 0 {
		out["signal"] = p.result.Signal
	} else {
		out["exitcode"] = p.result.ExitCode
	}
	for name, text := range map[string]string{"out": p.result.Out, "err": p.result.Err} {
		if text != "" {
			out[name+"-data"] = base64.StdEncoding.EncodeToString([]byte(text[:min(len(text), maxGuestOutput)]))
			out[name+"-truncated"] = len(text) > maxGuestOutput
		}
	}
	return out, nil
}
