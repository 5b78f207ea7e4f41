package pve

import (
	"context"
	"encoding/base64"
	"fmt"
)

// Every call of the guest agent occupies one of the server's few workers for
// up to 3 s when the agent does not answer: ask a VM that boots every 5 to 10 s,
// not more often. When there is no agent the error is AgentUnavailable, and
// NotRunning when the VM does not run.

// Of these calls the programs make AgentNetworkInterfaces so far. The others are
// the channel by which a guest program will be sent and run.

// AgentPing reports whether the guest agent answers; nil says that it does.
func (c *Client) AgentPing(ctx context.Context, node string, vmid int) error {
	return c.do(ctx, post("/nodes/{}/qemu/{}/agent/ping", node, vmid).at(node, vmid), nil)
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

// AgentNetworkInterfaces lists the guest's interfaces, the loopback included.
// Needs VM.GuestAgent.Audit, and VM.Monitor before PVE 9.
func (c *Client) AgentNetworkInterfaces(ctx context.Context, node string, vmid int) ([]AgentInterface, error) {
	var answer struct {
		Result []AgentInterface `json:"result"`
	}
	err := c.do(ctx, get("/nodes/{}/qemu/{}/agent/network-get-interfaces", node, vmid).at(node, vmid), &answer)
	return answer.Result, err
}

// AgentExec starts a program in the guest, as root, and gives its process id
// for AgentExecStatus. The input is handed to the program and appears in no
// error. Needs VM.GuestAgent.Unrestricted, and VM.Monitor before PVE 9.
func (c *Client) AgentExec(ctx context.Context, node string, vmid int, command []string, input string) (pid int, err error) {
	call := post("/nodes/{}/qemu/{}/agent/exec", node, vmid).at(node, vmid).with("input-data", input)
	if len(command) == 0 {
		return 0, call.invalid("there is no command; nothing was sent")
	}
	for _, word := range command {
		call.form.Add("command", word) // also when it is empty
	}
	call.secrets = []string{input}
	var answer struct {
		PID int `json:"pid"`
	}
	err = c.do(ctx, call, &answer)
	return answer.PID, err
}

// AgentExecResult is the state of a program in the guest.
type AgentExecResult struct {
	Exited       bool   `json:"exited"`
	ExitCode     int    `json:"exitcode"`
	Signal       int    `json:"signal"` // that ended it; 0 for none
	Out          string `json:"out-data"`
	Err          string `json:"err-data"`
	OutTruncated bool   `json:"out-truncated"`
	ErrTruncated bool   `json:"err-truncated"`
}

// AgentExecStatus asks for a program that AgentExec started. The guest forgets
// it once it was asked after its end.
func (c *Client) AgentExecStatus(ctx context.Context, node string, vmid, pid int) (AgentExecResult, error) {
	var result AgentExecResult
	call := get("/nodes/{}/qemu/{}/agent/exec-status", node, vmid).at(node, vmid).withInt("pid", pid)
	err := c.do(ctx, call, &result)
	return result, err
}

// maxAgentFile is the longest content parameter that file-write takes.
const maxAgentFile = 60 << 10

// AgentFileWrite writes a small file in the guest: 60 KiB of ASCII, or 45 KiB
// of anything else, which has to be sent in base64. Its content appears in no
// error. Needs VM.GuestAgent.FileWrite, and VM.Monitor before PVE 9.
func (c *Client) AgentFileWrite(ctx context.Context, node string, vmid int, file string, content []byte) error {
	call := post("/nodes/{}/qemu/{}/agent/file-write", node, vmid).at(node, vmid).with("file", file)
	text := string(content)
	if !isASCII(text) {
		// The server would stumble over characters beyond a byte.
		text = base64.StdEncoding.EncodeToString(content)
		call.with("encode", "0")
	}
	if len(text) > maxAgentFile {
		return call.invalid(fmt.Sprintf("%s: %d bytes are more than the guest agent takes at once; nothing was sent", file, len(content)))
	}
	call.form.Set("content", text)
	call.secrets = []string{string(content), text}
	return c.do(ctx, call, nil)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
