// Package run runs the commands of a guest: apt-get, modprobe, nvidia-smi and others. Each
// has a timeout, and its output is bounded.
package run

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/shell"
)

// MaxOutput is how much of the output of a command is kept, in bytes: its end.
const MaxOutput = 32 << 10

// Command is a command to run, without a shell.
type Command struct {
	Name    string // of a program in the directories of the system
	Args    []string
	Env     []string // in addition to PATH, LC_ALL and HOME
	Timeout time.Duration
}

// String is the command line, as a person types it.
func (c Command) String() string {
	words := []string{c.Name}
	for _, arg := range c.Args {
		word, ok := shell.Argument(arg)
		if !ok {
			return shell.Untypable
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// State says how a command ended.
type State string

// The states.
const (
	Ended    State = "Ended"    // with an exit code
	NotFound State = "NotFound" // there is no such program
	TimedOut State = "TimedOut" // and was killed
	Broken   State = "Broken"   // it could not be started, or a signal ended it
)

// Result is the result of a command.
type Result struct {
	State  State
	Code   int    // exit code, if it ended
	Output string // the end of what it wrote to both streams
	Why    string // the reason, if it is Broken
}

// OK reports whether the command ended with exit code 0.
func (r Result) OK() bool { return r.State == Ended && r.Code == 0 }

// Problem says in one line why the command failed: its last line of output, or what
// happened to it.
func (r Result) Problem(c Command) string {
	switch r.State {
	case NotFound:
		return c.Name + " is not installed"
	case TimedOut:
		return fmt.Sprintf("%s did not end within %s", c.Name, c.Timeout)
	case Broken:
		return c.Name + ": " + r.Why
	case Ended:
	}
	return fmt.Sprintf("%s ended with exit code %d: %s", c.Name, r.Code, r.lastLine())
}

// lastLine is the last line of the output that is an error, or else the last one.
func (r Result) lastLine() string {
	last := "no output"
	isError := false
	for line := range strings.Lines(r.Output) {
		line = strings.TrimSpace(line)
		// apt-get and dpkg begin errors with "E: " and "dpkg: error", and may write more.
		errorLine := strings.HasPrefix(line, "E: ") || strings.Contains(line, "error") || strings.Contains(line, "ERROR")
		if line == "" || isError && !errorLine {
			continue
		}
		last, isError = line, errorLine
	}
	return last
}

// Runner runs commands.
type Runner interface {
	Run(ctx context.Context, c Command) Result
}
