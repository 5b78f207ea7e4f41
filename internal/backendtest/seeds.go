package backendtest

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// secret is in first seeds only.
const secret = "canary-5e0f"

// image is what stands for the ISO image of a seed. All images have the same size.
func image(w *worker, text string) []byte {
	const size = 4096
	data := make([]byte, size)
	copy(data, text+" of "+w.record.UUID)
	return data
}

func firstImage(w *worker) []byte { return image(w, secret) }

// The methods of a Seeder.
var (
	// setFirst does what an engine does: it does not set the first seed of a VM that runs or
	// that has the clean one.
	setFirst = call{"set the first seed", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		vm, err := e.b.ObserveVM(ctx, w.ref)
		if err != nil || vm != nil && (vm.Running || vm.Seed == inventory.CleanSeed) {
			return nil, err
		}
		return seedCall(firstImage, false).do(ctx, e, w, h)
	}}
	setClean    = seedCall(func(w *worker) []byte { return image(w, "clean") }, true)
	removeSeeds = call{"remove the seeds", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return e.b.RemoveSeeds(ctx, w.ref, image(w, "blank"), h)
	}}
)

func seedCall(content func(*worker) []byte, clean bool) call {
	return call{"set the seed", func(ctx context.Context, e *engine, w *worker, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return e.b.SetSeed(ctx, w.ref, hypervisor.Seed{Clean: clean, Image: content(w)}, h)
	}}
}

// seeds are scenarios about seeds. The life of a worker, and all lost requests of it, are
// in life and cuts.
func (s suite) seeds(t *testing.T) {
	s.scene(t, "of a stopped VM", func(s *scenario) {
		e, w := s.made()
		s.twice(e, w, seedCall(firstImage, false))
		s.hasSeed(w, inventory.FirstSeed, firstImage(w))
		other := func(w *worker) []byte { return image(w, "other") }
		s.twice(e, w, seedCall(other, false))
		s.hasSeed(w, inventory.FirstSeed, other(w))
		s.twice(e, w, setClean, removeSeeds)
		s.noSecret(w)
	})
	s.scene(t, "the same image again is no write", func(s *scenario) {
		e, w := s.made()
		for _, c := range []call{seedCall(firstImage, false), setClean} {
			e.must(w, c)
			before, _ := e.wire.counted()
			e.must(w, c)
			if after, _ := e.wire.counted(); after != before {
				s.Errorf("%s for the second time made %d writes", c.name, after-before)
			}
		}
	})
	s.scene(t, "not of a VM that runs without it", func(s *scenario) {
		e, w := s.made()
		e.must(w, attach, start)
		_ = e.refused(w, seedCall(firstImage, false), fault.Refused)
		if images := s.lab.Seeds(w.ref); len(images) > 0 {
			s.Errorf("there are %d images", len(images))
		}
	})
	s.scene(t, "exchanged while the VM runs", func(s *scenario) {
		e, w := s.made()
		e.must(w, attach, setFirst, start, agent)
		s.hasSeed(w, inventory.FirstSeed, firstImage(w))
		_ = e.refused(w, removeSeeds, fault.Refused)
		s.twice(e, w, setClean)
		s.hasSeed(w, inventory.CleanSeed, image(w, "clean"))
		s.noSecret(w)
		e.must(w, stop, start)
		s.hasSeed(w, inventory.CleanSeed, image(w, "clean"))
	})
	s.scene(t, "of a VM that is gone", func(s *scenario) {
		e, w := s.made()
		e.must(w, setFirst)
		s.lab.Remove(w.ref.ID)
		s.twice(e, w, removeSeeds)
		s.noSecret(w)
	})
	s.scene(t, "of two engines at once", (*scenario).twoSeeds)
	s.scene(t, "seen by Observe", func(s *scenario) {
		e, w := s.made()
		if images := s.seedImages(); len(images) > 0 {
			s.Errorf("at first there are %+v", images)
		}
		e.must(w, setFirst)
		images := s.seedImages()
		if len(images) != 1 || images[0].UUID != w.record.UUID || images[0].Clean || images[0].Volume == "" || images[0].Size == 0 {
			s.Errorf("the first seed is seen as %+v", images)
		}
		e.must(w, setClean)
		for _, seed := range s.seedImages() {
			if !seed.Clean || seed.UUID != w.record.UUID {
				s.Errorf("after the exchange there is %+v", seed)
			}
		}
	})
}

// twoSeeds lets two engines set different seeds of one VM. Either may win, but afterwards
// each gets its own, and no image is a mixture.
func (s *scenario) twoSeeds() {
	_, w := s.made()
	texts := []string{"one", "two"}
	done := make(chan error, len(texts))
	for _, text := range texts {
		go func() {
			done <- s.engine("ops@"+text).do(seedCall(func(w *worker) []byte { return image(w, text) }, false), w)
		}()
	}
	for range texts {
		if err := <-done; err != nil {
			s.Errorf("an engine lost: %v", err)
		}
	}
	images := s.lab.Seeds(w.ref)
	if len(images) != 1 || !bytes.HasPrefix(images[0], image(w, "one")) && !bytes.HasPrefix(images[0], image(w, "two")) {
		s.Errorf("there are %d images: %.40q", len(images), images)
	}
	for _, text := range texts {
		content := func(w *worker) []byte { return image(w, text) }
		s.engine("ops@"+text).must(w, seedCall(content, false))
		s.hasSeed(w, inventory.FirstSeed, content(w))
	}
}

func (s *scenario) seedImages() []inventory.SeedImage {
	s.Helper()
	snapshot, err := s.lab.Open(&Wire{}).Observe(context.Background(), hypervisor.Scope{Seeds: true})
	if err != nil {
		s.Fatal(err)
	}
	return snapshot.Seeds
}

// hasSeed fails the test unless the worker's VM has this seed, and no drive besides.
func (s *scenario) hasSeed(w *worker, state inventory.SeedState, content []byte) {
	s.Helper()
	if vm := s.vm(w); vm.Seed != state || vm.CloudInit {
		s.Errorf("the VM has seed %q, want %q; a cloud-init drive besides: %v", vm.Seed, state, vm.CloudInit)
	}
	for _, is := range s.lab.Seeds(w.ref) {
		if bytes.Equal(is, content) {
			return
		}
	}
	s.Errorf("no image is %.20q: %.20q", content, s.lab.Seeds(w.ref))
}

// noSecret fails the test if an image on the hypervisor has the secret of a first seed.
func (s *scenario) noSecret(w *worker) {
	s.Helper()
	time.Sleep(time.Minute) // so that late requests arrive
	for _, is := range s.lab.Seeds(w.ref) {
		if bytes.Contains(is, []byte(secret)) {
			s.Errorf("an image of %s still has its secret", w.record.Worker)
		}
	}
}
