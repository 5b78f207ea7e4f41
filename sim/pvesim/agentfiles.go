package pvesim

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
	"unicode/utf8"
)

// The calls of the agent with parameters: programs and files. The server is written in
// Perl, in which a text is a sequence of characters up to 255 when it comes from the
// agent: UTF-8 from a guest is encoded a second time in the answer, and of what clients
// send, characters above 255 are refused and those from 128 on become one byte.

// guestExec starts a program in the guest; its result is read by pid.
func (s *Sim) guestExec(r *request, v *vm) (any, error) {
	command := r.args["command"].values
	if len(command) == 0 || command[0] == "" {
		return nil, badParam("command", "property is missing and it is not optional")
	}
	if !isASCII(command...) {
		return nil, notSimulated("a command with characters other than ASCII")
	}
	args := map[string]any{"capture-output": true, "path": command[0], "arg": command[1:]}
	if r.args.has("input-data") {
		input, err := perlBytes(r.args.get("input-data"), "PVE/QemuServer/Agent.pm line 134")
		if err != nil {
			return nil, err
		}
		args["input-data"] = base64.StdEncoding.EncodeToString(input)
	}
	value, err := s.agentCommand(v, v.run, "exec", args)
	if err != nil {
		return nil, err
	}
	return value, nil
}

// guestExecStatus decodes the output, and makes the numbers 0 and 1 of true and false.
func (s *Sim) guestExecStatus(r *request, v *vm) (any, error) {
	value, err := s.agentCommand(v, v.run, "exec-status", map[string]any{"pid": r.args.number("pid", 0)})
	if err != nil {
		return nil, err
	}
	status, ok := value.(map[string]any)
	if !ok {
		return nil, die("Not a HASH reference at /usr/share/perl5/PVE/QemuServer/Agent.pm line 156.")
	}
	for key, field := range status {
		switch is, isBool := field.(bool); {
		case isBool && is:
			status[key] = 1
		case isBool:
			status[key] = 0
		case key == "out-data" || key == "err-data":
			status[key] = latin1(decodeBase64(field))
		}
	}
	return status, nil
}

// maxAgentRead is the maximum size of one read of a file; agentChunk the size of the
// reads of which it consists.
const (
	maxAgentRead = 16 << 20
	agentChunk   = 1 << 20
)

// guestRead reads a file in pieces of 1 MiB. Without decode, the pieces of base64 are
// joined as they are, also those with padding.
func (s *Sim) guestRead(r *request, v *vm) (any, error) {
	name, run := r.args.get("file"), v.run
	if !isASCII(name) {
		return nil, notSimulated("a file name with characters other than ASCII")
	}
	handle, err := s.agentCommand(v, run, "file-open", map[string]any{"path": name})
	if err != nil {
		return nil, err
	}
	if offset := r.args.number("offset", 0); offset > 0 {
		if _, err := s.agentCommand(v, run, "file-seek", map[string]any{"handle": handle, "offset": offset, "whence": "set"}); err != nil {
			return nil, err
		}
	}
	decode, count := !r.args.has("decode") || r.args.flag("decode"), r.args.number("count", maxAgentRead)
	var content strings.Builder
	read, end := 0, false
	for read < count && !end {
		value, err := s.agentCommand(v, run, "file-read", map[string]any{"handle": handle, "count": min(agentChunk, count-read)})
		if err != nil {
			return nil, err
		}
		piece, _ := value.(map[string]any)
		if decode {
			content.WriteString(latin1(decodeBase64(piece["buf-b64"])))
		} else {
			text, _ := piece["buf-b64"].(string)
			content.WriteString(text)
		}
		end, _ = piece["eof"].(bool)
		if n := asInt(piece["count"]); n > 0 {
			read += n
		} else {
			end = true // an agent that reads nothing and does not end
		}
	}
	// An error here is only logged.
	_, _, _ = s.askAgent(v, run, "file-close", map[string]any{"handle": handle})
	out := map[string]any{"content": content.String(), "bytes-read": read}
	if !end {
		out["truncated"] = 1
	}
	return out, nil
}

// guestWrite writes a whole file by three commands. If the agent stops answering after
// the first, the file is empty.
func (s *Sim) guestWrite(r *request, v *vm) (any, error) {
	content, name, run := r.args.get("content"), r.args.get("file"), v.run
	if !isASCII(name) {
		return nil, notSimulated("a file name with characters other than ASCII")
	}
	if !r.args.has("encode") || r.args.flag("encode") {
		plain, err := perlBytes(content, "PVE/API2/Qemu/Agent.pm line 553")
		if err != nil {
			return nil, err
		}
		content = base64.StdEncoding.EncodeToString(plain)
	}
	handle, err := s.agentCommand(v, run, "file-open", map[string]any{"path": name, "mode": "wb"})
	for _, step := range []struct {
		command string
		args    map[string]any
	}{
		// How much of it the agent wrote is not checked.
		{"file-write", map[string]any{"handle": handle, "buf-b64": content}},
		{"file-close", map[string]any{"handle": handle}},
	} {
		if err == nil {
			err = s.agentAlive(v, run)
		}
		if err == nil {
			_, err = s.agentCommand(v, run, step.command, step.args)
		}
	}
	return nil, err
}

func isASCII(texts ...string) bool {
	for _, text := range texts {
		for i := range len(text) {
			if text[i] >= utf8.RuneSelf {
				return false
			}
		}
	}
	return true
}

// perlBytes are the characters of a text, one byte each, as Perl's encode_base64 takes
// them. where is the place in the server that its error names.
func perlBytes(text, where string) ([]byte, error) {
	out := make([]byte, 0, len(text))
	for _, char := range text {
		if char > math.MaxUint8 {
			return nil, die("Wide character in subroutine entry at /usr/share/perl5/%s.", where)
		}
		out = append(out, byte(char))
	}
	return out, nil
}

// latin1 turns bytes into characters, as Perl does with bytes that it writes as UTF-8.
func latin1(data []byte) string {
	var b strings.Builder
	b.Grow(len(data))
	for _, c := range data {
		b.WriteRune(rune(c))
	}
	return b.String()
}

// decodeBase64 decodes like Perl's function: other characters are skipped.
func decodeBase64(value any) []byte {
	text, _ := value.(string)
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return []byte(text)
	}
	return data
}

// asInt reads a number of the model or of a socket; 0 for anything else.
func asInt(value any) int {
	switch n := value.(type) {
	case int:
		return n
	case json.Number:
		i, _ := n.Int64()
		return int(i)
	}
	return 0
}
