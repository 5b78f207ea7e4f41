package apply

import (
	"fmt"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
)

// Temporary errors are retried a few times; but while the hypervisor works on the
// step by itself and only does not answer, calls are retried for much longer: a large
// server takes ten minutes to reboot.
const (
	maxTries      = 4
	silentLimit   = 15 * time.Minute
	silentPause   = 10 * time.Second
	firstPause    = 3 * time.Second // after the first try; it grows with the square
	underWayWords = "the host to answer again"
)

// retry is the one retry policy: a step that is busy or does not answer is called
// again after a pause; every other error fails at once.
type retry struct {
	tries    int              // consecutive calls without an answer
	busy     int              // number of Busy errors
	last     *hypervisor.Wait // of the last answer
	answerAt time.Time        // time of the last answer
}

// answered notes that the step answered.
func (r *retry) answered(wait *hypervisor.Wait) {
	r.tries, r.last, r.answerAt = 0, wait, time.Now()
}

// after returns a Wait for a temporary error, and other errors as they are.
func (r *retry) after(err error, now time.Time) (*hypervisor.Wait, error) {
	switch fault.KindOf(err) {
	case fault.Busy:
		return r.afterBusy(err)
	case fault.Unavailable:
		return r.afterSilence(err, now)
	default:
		return nil, err
	}
}

// afterBusy handles a Busy error: no work of the step is under way, so the step begins
// again.
func (r *retry) afterBusy(err error) (*hypervisor.Wait, error) {
	r.last = nil
	if r.busy++; r.busy >= maxTries {
		return nil, err
	}
	return &hypervisor.Wait{For: fmt.Sprintf("another try: %v", err), CallAfter: pauseAfter(r.busy)}, nil
}

// afterSilence handles an Unavailable error. Work that was under way at the last
// answer may go on.
func (r *retry) afterSilence(err error, now time.Time) (*hypervisor.Wait, error) {
	r.tries++
	if r.last != nil && r.last.UnderWay {
		if now.Sub(r.answerAt) > silentLimit {
			return nil, err
		}
		return &hypervisor.Wait{
			For: fmt.Sprintf("%s (%v)", underWayWords, err), CallAfter: silentPause, Handle: r.last.Handle, UnderWay: true,
		}, nil
	}
	if r.tries >= maxTries {
		return nil, err
	}
	wait := &hypervisor.Wait{For: fmt.Sprintf("another try: %v", err), CallAfter: pauseAfter(r.tries)}
	if r.last != nil {
		wait.Handle = r.last.Handle
	}
	return wait, nil
}

func pauseAfter(tries int) time.Duration { return time.Duration(tries*tries) * firstPause }
