package pvesim

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// GuestCall is a command that a client runs in a guest.
type GuestCall struct {
	VMID    int
	Command []string
	Input   string
}

// GuestResult is the result of a command in a guest.
type GuestResult struct {
	ExitCode int
	Out, Err string
	// After is the duration of the command, divided by the time scale.
	After Duration
	ends  time.Time
}

// defaultGuest supports true, false and echo; other commands are not found.
func defaultGuest(call GuestCall) GuestResult {
	switch call.Command[0] {
	case "true", "/bin/true":
		return GuestResult{}
	case "false", "/bin/false":
		return GuestResult{ExitCode: 1}
	case "echo", "/bin/echo":
		return GuestResult{Out: strings.Join(call.Command[1:], " ") + "\n"}
	}
	return GuestResult{ExitCode: 127, Err: call.Command[0] + ": command not found\n"}
}

func agentCalls() []call {
	base := "/nodes/{node}/qemu/{vmid}/agent"
	audit := agentPriv("VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted")
	unrestricted := agentPriv("VM.GuestAgent.Unrestricted")
	agent := func(method, name string, may check, params specs, serve func(*Sim, *request, *vm) (any, error)) call {
		return call{method: method, path: base + "/" + name, may: may, params: params, protected: true, waits: true, serve: viaAgent(serve)}
	}
	files := specs{"file": text().req(), "count": integer().atLeast(1).atMost(maxAgentRead), "offset": integer().atLeast(0), "decode": boolean()}
	return []call{
		{method: "GET", path: base, serve: index("name", "exec", "exec-status", "file-read", "file-write", "fsfreeze-freeze",
			"fsfreeze-status", "fsfreeze-thaw", "fstrim", "get-fsinfo", "get-host-name", "get-memory-block-info",
			"get-memory-blocks", "get-osinfo", "get-time", "get-timezone", "get-users", "get-vcpus", "info",
			"network-get-interfaces", "ping", "set-user-password", "shutdown", "suspend-disk", "suspend-hybrid", "suspend-ram")},
		agent("POST", "ping", audit, nil, (*Sim).guestPing),
		agent("GET", "network-get-interfaces", audit, nil, (*Sim).guestInterfaces),
		agent("GET", "get-osinfo", audit, nil, (*Sim).guestOS),
		agent("GET", "get-host-name", audit, nil, (*Sim).guestName),
		agent("POST", "exec", unrestricted, specs{"command": {kind: "array", required: true}, "input-data": text().upTo(65536)}, (*Sim).guestExec),
		agent("GET", "exec-status", unrestricted, specs{"pid": integer().req()}, (*Sim).guestExecStatus),
		agent("GET", "file-read", agentPriv("VM.GuestAgent.FileRead", "VM.GuestAgent.Unrestricted"), files, (*Sim).guestRead),
		agent("POST", "file-write", agentPriv("VM.GuestAgent.FileWrite", "VM.GuestAgent.Unrestricted"),
			specs{"content": text().upTo(61440).req(), "file": text().req(), "encode": boolean()}, (*Sim).guestWrite),
	}
}

func (v *vm) agentAnswers() bool {
	return v.run != nil && !v.run.paused && v.hasAgent() && !v.run.agentUp.IsZero() && !time.Now().Before(v.run.agentUp)
}

// agentPing is the server's timeout for an agent.
const agentPing = Duration(3 * time.Second)

