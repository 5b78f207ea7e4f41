package pve

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
)

// MaxAgentFile is the size of the largest file that one call can write: the parameter may
// have 61,440 characters, of base64.
const MaxAgentFile = 45 << 10

// MaxAgentRead is the maximum number of bytes that AgentFileRead reads. The server would
// read 16 MiB, but its JSON may have six bytes for each of the file.
const MaxAgentRead = 4 << 20

// AgentFileWrite writes a file in the guest, of up to MaxAgentFile bytes, as root. It
// replaces the whole file and cannot append; its directory must exist. The server opens,
// writes and closes it by separate commands: after an Ambiguous error the file may be
// empty. The content does not appear in errors. Needs VM.GuestAgent.FileWrite, and
// VM.Monitor before PVE 9.
func (c *Client) AgentFileWrite(ctx context.Context, node string, vmid int, file string, content []byte) error {
	call := agentCall(post, node, vmid, "file-write").with("file", file)
	switch {
	case len(content) > MaxAgentFile:
		return call.invalid(fmt.Sprintf("%s: %d bytes are more than the %d that one call of the guest agent accepts; nothing was sent",
			file, len(content), MaxAgentFile))
	case !isASCII(file):
		return call.invalid(notASCII)
	}
	text := base64.StdEncoding.EncodeToString(content)
	call.inJSON = true
	call.form.Set("encode", "0") // it is base64 already
	call.form.Set("content", text)
	call.secrets = []string{string(content), text}
	return c.do(ctx, call, nil)
}

const notASCII = "the file's name has characters other than ASCII, which the server cannot pass on; nothing was sent"

// AgentFile is what was read of a file in the guest.
type AgentFile struct {
	Content []byte
	// Truncated means that the file is at least as long as was asked for; there may be
	// more.
	Truncated bool
}

// AgentFileRead reads the first bytes of a file in the guest, as root, up to most, which
// is at most MaxAgentRead. Without the file the error is NotFound, with What "file".
// Needs VM.GuestAgent.FileRead, and VM.Monitor before PVE 9.
func (c *Client) AgentFileRead(ctx context.Context, node string, vmid int, file string, most int) (AgentFile, error) {
	call := agentCall(get, node, vmid, "file-read").with("file", file).with("count", strconv.Itoa(most))
	switch {
	case most < 1 || most > MaxAgentRead:
		return AgentFile{}, call.invalid(fmt.Sprintf("one call reads 1 to %d bytes, not %d; nothing was sent", MaxAgentRead, most))
	case !isASCII(file):
		return AgentFile{}, call.invalid(notASCII)
	}
	var answer struct {
		Content   string `json:"content"`
		Truncated bool   `json:"truncated"`
	}
	if err := c.do(ctx, call, &answer); err != nil {
		return AgentFile{}, err
	}
	content := bytesOf(answer.Content)
	if len(content) > most {
		return AgentFile{}, call.fail(Unknown, fmt.Sprintf("cannot read the answer: it has %d bytes instead of at most %d", len(content), most), nil)
	}
	return AgentFile{Content: content, Truncated: answer.Truncated}, nil
}
