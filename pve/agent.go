package pve

import (
	"context"
	"encoding/base64"
	"fmt"
)

// If the guest agent does not answer, a call occupies one of the server's few workers
// for up to 3 s. So poll a booting VM only every 5 to 10 s. Without an agent the error
// is AgentUnavailable; if the VM is stopped, it is NotRunning.

// Only AgentNetworkInterfaces is used so far. The others are for copying a program
// into the guest and running it.

// AgentPing returns nil if the guest agent answers.
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

// AgentNetworkInterfaces lists the guest's interfaces, including the loopback.
// Needs VM.GuestAgent.Audit, and VM.Monitor before PVE 9.
func (c *Client) AgentNetworkInterfaces(ctx context.Context, node string, vmid int) ([]AgentInterface, error) {
	var answer struct {
		Result []AgentInterface `json:"result"`
	}
	err := c.do(ctx, get("/nodes/{}/qemu/{}/agent/network-get-interfaces", node, vmid).at(node, vmid), &answer)
	return answer.Result, err
}

// AgentExec starts a program in the guest, as root, and returns its process id for
// AgentExecStatus. The input is passed to the program and does not appear in errors.
// Needs VM.GuestAgent.Unrestricted, and VM.Monitor before PVE 9.
func (c *Client) AgentExec(ctx context.Context, node string, vmid int, command []string, input string) (pid int, err error) {
	call := post("/nodes/{}/qemu/{}/agent/exec", node, vmid).at(node, vmid).with("input-data", input)
	if len(command) == 0 {
		return 0, call.invalid("the command is empty; nothing was sent")
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
	Signal       int    `json:"signal"` // signal that ended it; 0 for none
	Out          string `json:"out-data"`
	Err          string `json:"err-data"`
	OutTruncated bool   `json:"out-truncated"`
	ErrTruncated bool   `json:"err-truncated"`
}

// AgentExecStatus returns the state of a program that AgentExec started. After the
// program has ended, the result can be read only once.
func (c *Client) AgentExecStatus(ctx context.Context, node string, vmid, pid int) (AgentExecResult, error) {
	var result AgentExecResult
	call := get("/nodes/{}/qemu/{}/agent/exec-status", node, vmid).at(node, vmid).withInt("pid", pid)
	err := c.do(ctx, call, &result)
	return result, err
}

// maxAgentFile is the maximum length of the content parameter of file-write.
const maxAgentFile = 60 << 10

// AgentFileWrite writes a small file in the guest: up to 60 KiB of ASCII, or 45 KiB
// of other content, which is sent in base64. The content does not appear in errors.
// Needs VM.GuestAgent.FileWrite, and VM.Monitor before PVE 9.
func (c *Client) AgentFileWrite(ctx context.Context, node string, vmid int, file string, content []byte) error {
	call := post("/nodes/{}/qemu/{}/agent/file-write", node, vmid).at(node, vmid).with("file", file)
	text := string(content)
	if !isASCII(text) {
		// The server fails on characters that do not fit into a byte.
		text = base64.StdEncoding.EncodeToString(content)
		call.with("encode", "0")
	}
	if len(text) > maxAgentFile {
		return call.invalid(fmt.Sprintf("%s: %d bytes are more than one call of the guest agent accepts; nothing was sent", file, len(content)))
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
