package backendtest

import (
	"errors"
	"sync"
)

// errBroken is what a client reads when the connection breaks.
var errBroken = errors.New("the connection broke")

// Wire is the connection of one engine. A Lab's transport sends every request through
// it, so that requests can be counted and lost, and somebody else can change something
// just before a write.
type Wire struct {
	mu          sync.Mutex
	requests    int
	writes      int
	cut         Cut
	lost        int    // number of lost requests
	unsure      int    // number of lost requests that write
	beforeWrite func() // called once before the next write
	delay       func() // called before each request and before its answer
}

// Cut says which request of a Wire is lost, and how.
type Cut struct {
	At    int  // number of the request, from 1; 0 for none
	Late  bool // it is carried out, but the answer is lost
	Kills bool // all later requests are lost too: the process is dead
}

// Carry handles one request: do sends it and reads the answer. write reports whether
// the request may change something.
func (w *Wire) Carry(write bool, do func() error) error {
	lost, late := w.begin(write)
	if lost && !late {
		return errBroken
	}
	if w.delay != nil {
		w.delay()
		defer w.delay()
	}
	if before := w.takeBeforeWrite(write); before != nil {
		before()
	}
	if err := do(); err != nil {
		return err
	}
	if lost {
		return errBroken
	}
	return nil
}

// loses makes a request be lost; cut.At counts from now on.
func (w *Wire) loses(cut Cut) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.cut.At = cut, w.requests+cut.At
}

// begin counts a request, and reports whether it is lost.
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

func (w *Wire) takeBeforeWrite(write bool) func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.beforeWrite
	if !write || before == nil {
		return nil
	}
	w.beforeWrite = nil
	return before
}

// counted is the number of requests that write, and how many of them were lost.
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

// dead reports whether the process is dead.
func (w *Wire) dead() bool { return w.cut.Kills && w.wasCut() }
