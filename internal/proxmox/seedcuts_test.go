package proxmox

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/thorough"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// dying is the network of an engine that is killed after some requests. The last one is
// carried out, and its answer is lost.
type dying struct {
	next http.RoundTripper
	mu   sync.Mutex
	left int
}

func (d *dying) RoundTrip(request *http.Request) (*http.Response, error) {
	d.mu.Lock()
	d.left--
	left := d.left
	d.mu.Unlock()
	if left < 0 {
		return nil, errors.New("the process is dead")
	}
	answer, err := d.next.RoundTrip(request)
	if err == nil && left == 0 {
		_ = answer.Body.Close()
		return nil, errors.New("the process is dead")
	}
	return answer, err
}

func (d *dying) dead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left < 0
}

// TestSeedsAreRemovedByAnEngineThatIsKilled does with the right to remove images what the
// conformance suite does without it.
func TestSeedsAreRemovedByAnEngineThatIsKilled(t *testing.T) {
	points := 0
	for at, died := 1, true; died && !t.Failed(); at += thorough.Every {
		seeded(t, mayRemove, func(s *seeding) {
			second := s.b
			wire := &dying{next: s.sim.Transport(), left: at}
			s.b = openOver(s.T, wire, tokenOf(s.T, world(s.T), "gpuworker@pve!engine"))
			err := s.exchangeAndRemove()
			died = wire.dead()
			if died {
				points++
				s.b = second
				time.Sleep(time.Minute)
				err = s.exchangeAndRemove()
			}
			if err != nil {
				s.Errorf("killed after request %d: %v", at, err)
			}
			s.want("at the end", s.images(), nil)
		})
	}
	if least := 30; points*thorough.Every < least { // under the race detector only every seventh is run
		t.Errorf("only %d cut points", points)
	}
}

// exchangeAndRemove gives the worker its two seeds, while it is stopped, and removes them.
func (s *seeding) exchangeAndRemove() error {
	for _, do := range []func() error{
		func() error { return s.set(false, image(canary)) },
		func() error { return s.set(true, image("clean")) },
		func() error { return s.remove(image("blank")) },
	} {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// An upload for another host than the one of the endpoint can be lost on its way.
func TestAnUploadThatIsLost(t *testing.T) {
	seeded(t, nil, func(s *seeding) {
		must(s.T, s.sim.Inject(pvesim.Fault{Method: "POST", Path: "/upload$", Effect: pvesim.UploadLost}))
		if err := s.set(false, image("first")); !strings.Contains(fault.FixOf(err), "spec.proxmox.endpoint") {
			s.Errorf("it is not explained: %s %v: %s", fault.KindOf(err), err, fault.FixOf(err))
		}
		must(s.T, s.set(false, image("first")))
		s.want("at last", s.images(), []string{firstImage + " (first)"})
	})
}
