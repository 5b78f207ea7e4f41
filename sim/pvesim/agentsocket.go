package pvesim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// A VM's agent calls can be passed on to a real QEMU guest agent: to a unix socket as
// QEMU makes it for the device org.qemu.guest_agent.0. The protocol is the one of the
// real server: one connection for each command, guest-sync-delimited first, then the
// command, without a byte that resets the agent's parser.

// neverPassedOn are the commands that would switch off the machine of the agent, which in
// tests may be the one that the test runs on.
var neverPassedOn = []string{"shutdown", "suspend-disk", "suspend-hybrid", "suspend-ram"}

// SetAgentSocket passes the agent calls of a VM on to a unix socket; with "" the
// simulated guest answers again. The timeouts are real time, also with WithTimeScale.
func (s *Sim) SetAgentSocket(id int, path string) error {
	s.lock()
	defer s.unlock()
	v := s.vms[id]
	if v == nil {
		return fmt.Errorf("no VM %d in this world", id)
	}
	v.socket = path
	return nil
}

// socketOf returns the socket of a VM's agent; "" if the guest is simulated. In the
// directory of World.AgentSockets, a VM has the socket VMID.qga, as on a real host.
func (s *Sim) socketOf(v *vm) string {
	if v.socket != "" || s.agentSockets == "" {
		return v.socket
	}
	path := filepath.Join(s.agentSockets, fmt.Sprintf("%d.qga", v.id))
	if info, err := os.Stat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		return path
	}
	return ""
}

var (
	errAgentGone    = errors.New("client closed connection")
	errAgentTimeout = errors.New("got timeout")
)

// maxAgentAnswer is the maximum length of an answer: the agent keeps 16 MiB each of the
// two outputs of a program, in base64.
const maxAgentAnswer = 64 << 20

// agentTimeouts are those of the real server that differ from agentWait.
var agentTimeouts = map[string]Duration{
	"ping": agentPing, "fstrim": Duration(10 * time.Minute), "fsfreeze-freeze": Duration(time.Hour), "fsfreeze-thaw": Duration(3 * time.Minute),
}

var lastSync atomic.Int64

// askSocket runs one command over a socket.
func askSocket(path, command string, args map[string]any) (any, *agentError, error) {
	wait, ok := agentTimeouts[command]
	if !ok {
		wait = agentWait
	}
	deadline := time.Now().Add(time.Duration(wait))
	conn, err := (&net.Dialer{Deadline: deadline}).Dial("unix", path)
	if err != nil {
		return nil, nil, fmt.Errorf("unable to connect to the agent's socket: %w", err)
	}
	defer conn.Close()
	id := lastSync.Add(1)
	if args == nil {
		args = map[string]any{}
	}
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines) // one line each
	err = errors.Join(encoder.Encode(map[string]any{"execute": "guest-sync-delimited", "arguments": map[string]any{"id": id}}),
		encoder.Encode(map[string]any{"execute": "guest-" + command, "arguments": args}),
		conn.SetDeadline(deadline))
	if err == nil {
		_, err = conn.Write(lines.Bytes())
	}
	if err != nil {
		return nil, nil, transportError(err)
	}
	value, refused, err := readAgentAnswer(conn, id)
	return value, refused, transportError(err)
}

// transportError has the real server's words for the errors of a connection.
func transportError(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errAgentTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errAgentGone
	}
	return err
}

// readAgentAnswer reads the answer to the sync with this id and the one that follows it.
// Whatever comes before is the rest of a command whose client has left.
func readAgentAnswer(from io.Reader, id int64) (any, *agentError, error) {
	reader := bufio.NewReader(io.LimitReader(from, maxAgentAnswer))
	for {
		if _, err := reader.ReadBytes(0xff); err != nil {
			return nil, nil, err
		}
		var sync struct {
			Return int64 `json:"return"`
		}
		line, err := reader.ReadBytes('\n')
		if err != nil {
			return nil, nil, err
		}
		if json.Unmarshal(line, &sync) != nil || sync.Return != id {
			continue
		}
		if line, err = reader.ReadBytes('\n'); err != nil {
			return nil, nil, err
		}
		return parseAgentAnswer(line)
	}
}

func parseAgentAnswer(line []byte) (any, *agentError, error) {
	var answer struct {
		Return any         `json:"return"`
		Error  *agentError `json:"error"`
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	if err := decoder.Decode(&answer); err != nil {
		return nil, nil, fmt.Errorf("the agent's answer is not JSON: %w", err)
	}
	if answer.Error != nil {
		return nil, answer.Error, nil
	}
	return answer.Return, nil, nil
}
