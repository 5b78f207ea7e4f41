// Package action has the changes that seal and reset make: as data first, so that a dry
// run prints exactly what a run does.
package action

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/gpuworker/gpuworker/internal/guest/files"
	"github.com/gpuworker/gpuworker/internal/guest/run"
)

// Action is one change.
type Action struct {
	Verb Verb
	File string      // of Remove, Empty and Write; relative to the root
	Data []byte      // of Write
	Mode fs.FileMode // of Write
	Run  run.Command // of Run
	Why  string
}

// Verb says what an action does.
type Verb string

// The verbs.
const (
	Remove Verb = "remove"
	Empty  Verb = "empty"
	Write  Verb = "write"
	Run    Verb = "run"
)

// String says it in one line, without the reason.
func (a Action) String() string {
	if a.Verb == Run {
		return "run " + a.Run.String()
	}
	return string(a.Verb) + " /" + a.File
}

// Do does it.
func (a Action) Do(ctx context.Context, writer files.Writer, runner run.Runner) error {
	switch a.Verb {
	case Remove:
		return writer.Remove(a.File)
	case Empty:
		return writer.Write(a.File, nil, 0o444)
	case Write:
		return writer.Write(a.File, a.Data, a.Mode)
	case Run:
		if result := runner.Run(context.WithoutCancel(ctx), a.Run); !result.OK() {
			return fmt.Errorf("%s: %s", a, result.Problem(a.Run))
		}
		return nil
	}
	return fmt.Errorf("unknown verb %q", a.Verb)
}
