package proxmox

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// shared is a read that many callers need at the same time. One read serves all
// callers that asked before it began: for each of them the result is new enough.
// Each reader uses its own context, so that a caller that gave up stops no other.
type shared[T any] struct {
	turn  chan struct{} // held by the reader
	asked atomic.Uint64 // number of calls

	// Guarded by turn: the last result, and the last call that it serves.
	served uint64
	value  T
	err    error
}

func newShared[T any]() *shared[T] { return &shared[T]{turn: make(chan struct{}, 1)} }

// get returns a result that was read after the call. Callers share errors too,
// except when the reader's own context ended.
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

// forEach calls do for each item, with up to hostRequests calls at once for each
// host, so that all hosts work in parallel. The client limits the total. The first
// error ends it.
func forEach[T any](ctx context.Context, items []T, host func(T) string, do func(context.Context, T) error) error {
	byHost := map[string][]T{}
	for _, item := range items {
		byHost[host(item)] = append(byHost[host(item)], item)
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, onHost := range byHost {
		var next atomic.Int64
		for range min(hostRequests, len(onHost)) {
			g.Go(func() error {
				for i := next.Add(1) - 1; int(i) < len(onHost); i = next.Add(1) - 1 {
					if err := do(gctx, onHost[i]); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	return g.Wait()
}

// keyed are shared reads by key.
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
