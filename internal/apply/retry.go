package apply

import (
	"fmt"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
)

// How long trouble is borne that may pass by itself: a few tries while nothing
// goes on, and much longer while the hypervisor works on the step and only does
// not answer. A large server takes ten minutes to reboot.
const (
	troubleTries  = 4
	silentLimit   = 15 * time.Minute
	silentPause   = 10 * time.Second
	troublePause  = 3 * time.Second // after the first try; it grows with the square
	underWayWords = "the host to answer again"
)

// trouble is the one policy of trying again: what is busy or does not answer is
// asked again after a pause, everything else is an error at once.
type trouble struct {
	tries int              // without an answer, in a row
	busy  int              // how often the step was refused, in all
	last  *hypervisor.Wait // the last that was heard
	heard time.Time        // when that was
}

// over notes that the step answered.
func (t *trouble) over(wait *hypervisor.Wait) {
	t.tries, t.last, t.heard = 0, wait, time.Now()
}

// bear makes a Wait of an error that may pass.
func (t *trouble) bear(err error, now time.Time) (*hypervisor.Wait, error) {
	switch fault.KindOf(err) {
	case fault.Busy:
		return t.refused(err)
	case fault.Unavailable:
		return t.silent(err, now)
	}
	return nil, err
}

// refused bears an error of a hypervisor that answers: nothing goes on of the step,
// which begins anew.
func (t *trouble) refused(err error) (*hypervisor.Wait, error) {
	t.last = nil
	if t.busy++; t.busy >= troubleTries {
		return nil, err
	}
	return &hypervisor.Wait{For: fmt.Sprintf("another try: %v", err), Again: pauseAfter(t.busy)}, nil
}

// silent bears an error of a hypervisor that does not answer. What it was heard to
// work on last may go on meanwhile.
func (t *trouble) silent(err error, now time.Time) (*hypervisor.Wait, error) {
	t.tries++
	if t.last != nil && t.last.UnderWay {
		if now.Sub(t.heard) > silentLimit {
			return nil, err
		}
		return &hypervisor.Wait{
			For: fmt.Sprintf("%s (%v)", underWayWords, err), Again: silentPause, Handle: t.last.Handle, UnderWay: true,
		}, nil
	}
	if t.tries >= troubleTries {
		return nil, err
	}
	wait := &hypervisor.Wait{For: fmt.Sprintf("another try: %v", err), Again: pauseAfter(t.tries)}
	if t.last != nil {
		wait.Handle = t.last.Handle
	}
	return wait, nil
}

func pauseAfter(tries int) time.Duration { return time.Duration(tries*tries) * troublePause }
