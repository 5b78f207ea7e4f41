package pve

import (
	"fmt"
	"regexp"
	"strconv"
)

// UPID is the identifier of a task, unique in a cluster:
//
//	UPID:pve1:0009E3A5:0BB5C3F1:68E4F1A2:qmstart:101:root@pam!auto:
//
// It is a plain value: it can be compared, stored as text and passed to [Client.Task]
// later. The zero value means no task.
type UPID struct {
	Node string // node of the task
	Type string // "qmstart", "qmclone", "imgcopy" …
	ID   string // object of the task, usually the VMID; may be empty

	raw string
}

// upidForm follows PVE::Tools::upid_decode: the process start has eight or nine
// hex digits, the id may be empty.
var upidForm = regexp.MustCompile(
	`^UPID:([A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?):[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8}:([^:\s]+):([^:\s]*):[^:\s]+:$`)

// ParseUPID parses the identifier of a task.
func ParseUPID(s string) (UPID, error) {
	m := upidForm.FindStringSubmatch(s)
	if m == nil {
		return UPID{}, fmt.Errorf("%q is not a task id (UPID:node:pid:pstart:starttime:type:id:user:)", clip(s, 120))
	}
	return UPID{Node: m[1], Type: m[2], ID: m[3], raw: s}, nil
}

// String is the identifier as the server wrote it.
func (u UPID) String() string { return u.raw }

// IsZero reports whether u means no task.
func (u UPID) IsZero() bool { return u.raw == "" }

// VMID is the number of the task's VM; 0 if the task is not about a VM.
func (u UPID) VMID() int {
	id, err := strconv.Atoi(u.ID)
	if err != nil || id < 0 {
		return 0
	}
	return id
}

// what describes the task: "qmstart of VM 101 on pve1".
func (u UPID) what() string {
	switch {
	case u.VMID() != 0:
		return fmt.Sprintf("%s of VM %d on %s", u.Type, u.VMID(), u.Node)
	case u.ID != "":
		return fmt.Sprintf("%s of %s on %s", u.Type, u.ID, u.Node)
	default:
		return fmt.Sprintf("%s on %s", u.Type, u.Node)
	}
}

// MarshalText writes the identifier; the zero value becomes an empty text.
func (u UPID) MarshalText() ([]byte, error) { return []byte(u.raw), nil }

// UnmarshalText reads the output of MarshalText.
func (u *UPID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*u = UPID{}
		return nil
	}
	parsed, err := ParseUPID(string(text))
	if err != nil {
		return err
	}
	*u = parsed
	return nil
}

// clip shortens a text to at most n bytes, for messages.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 { // not in the middle of a UTF-8 sequence
		n--
	}
	return s[:n] + "…"
}
