package backendtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// callLimit is the limit for one call; patience and maxCalls are the limits for all
// calls of one method until it is done.
const (
	callLimit = 45 * time.Second
	patience  = time.Hour
	maxCalls  = 2000
)

// scenario is one test on one simulated hypervisor.
type scenario struct {
	*testing.T
	lab Lab
	set Setting
	can inventory.Capabilities
}

// engine is an engine that works on the hypervisor of the scenario.
type engine struct {
	*scenario
	b    hypervisor.Backend
	wire *Wire
	by   string

	loses   *int // counts Waits: it loses the handle of every second one; nil loses none
	retries bool // it retries after errors, as an engine and a person do
}

func (s *scenario) engine(by string) *engine {
	wire := &Wire{}
	return &engine{scenario: s, b: s.lab.Open(wire), wire: wire, by: by}
}

// call is one call of a backend's method.
type call struct {
	name string
	do   func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error)
}

// once makes one call and checks it against the rules for every call.
func (e *engine) once(c call, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
	e.Helper()
	writes, unsure := e.wire.counted()
	began := time.Now()
	wait, err := c.do(context.Background(), e, w, h)
	if took := time.Since(began); took > callLimit {
		e.Errorf("%s: one call took %s", c.name, took)
	}
	nowWrites, nowUnsure := e.wire.counted()
	if n := nowWrites - writes; n > 1 {
		e.Errorf("%s: one call sent %d requests that write", c.name, n)
	}
	if wait != nil && wait.CallAfter > 0 && wait.For == "" {
		e.Errorf("%s: waits %s for nothing", c.name, wait.CallAfter)
	}
	if wait != nil && err != nil {
		e.Errorf("%s: gave a Wait and the error %v", c.name, err)
	}
	e.checkError(c.name, err)
	if err != nil && nowUnsure > unsure && !e.wire.cut.Kills {
		e.Errorf("%s: a write that may have arrived must be a Wait and not an error: %v", c.name, err)
	}
	return wait, err
}

// checkError checks an error against the rules for every error.
func (e *engine) checkError(what string, err error) {
	e.Helper()
	var f *fault.Error
	switch {
	case err == nil:
	case !errors.As(err, &f), fault.KindOf(err) == fault.Unknown:
		e.Errorf("%s: an error without a kind: %v", what, err)
	case fault.FixOf(err) == "":
		e.Errorf("%s: an error without a next step: %v", what, err)
	}
}

// do calls a method until it is done.
func (e *engine) do(c call, w *worker) error {
	e.Helper()
	var h hypervisor.Handle
	began, tries := time.Now(), 0
	for n := 0; n < maxCalls && time.Since(began) < patience; n++ {
		wait, err := e.once(c, w, h)
		switch {
		case err == nil && wait == nil:
			return nil
		case err == nil:
			time.Sleep(max(wait.CallAfter, time.Millisecond))
			h = e.kept(wait.Handle)
		case tries < 20 && e.isTemporary(c, w, h, err):
			tries++
			if !fault.Is(err, fault.Unavailable) {
				h = "" // nothing is under way any more
			}
			time.Sleep(5 * time.Second)
		default:
			return err
		}
	}
	return fmt.Errorf("%s: still waiting after %s", c.name, time.Since(began))
}

// kept is the handle, or "" when it is lost. Not every handle is lost: where two
// writes belong together, the second one needs it.
func (e *engine) kept(h hypervisor.Handle) hypervisor.Handle {
	if e.loses == nil {
		return h
	}
	*e.loses++
	if *e.loses%2 == 0 {
		return ""
	}
	return h
}

// isTemporary reports whether an engine goes on after the error. Where a running clone
// does not show its owner, it is a foreign one for a call without a handle: the engine
// then waits and reads again.
func (e *engine) isTemporary(c call, w *worker, h hypervisor.Handle, err error) bool {
	kind := fault.KindOf(err)
	if c.name == clone.name && kind == fault.Exists && h == "" && (e.loses != nil || e.retries) {
		vm, err := e.b.ObserveVM(context.Background(), w.ref)
		return err == nil && vm != nil && vm.State == inventory.Cloning
	}
	return e.retries && !e.wire.dead() && (kind == fault.Unavailable || kind == fault.Busy || kind == fault.Failed)
}

// must makes calls that must not fail.
func (e *engine) must(w *worker, calls ...call) {
	e.Helper()
	for _, c := range calls {
		if err := e.do(c, w); err != nil {
			e.Fatalf("%s of %s: %v", c.name, w.record.Worker, err)
		}
	}
}

// refused makes a call that must end with an error of one of the kinds and change
// nothing, and returns the error.
func (e *engine) refused(w *worker, c call, kinds ...fault.Kind) error {
	e.Helper()
	before := e.state()
	err := e.do(c, w)
	e.isOneOf(c.name, err, kinds...)
	e.same(c.name+", which was refused", before)
	return err
}

func (e *engine) isOneOf(what string, err error, kinds ...fault.Kind) {
	e.Helper()
	for _, kind := range kinds {
		if fault.Is(err, kind) {
			return
		}
	}
	e.Errorf("%s ends with %v (%q), want %q", what, err, fault.KindOf(err), kinds)
}
