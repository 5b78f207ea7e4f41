// Package call is what the tests of e2e/host and the /init of the machines that
// they boot say to each other: one JSON document a line, a Request answered by a
// Reply, over the machine's second serial line.
package call

import "syscall"

// Op is what /init is asked to do.
type Op string

// What /init can do.
const (
	Run      Op = "run"      // a program
	Read     Op = "read"     // a file
	Write    Op = "write"    // into a file that is there, in one write
	Create   Op = "create"   // a file with this content, and the directories above it
	Remove   Op = "remove"   // a file or a directory with all below it
	Readlink Op = "readlink" // the target as it is written
	List     Op = "list"     // the names in a directory
	Await    Op = "await"    // that a file is there
	Hold     Op = "hold"     // open a file and keep it open; with an address in Text, as a VM holds the card
	Hide     Op = "hide"     // open a file and keep it open so that no process shows it
	Release  Op = "release"  // close what is held or hidden
	Off      Op = "off"      // the machine
)

// Request asks for one thing.
type Request struct {
	Op   Op       `json:"op"`
	Path string   `json:"path,omitempty"`
	Text string   `json:"text,omitempty"` // for Write, Create and Hold
	Argv []string `json:"argv,omitempty"` // for Run
	Kill *Kill    `json:"kill,omitempty"` // for Run
	// Patience is after how many milliseconds it is stuck; 0 is the usual time.
	Patience int `json:"patience,omitempty"`
}

// Kill says when a program and all that it started are killed with SIGKILL, the
// first of both.
type Kill struct {
	// Link is a symbolic link; the program is killed as soon as it leads somewhere
	// else, or nowhere, or exists at last.
	Link string `json:"link,omitempty"`
	// After is a time in microseconds.
	After int `json:"after,omitempty"`
}

// Reply is what came of it.
type Reply struct {
	// Errno is why it could not be done; 0 when it could. Of a program it says only
	// why it could not be started.
	Errno syscall.Errno `json:"errno,omitempty"`
	Error string        `json:"error,omitempty"` // the same in words, or what has no number

	Text   string   `json:"text,omitempty"`   // a file, a link, what a program printed
	Stderr string   `json:"stderr,omitempty"` // what it printed there
	Code   int      `json:"code,omitempty"`   // its exit code; -1 when a signal ended it
	Names  []string `json:"names,omitempty"`
	Micros int      `json:"micros,omitempty"` // how long it took

	// Stuck reports whether it was not done when the time was over: a write that does not
	// return, a program that was killed for it.
	Stuck bool `json:"stuck,omitempty"`
}
