package apply

import (
	"time"

	"github.com/gpuworker/gpuworker/internal/plan"
)

// Event is one piece of progress.
type Event struct {
	Worker string        `json:"worker"`
	Step   plan.StepKind `json:"step"`
	Phase  Phase         `json:"phase"`
	// Detail is what the hypervisor is doing, or why the step failed.
	Detail string `json:"detail,omitempty"`
	// Took is how long the step took, when Phase is Done, Warned or Failed.
	Took time.Duration `json:"took,omitempty"`
	Time time.Time     `json:"time"`
}

// Phase is the state of a step.
type Phase string

// The phases of a step. Each step that began ends in one of the last four, or begins
// again when the worker had to go back to an earlier step.
const (
	Began   Phase = "began"
	Working Phase = "working"
	Done    Phase = "done"
	Warned  Phase = "warned"  // not done, but the worker runs without it
	Failed  Phase = "failed"  // the worker's later steps are skipped
	Stopped Phase = "stopped" // interrupted; the command can be run again
)

// Outcome is the result for one worker.
type Outcome struct {
	Worker string      `json:"worker"`
	Action plan.Action `json:"action"`
	Host   string      `json:"host,omitempty"`
	VM     string      `json:"vm,omitempty"`
	UUID   string      `json:"uuid,omitempty"` // of VM
	// Addresses are those of the guest, as reported by its agent.
	Addresses []string  `json:"addresses,omitempty"`
	Warnings  []Warning `json:"warnings,omitempty"`
	// Gap is how long a GPU worker was down: from the stop of the old VM to the
	// start of the new one.
	Gap time.Duration `json:"gap,omitempty"`
	// Step is the one that failed.
	Step plan.StepKind `json:"step,omitempty"`
	Err  error         `json:"-"`
	// Error and Fix are the texts of Err.
	Error string `json:"error,omitempty"`
	Fix   string `json:"fix,omitempty"`
}

// Warning says that a step was not done, but that the worker runs without it.
type Warning struct {
	Text string `json:"text"`
	Fix  string `json:"fix,omitempty"` // what to look at
}

// Result is the result of a plan.
type Result struct {
	Hypervisor string        `json:"hypervisor"`
	Outcomes   []Outcome     `json:"outcomes"`
	Took       time.Duration `json:"took"`
}

// Failed are the outcomes with an error.
func (r *Result) Failed() []Outcome {
	var failed []Outcome
	for _, o := range r.Outcomes {
		if o.Err != nil {
			failed = append(failed, o)
		}
	}
	return failed
}
