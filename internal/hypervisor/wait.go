package hypervisor

import "time"

// Handle is data that a backend gets back at the next call for the same work: the
// name of a task, or the time when a wait began. It is opaque to others, "" at the
// first call, and may be lost at any time.
type Handle string

// Wait says that work is not done yet.
type Wait struct {
	For       string        `json:"for"`                // what it waits for: "the clone of the template"; "" for a short pause
	Progress  string        `json:"progress,omitempty"` // "37 %"; "" when not known
	CallAfter time.Duration `json:"callAfter"`          // time until the next call; 0: at once
	Handle    Handle        `json:"handle,omitempty"`   // for the next call
	// Task is the hypervisor's name of the work, for people; may be empty.
	Task string `json:"task,omitempty"`
	// UnderWay: the hypervisor works on it by itself, even while it does not answer.
	// Otherwise nothing happens between two calls.
	UnderWay bool `json:"underWay,omitempty"`
	// Queued: the work has not begun, because a limit on parallel work is reached. Its
	// deadline begins with the work.
	Queued bool `json:"queued,omitempty"`
}

// Name is what the work waits for, with the name of its task: "the clone of
// ubuntu-22.04 (UPID:…)".
func (w *Wait) Name() string {
	if w.Task == "" {
		return w.For
	}
	return w.For + " (" + w.Task + ")"
}
