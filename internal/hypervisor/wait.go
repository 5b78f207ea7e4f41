package hypervisor

import "time"

// Handle is what a backend wants to be told again at the next call of the same
// work: the name of a task, or since when something is waited for. It is opaque
// to everybody else and "" at the first call. It may be lost at any time.
type Handle string

// Wait says that work is not done yet.
type Wait struct {
	For    string        `json:"for"`              // what is waited for: "the clone of the template"
	Far    string        `json:"far,omitempty"`    // how far it is, "37 %"; "" when nobody tells
	Again  time.Duration `json:"again"`            // how long from now to look again; 0 is at once
	Handle Handle        `json:"handle,omitempty"` // for the next call
	// Task is the name by which a person finds the work on the hypervisor; may be empty.
	Task string `json:"task,omitempty"`
	// UnderWay: the hypervisor works on it by itself, and goes on while it does not
	// answer. Otherwise the work stands still between two calls.
	UnderWay bool `json:"underWay,omitempty"`
	// Queued: the work has not begun, because so much else goes on. Its own time
	// begins when there is room.
	Queued bool `json:"queued,omitempty"`
}

// Name says what is waited for, and by which name it is found: "the clone of
// ubuntu-22.04 (UPID:…)".
func (w *Wait) Name() string {
	if w.Task == "" {
		return w.For
	}
	return w.For + " (" + w.Task + ")"
}
