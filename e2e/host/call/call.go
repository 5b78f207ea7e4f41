// Package call is the protocol between the tests of e2e/host and the /init of the
// machines that they boot: one JSON document per line over the machine's second serial
// line, a Reply to each Request.
package call

import "syscall"

// Op is the operation of a request.
type Op string

// The operations.
const (
	Run      Op = "run"      // run a program
	Read     Op = "read"     // read a file
	Write    Op = "write"    // write to an existing file, in one write
	Create   Op = "create"   // create a file with this content, and the directories above it
	Remove   Op = "remove"   // remove a file, or a directory with its content
	Readlink Op = "readlink" // return the target of a link as written in it
	List     Op = "list"     // list the names in a directory
	Await    Op = "await"    // wait until a file exists
	Hold     Op = "hold"     // open a file and keep it open; with an address in Text, as a VM holds the card
	Hide     Op = "hide"     // open a file and keep it open in such a way that no process shows it
	Release  Op = "release"  // close what is held or hidden
	Off      Op = "off"      // turn the machine off
)

// Request is one request.
type Request struct {
	Op   Op       `json:"op"`
	Path string   `json:"path,omitempty"`
	Text string   `json:"text,omitempty"` // for Write, Create and Hold
	Argv []string `json:"argv,omitempty"` // for Run
	Kill *Kill    `json:"kill,omitempty"` // for Run
	// Patience is the timeout in milliseconds; 0 means the default.
	Patience int `json:"patience,omitempty"`
}

// Kill says when a program and all its children are killed with SIGKILL: at the first
// of the two events.
type Kill struct {
	// Link is a symbolic link. The program is killed as soon as its target changes, or
	// it is removed or created.
	Link string `json:"link,omitempty"`
	// After is a time in microseconds.
	After int `json:"after,omitempty"`
}

// Reply is the result of a request.
type Reply struct {
	// Errno is the error number; 0 for success. For a program it only says why the
	// program could not be started.
	Errno syscall.Errno `json:"errno,omitempty"`
	Error string        `json:"error,omitempty"` // the error as text, also when it has no number

	Text   string   `json:"text,omitempty"`   // content of a file, target of a link, output of a program
	Stderr string   `json:"stderr,omitempty"` // error output of a program
	Code   int      `json:"code,omitempty"`   // exit code; -1 when a signal ended the program
	Names  []string `json:"names,omitempty"`
	Micros int      `json:"micros,omitempty"` // duration in microseconds

	// Stuck reports whether the timeout passed: a write did not return, or a program was
	// killed.
	Stuck bool `json:"stuck,omitempty"`
}
