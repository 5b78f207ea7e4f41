package cli

import (
	"context"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/term"
)

// watchInterrupts ends the context at the first signal, and the process at the
// second. stop ends the watching.
func (a *app) watchInterrupts(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	done := make(chan struct{})
	go func() {
		for first := true; ; first = false {
			select {
			case <-done:
				return
			case <-a.Interrupts:
			}
			if !first {
				a.Exit(fault.ExitInterrupted)
				return
			}
			a.tellInterrupted()
			cancel()
		}
	}()
	return ctx, func() {
		close(done)
		cancel()
	}
}

// tellInterrupted says what is still in flight, and that nothing is lost.
func (a *app) tellInterrupted() {
	p := a.paint(a.Err)
	say := func(inFlight []string) term.Text {
		a.logger().Info("interrupted", "underWay", strings.Join(inFlight, ", "))
		text := p.Yellow("Interrupted.")
		if len(inFlight) > 0 {
			text += " Still under way: " + term.List(inFlight, term.MaxListed) + "."
		}
		return text + "\nThe same command goes on where this one stops. Press Ctrl-C again to leave at once."
	}
	a.mu.Lock()
	running := a.running
	a.mu.Unlock()
	switch {
	case running != nil:
		running.interrupted(say)
		return
	case !a.forPeople():
		say(nil)
		return
	}
	term.Fprintln(a.Err, "\n"+p.Yellow("Interrupted.")+" Press Ctrl-C again to leave at once.")
}

// setRunning says whose progress is shown from now on; nil for nobody's.
func (a *app) setRunning(p *progress) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running = p
}
