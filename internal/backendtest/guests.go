package backendtest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
)

// GuestReaction is how the guest of a running VM reacts to calls.
type GuestReaction string

// The reactions.
const (
	GuestAnswers GuestReaction = ""
	GuestSilent  GuestReaction = "silent"  // it does not answer
	GuestForbids GuestReaction = "forbids" // it forbids files and commands
)

const guestFile = "/tmp/gpuworker-test"

// The methods of Guests, as calls that must not reach the guest of another VM.
var (
	writeGuest = call{"write a file in the guest", func(ctx context.Context, e *engine, w *worker, _ hypervisor.Handle) (*hypervisor.Wait, error) {
		return nil, e.b.WriteGuest(ctx, w.ref, guestFile, []byte("written"))
	}}
	runInGuest = call{"run a command in the guest", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		_, wait, err := e.b.RunInGuest(ctx, w.ref, []string{"true"}, h)
		return wait, err
	}}
)

// run runs a command in a guest to its end.
func (e *engine) run(w *worker, words ...string) (result *hypervisor.GuestResult, err error) {
	e.Helper()
	err = e.do(call{"run a command in the guest", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (wait *hypervisor.Wait, err error) {
		result, wait, err = e.b.RunInGuest(ctx, w.ref, words, h)
		if (result == nil) == (wait == nil && err == nil) {
			e.Errorf("the result is %+v, with the Wait %+v and the error %v", result, wait, err)
		}
		return wait, err
	}}, w)
	return result, err
}

// guests are scenarios about calls that reach the guest.
func (s suite) guests(t *testing.T) {
	s.scene(t, "files", func(s *scenario) {
		e, w := s.complete()
		s.files(e, w)
	})
	s.scene(t, "commands", func(s *scenario) {
		e, w := s.complete()
		e.must(w, writeGuest)
		result, err := e.run(w, "cat", guestFile, "/nope")
		if err != nil || result.ExitCode != 1 || result.Out != "written" || !strings.Contains(result.Err, "/nope") {
			s.Errorf("cat ends with %+v, %v", result, err)
		}
		if result, err = e.run(w, "false"); err != nil || result.ExitCode != 1 {
			s.Errorf("false ends with %+v, %v", result, err)
		}
		e.loses = new(1)
		if result, err = e.run(w, "true"); err != nil || result.ExitCode != 0 {
			s.Errorf("true, with a handle that is lost, ends with %+v, %v", result, err)
		}
	})
	s.scene(t, "a request is lost", func(s *scenario) {
		e, w := s.complete()
		e.must(w, writeGuest)
		e.retries = true
		for at := 1; at <= 4; at++ {
			for _, late := range []bool{false, true} {
				e.wire.loses(Cut{At: at, Late: late})
				if result, err := e.run(w, "cat", guestFile); err != nil || result.Out != "written" {
					s.Errorf("request %d, late %v: %+v, %v", at, late, result, err)
				}
			}
		}
	})
	for name, tc := range map[string]struct {
		change func(*scenario, *engine, *worker)
		kind   fault.Kind
	}{
		"silent":  {func(s *scenario, _ *engine, w *worker) { s.lab.Guest(w.ref.ID, GuestSilent) }, fault.Unavailable},
		"off":     {func(_ *scenario, e *engine, w *worker) { e.must(w, stop) }, fault.Unavailable},
		"forbids": {func(s *scenario, _ *engine, w *worker) { s.lab.Guest(w.ref.ID, GuestForbids) }, fault.Denied},
		"gone":    {func(s *scenario, _ *engine, w *worker) { s.lab.Remove(w.ref.ID) }, fault.NotFound},
	} {
		s.scene(t, "the guest is "+name, func(s *scenario) {
			e, w := s.complete()
			e.must(w, writeGuest)
			tc.change(s, e, w)
			for _, c := range []call{writeGuest, runInGuest} {
				_ = e.refused(w, c, tc.kind)
			}
			byGuest := name != "gone"
			_, err := e.b.ReadGuest(context.Background(), w.ref, guestFile, 10)
			e.checkError("read a file", err)
			e.isOneOf("read a file", err, tc.kind)
			if hypervisor.IsByGuest(err) != byGuest {
				s.Errorf("the cause is in the guest: %v, want %v: %v", !byGuest, byGuest, err)
			}
		})
	}
	s.scene(t, "a command goes on after the guest was silent", func(s *scenario) {
		e, w := s.complete()
		wait, err := e.once(runInGuest, w, "")
		if wait == nil || err != nil {
			s.Fatalf("the command is not under way: %+v, %v", wait, err)
		}
		s.lab.Guest(w.ref.ID, GuestSilent)
		if _, err := e.once(runInGuest, w, wait.Handle); !fault.Is(err, fault.Unavailable) {
			s.Errorf("silent: %v", err)
		}
		s.lab.Guest(w.ref.ID, GuestAnswers)
		e.must(w, runInGuest)
	})
}

// files writes and reads files in the guest.
func (s *scenario) files(e *engine, w *worker) {
	s.Helper()
	ctx := context.Background()
	for _, content := range [][]byte{[]byte("first"), []byte("x"), {}, {0, 0xff, '\n'}, bytes.Repeat([]byte("gpuworker"), s.can.GuestFile/9)} {
		if err := e.b.WriteGuest(ctx, w.ref, guestFile, content); err != nil {
			s.Fatalf("%d bytes: %v", len(content), err)
		}
		got, err := e.b.ReadGuest(ctx, w.ref, guestFile, 1<<20)
		if err != nil || !bytes.Equal(got, content) {
			s.Errorf("wrote %d bytes, read %d (%v)", len(content), len(got), err)
		}
	}
	if got, err := e.b.ReadGuest(ctx, w.ref, guestFile, 9); err != nil || string(got) != "gpuworker" {
		s.Errorf("the first 9 bytes are %q, %v", got, err)
	}
	_, err := e.b.ReadGuest(ctx, w.ref, "/tmp/nope", 9)
	e.checkError("read a missing file", err)
	e.isOneOf("read a missing file", err, fault.NotFound)
	err = e.b.WriteGuest(ctx, w.ref, guestFile, make([]byte, s.can.GuestFile+1))
	e.checkError("write too much", err)
	e.isOneOf("write too much", err, fault.Invalid)
	var f *fault.Error
	if errors.As(err, &f) && strings.Contains(f.Error(), "\x00") {
		s.Error("the error has the content")
	}
}
