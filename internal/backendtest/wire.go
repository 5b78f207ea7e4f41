package backendtest

import (
	"errors"
	"sync"
)

// errBroken is what a client reads when the connection breaks.
var errBroken = errors.New("the connection broke")

// Wire is the connection of one engine. A Lab's transport carries every request
// through it, so that requests can be counted, lost, and met by somebody else's
// change.
type Wire struct {
	mu       sync.Mutex
	requests int
	writes   int
	cut      Cut
	lost     int    // requests that were lost
	unsure   int    // those of them that write
	meets    func() // happens before the next write
	gate     func() // is passed by each request on its way there, and by its answer
}

// Cut says which request of a Wire is lost, and how.
type Cut struct {
	At    int  // the request, from 1; 0 for none
	Late  bool // it is carried out, and the answer is lost
	Kills bool // all after it are lost too: the process is dead
}

// Carry carries one request: it calls do, which sends it and reads the answer.
// write reports whether it may change something.
func (w *Wire) Carry(write bool, do func() error) error {
	lost, late := w.begin(write)
	if lost && !late {
		return errBroken
	}
	if w.gate != nil {
		w.gate()
		defer w.gate()
	}
	if meets := w.met(write); meets != nil {
		meets()
	}
	if err := do(); err != nil {
		return err
	}
	if lost {
		return errBroken
	}
	return nil
}

// loses has a request lost, counted from now on.
func (w *Wire) loses(cut Cut) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.cut.At = cut, w.requests+cut.At
}

// begin counts a request, and tells what becomes of it.
func (w *Wire) begin(write bool) (lost, late bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests++
	if write {
		w.writes++
	}
	dead := w.cut.Kills && w.cut.At > 0 && w.requests > w.cut.At
	lost = dead || w.requests == w.cut.At
	if lost {
		w.lost++
	}
	if lost && write {
		w.unsure++
	}
	return lost, w.cut.Late && !dead
}

func (w *Wire) met(write bool) func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	meets := w.meets
	if !write || meets == nil {
		return nil
	}
	w.meets = nil
	return meets
}

// counted is how many requests wrote so far, and how many of those were lost.
func (w *Wire) counted() (writes, unsure int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writes, w.unsure
}

// wasCut reports whether the request of the cut was reached.
func (w *Wire) wasCut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost > 0
}

// dead reports whether the process is.
func (w *Wire) dead() bool { return w.cut.Kills && w.wasCut() }
