package pve

import (
	"context"
	"strings"
	"unicode/utf8"
)

// If the guest agent does not answer, a call occupies one of the server's few workers
// for up to 3 s. So poll a booting VM only every 5 to 10 s. Without an agent the error
// is AgentUnavailable; if the VM is stopped, it is NotRunning. An error of the agent
// itself is NotFound, AgentForbidden or AgentFailed, and its text is the guest's.
//
// If an answer is lost after the agent was asked, the error of a write is Ambiguous: the
// agent may still run the program or write the file.

// agentCall is a call of a VM's guest agent.
func agentCall(method func(string, ...any) *call, node string, vmid int, name string) *call {
	return method("/nodes/{}/qemu/{}/agent/"+name, node, vmid).at(node, vmid)
}

// askAgent carries out a command without parameters. The server answers 200 also when the
// agent refuses; the result is then the agent's error.
func (c *Client) askAgent(ctx context.Context, call *call, into any) error {
	var answer struct {
		Result rawJSON `json:"result"`
	}
	if err := c.do(ctx, call, &answer); err != nil {
		return err
	}
	if len(answer.Result) == 0 {
		return call.fail(Unknown, "cannot read the answer: it has no result", nil)
	}
	var refusal struct {
		Error struct {
			Desc string `json:"desc"`
		} `json:"error"`
	}
	if answer.Result[0] == '{' && decode(answer.Result, &refusal) == nil && refusal.Error.Desc != "" {
		e := call.fail(Unknown, "Agent error: "+clip(oneLine(refusal.Error.Desc), maxText), nil)
		e.Kind, e.What = classify(0, e.Message)
		return e
	}
	if err := decode(answer.Result, into); err != nil {
		return call.fail(Unknown, "cannot read the answer of the guest's agent: "+err.Error(), err)
	}
	return nil
}

// AgentPing returns nil if the guest agent answers.
func (c *Client) AgentPing(ctx context.Context, node string, vmid int) error {
	return c.do(ctx, agentCall(post, node, vmid, "ping"), nil)
}

// AgentInterface is a network interface inside the guest.
type AgentInterface struct {
	Name      string         `json:"name"`
	MAC       string         `json:"hardware-address"` // lower case
	Addresses []AgentAddress `json:"ip-addresses"`
}

// AgentAddress is an address of an interface inside the guest.
type AgentAddress struct {
	Address string `json:"ip-address"`
	Type    string `json:"ip-address-type"` // "ipv4" or "ipv6"
	Prefix  int    `json:"prefix"`
}

// AgentNetworkInterfaces lists the guest's interfaces, including the loopback.
// Needs VM.GuestAgent.Audit, and VM.Monitor before PVE 9.
func (c *Client) AgentNetworkInterfaces(ctx context.Context, node string, vmid int) ([]AgentInterface, error) {
	var list []AgentInterface
	err := c.askAgent(ctx, agentCall(get, node, vmid, "network-get-interfaces"), &list)
	return list, err
}

// AgentOS is the guest's operating system, from its os-release and uname.
type AgentOS struct {
	ID         string `json:"id"`         // "ubuntu"
	VersionID  string `json:"version-id"` // "24.04"
	PrettyName string `json:"pretty-name"`
	Kernel     string `json:"kernel-release"` // "6.8.0-45-generic"
	Machine    string `json:"machine"`        // "x86_64"
}

// AgentOSInfo asks for the guest's operating system. Needs VM.GuestAgent.Audit, and
// VM.Monitor before PVE 9.
func (c *Client) AgentOSInfo(ctx context.Context, node string, vmid int) (AgentOS, error) {
	var os AgentOS
	err := c.askAgent(ctx, agentCall(get, node, vmid, "get-osinfo"), &os)
	return os, err
}

// AgentHostName asks for the guest's host name. Needs VM.GuestAgent.Audit, and VM.Monitor
// before PVE 9.
func (c *Client) AgentHostName(ctx context.Context, node string, vmid int) (string, error) {
	var name struct {
		Name string `json:"host-name"`
	}
	err := c.askAgent(ctx, agentCall(get, node, vmid, "get-host-name"), &name)
	return name.Name, err
}

