package plan

import (
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/place"
)

// requests are the declared cards of a pool, one entry for each worker.
func requests(pool *v1alpha1.WorkerPool) []*v1alpha1.GPURequest {
	var all []*v1alpha1.GPURequest
	for i := range pool.Spec.GPUs {
		for range pool.Spec.GPUs[i].Cards() {
			all = append(all, &pool.Spec.GPUs[i])
		}
	}
	return all
}

// matchCards finds for each worker that is there the request that it fulfils,
// by the card that it holds and not by its place in the list: taking a request
// out of the middle moves nobody else. The result has the index of the request
// for each member, -1 for none.
//
// Requests that name the card come first. For the others as many workers as
// possible find a request; a card that cannot be seen just now is given the
// benefit of the doubt, after all that can.
func matchCards(world *inventory.Snapshot, pool *v1alpha1.WorkerPool, members []*member) []int {
	wants := requests(pool)
	m := matching{mate: filled(len(members)), taken: filled(len(wants))}
	for _, sure := range []fit{fitNamed, fitSeen, fitUnseen} {
		for i, member := range members {
			if m.mate[i] >= 0 || member.slot == nil {
				continue
			}
			m.augment(i, make([]bool, len(wants)), func(i, j int) bool {
				f := fits(world, pool, wants[j], members[i])
				return f != fitNever && f <= sure
			})
		}
	}
	return m.mate
}

// fit says how well a worker's card fits a request.
type fit int

const (
	fitNever  fit = iota
	fitNamed      // the request names this very card
	fitSeen       // the card is of the kind
	fitUnseen     // the card cannot be seen now, and its host may be right
)

func fits(world *inventory.Snapshot, pool *v1alpha1.WorkerPool, request *v1alpha1.GPURequest, m *member) fit {
	if m.slot == nil {
		return fitNever
	}
	want := cardWant(request)
	if want.Slot != nil {
		if want.Host == m.host && *want.Slot == *m.slot {
			return fitNamed
		}
		return fitNever
	}
	if len(want.Hosts) == 0 {
		want.Hosts = pool.Spec.Hosts
	}
	return fitsKind(world, want, m)
}

func fitsKind(world *inventory.Snapshot, want place.CardWant, m *member) fit {
	if len(want.Hosts) > 0 && !slices.Contains(want.Hosts, m.host) {
		return fitNever
	}
	host := world.Host(m.host)
	if host == nil || host.Device(*m.slot) == nil {
		return fitUnseen
	}
	if want.Matches(m.host, *host.Device(*m.slot)) {
		return fitSeen
	}
	return fitNever
}

// matching is a matching in a bipartite graph that grows by augmenting paths
// (Kuhn's algorithm): whoever has a partner keeps one, though maybe another.
type matching struct {
	mate  []int // partner of each on the left, -1 for none
	taken []int // and on the right
}

func filled(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = -1
	}
	return all
}

func (m *matching) augment(i int, visited []bool, edge func(i, j int) bool) bool {
	for j := range m.taken {
		if visited[j] || !edge(i, j) {
			continue
		}
		visited[j] = true
		if m.taken[j] < 0 || m.augment(m.taken[j], visited, edge) {
			m.mate[i], m.taken[j] = j, i
			return true
		}
	}
	return false
}
