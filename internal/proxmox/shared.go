package proxmox

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// shared is a read that many ask for at once. Its answer serves all who asked
// before it began: to each of them it is as fresh as one of their own. Nobody
// reads on behalf of somebody who has given up: who has the turn reads with his
// own context.
type shared[T any] struct {
	turn  chan struct{} // held by who reads
	asked atomic.Uint64 // how often it was asked for

	// Guarded by the turn: the last answer, and up to which asking it serves.
	served uint64
	value  T
	err    error
}

func newShared[T any]() *shared[T] { return &shared[T]{turn: make(chan struct{}, 1)} }

// get gives an answer that was read after the call. An error serves the others
// too, unless it is that the reader's own context ended.
func (s *shared[T]) get(ctx context.Context, read func(context.Context) (T, error)) (T, error) {
	number := s.asked.Add(1)
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
	if number <= s.served {
		return s.value, s.err
	}
	serves := s.asked.Load()
	value, err := read(ctx)
	if err != nil && ctx.Err() != nil {
		return value, err
	}
	s.served, s.value, s.err = serves, value, err
	return value, err
}

// spread does something for each of many things that are on hosts, with as many
// at once on a host as it has workers, so that all hosts are busy whatever the
// order. The client bounds them over all. The first error ends it.
func spread[T any](ctx context.Context, things []T, host func(T) string, do func(context.Context, T) error) error {
	of := map[string][]T{}
	for _, thing := range things {
		of[host(thing)] = append(of[host(thing)], thing)
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, here := range of {
		var next atomic.Int64
		for range min(hostRequests, len(here)) {
			g.Go(func() error {
				for i := next.Add(1) - 1; int(i) < len(here); i = next.Add(1) - 1 {
					if err := do(gctx, here[i]); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	return g.Wait()
}

// keyed are shared reads of one kind, each of something else.
type keyed[T any] struct {
	mu    sync.Mutex
	reads map[string]*shared[T]
}

func newKeyed[T any]() *keyed[T] { return &keyed[T]{reads: map[string]*shared[T]{}} }

func (k *keyed[T]) of(key string) *shared[T] {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reads[key] == nil {
		k.reads[key] = newShared[T]()
	}
	return k.reads[key]
}
