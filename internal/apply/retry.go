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
	tries int
	last  *hypervisor.Wait // the last that was heard
	heard time.Time        // when that was
}

// over notes that the step answered.
func (t *trouble) over(wait *hypervisor.Wait) { *t = trouble{last: wait, heard: time.Now()} }

// bear makes a Wait of an error that may pass.
func (t *trouble) bear(err error, now time.Time) (*hypervisor.Wait, error) {
	kind := fault.KindOf(err)
	if kind != fault.Busy && kind != fault.Unavailable {
		return nil, err
	}
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
	wait := &hypervisor.Wait{For: fmt.Sprintf("another try: %v", err), Again: time.Duration(t.tries*t.tries) * troublePause}
	if t.last != nil {
		wait.Handle = t.last.Handle
	}
	return wait, nil
}