// viaAgent wraps a call to a guest: it fails when no agent is configured, the VM is off
// or the agent does not answer within three seconds.
func viaAgent(serve func(*Sim, *request, *vm) (any, error)) func(*Sim, *request) (any, error) {
	serve = thawed(serve)
	return func(s *Sim, r *request) (any, error) {
		s.lock()
		defer s.unlock()
		for tries := 0; ; tries++ {
			v, err := s.vmOn(r.node(), r.vmid())
			switch {
			case err != nil:
				return nil, err
			case v.conf["agent"] == "":
				return nil, die("No QEMU guest agent configured")
			case v.run == nil:
				return nil, die("VM %d is not running", v.id)
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

// guestInterfaces returns the loopback and one interface for each network option.
func (s *Sim) guestInterfaces(_ *request, v *vm) (any, error) {
	cards := []any{guestCard("lo", "00:00:00:00:00:00", "127.0.0.1", 8)}
	for i := range indexed["net"] + 1 {
		value := v.run.conf[fmt.Sprint("net", i)]
		if value == "" {
			continue
		}
		mac, _ := netAddress(value)
		address, bits := guestAddress(v, i)
		cards = append(cards, guestCard(fmt.Sprint("eth", i), strings.ToLower(mac), address, bits))
	}
	return map[string]any{"result": cards}, nil
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

func (s *Sim) guestOS(_ *request, v *vm) (any, error) {
	return map[string]any{"result": map[string]any{"id": v.guest.OS, "name": v.guest.OS, "machine": "x86_64"}}, nil
}

func (s *Sim) guestName(_ *request, v *vm) (any, error) {
	return map[string]any{"result": map[string]any{"host-name": v.name()}}, nil
}

// guestExec starts a command in the guest; its result is read by pid.
func (s *Sim) guestExec(r *request, v *vm) (any, error) {
	command := r.args["command"].values
	if len(command) == 0 || command[0] == "" {
		return nil, badParam("command", "property is missing and it is not optional")
	}
	call := GuestCall{VMID: v.id, Command: command, Input: r.args.get("input-data")}
	run := v.run
	s.unlock()
	result := s.guest(call)
	s.lock()
	result.ends = time.Now().Add(s.scaled(result.After))
	run.nextPID++
	run.execs[run.nextPID] = result
	return map[string]any{"pid": run.nextPID}, nil
}

func (s *Sim) guestExecStatus(r *request, v *vm) (any, error) {
	pid := r.args.number("pid", 0)
	result, ok := v.run.execs[pid]
	if !ok {
		return nil, die("Agent error: PID %d does not exist", pid)
	}
	if time.Now().Before(result.ends) {
		return map[string]any{"exited": 0}, nil
	}
	out := map[string]any{"exited": 1, "exitcode": result.ExitCode}
	if result.Out != "" {
		out["out-data"] = result.Out
	}
	if result.Err != "" {
		out["err-data"] = result.Err
	}
	return out, nil
}

// maxAgentRead is the maximum size of one read of a file.
const maxAgentRead = 16 << 20

// guestRead reads a file that was written before, or a file of the world's guest.
func (s *Sim) guestRead(r *request, v *vm) (any, error) {
	name := r.args.get("file")
	content, there := v.run.files[name]
	if !there {
		return nil, die("Agent error: failed to open file '%s' (mode: 'r'): No such file or directory", name)
	}
	content = content[min(len(content), r.args.number("offset", 0)):]
	count := r.args.number("count", maxAgentRead)
	out := map[string]any{}
	if len(content) > count {
		content = content[:count]
		out["truncated"] = 1
	}
	out["bytes-read"], out["content"] = len(content), content
	if r.args.has("decode") && !r.args.flag("decode") {
		out["content"] = base64.StdEncoding.EncodeToString([]byte(content))
	}
	return out, nil
}

func (s *Sim) guestWrite(r *request, v *vm) (any, error) {
	content := r.args.get("content")
	if r.args.has("encode") && !r.args.flag("encode") {
		// Without encoding by the server the content is base64 already.
		decoded, err := base64.StdEncoding.DecodeString(content)
		if err != nil {
			return nil, die("Agent error: Invalid parameter 'content'")
		}
		content = string(decoded)
	}
	v.run.files[r.args.get("file")] = content
	s.changed(GuestChanged, v.node, v.id, r.args.get("file"))
	return nil, nil
}
