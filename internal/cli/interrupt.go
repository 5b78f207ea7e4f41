package cli

import (
	"context"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/term"
)

// watchInterrupts cancels the context at the first signal, and ends the process at the
// second one. stop ends the watching.
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
			a.reportInterrupt()
			cancel()
		}
	}()
	return ctx, func() {
		close(done)
		cancel()
	}
}

// reportInterrupt prints which steps are still running, and how to continue.
func (a *app) reportInterrupt() {
	p := a.paint(a.Err)
	say := func(inFlight []string) term.Text {
		a.logger().Info("interrupted", "underWay", strings.Join(inFlight, ", "))
		text := p.Yellow("Interrupted.")
		if len(inFlight) > 0 {
			text += " Still running: " + term.List(inFlight, term.MaxListed) + "."
		}
		return text + "\nThe same command continues where this one stops. Press Ctrl-C again to exit at once."
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
	term.Fprintln(a.Err, "\n"+p.Yellow("Interrupted.")+" Press Ctrl-C again to exit at once.")
}

// setRunning sets the progress that an interrupt reports; nil for none.
func (a *app) setRunning(p *progress) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running = p
}