// AgentInfo is the version of a guest agent and its commands.
type AgentInfo struct {
	Version  string         `json:"version"` // of QEMU's qemu-ga, "8.2.2"
	Commands []AgentCommand `json:"supported_commands"`
}

// AgentCommand is a command of a guest agent.
type AgentCommand struct {
	Name    string `json:"name"`    // "guest-exec"
	Enabled bool   `json:"enabled"` // the guest's configuration allows it
}

// Allows reports whether the agent has a command, "guest-exec", and allows it.
func (a AgentInfo) Allows(name string) bool {
	for _, command := range a.Commands {
		if command.Name == name {
			return command.Enabled
		}
	}
	return false
}

// AgentInfo asks which commands the agent has and allows. Needs VM.GuestAgent.Audit, and
// VM.Monitor before PVE 9.
func (c *Client) AgentInfo(ctx context.Context, node string, vmid int) (AgentInfo, error) {
	var info AgentInfo
	err := c.askAgent(ctx, agentCall(get, node, vmid, "info"), &info)
	return info, err
}

// maxAgentInput is the maximum number of bytes of a program's input.
const maxAgentInput = 64 << 10

// AgentExec starts a program in the guest, as root, and returns its process id for
// AgentExecStatus. The command must be ASCII; the input may be any bytes, up to 64 KiB,
// is passed to the program and does not appear in errors. Needs
// VM.GuestAgent.Unrestricted, and VM.Monitor before PVE 9. If the agent forbids programs,
// the error is AgentForbidden; without the program it is NotFound, with What "program".
func (c *Client) AgentExec(ctx context.Context, node string, vmid int, command []string, input string) (pid int, err error) {
	// The server makes one byte of each character.
	sent := charactersOf([]byte(input))
	call := agentCall(post, node, vmid, "exec").with("input-data", sent)
	switch {
	case len(command) == 0 || command[0] == "":
		return 0, call.invalid("the command is empty; nothing was sent")
	case !isASCII(strings.Join(command, "")):
		return 0, call.invalid("the command has characters other than ASCII, which the server cannot pass on; nothing was sent")
	case len(input) > maxAgentInput:
		return 0, call.invalid("the input is longer than the 64 KiB that one call of the guest agent accepts; nothing was sent")
	}
	for _, word := range command {
		call.form.Add("command", word) // also when it is empty
	}
	call.secrets = []string{input, sent}
	var answer struct {
		PID int `json:"pid" required:""`
	}
	err = c.do(ctx, call, &answer)
	return answer.PID, err
}

// AgentExecResult is the state of a program in the guest. The outputs are as the program
// wrote them, up to 16 MiB each; they may be any bytes.
type AgentExecResult struct {
	Exited       bool   `json:"exited"`
	ExitCode     int    `json:"exitcode"`
	Signal       int    `json:"signal"` // signal that ended it; 0 for none
	Out          string `json:"out-data"`
	Err          string `json:"err-data"`
	OutTruncated bool   `json:"out-truncated"`
	ErrTruncated bool   `json:"err-truncated"`
}

// AgentExecStatus returns the state of a program that AgentExec started. After the
// program has ended, the result can be read only once; then, and after a restart of the
// agent, the error is NotFound with What "process".
func (c *Client) AgentExecStatus(ctx context.Context, node string, vmid, pid int) (AgentExecResult, error) {
	var result AgentExecResult
	err := c.do(ctx, agentCall(get, node, vmid, "exec-status").withInt("pid", pid), &result)
	result.Out, result.Err = string(bytesOf(result.Out)), string(bytesOf(result.Err))
	return result, err
}

// charactersOf makes one character of each byte; bytesOf is the reverse. The server is
// written in Perl: what the guest sends as bytes comes as characters up to 255, so UTF-8
// is encoded twice, and what the guest shall get as bytes must be sent so.
func charactersOf(data []byte) string {
	var b strings.Builder
	b.Grow(len(data))
	for _, c := range data {
		b.WriteRune(rune(c))
	}
	return b.String()
}

// bytesOf leaves a text with other characters as it is: it was not encoded twice.
func bytesOf(text string) []byte {
	data := make([]byte, 0, len(text))
	for _, char := range text {
		if char > 255 {
			return []byte(text)
		}
		data = append(data, byte(char))
	}
	return data
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
