package engine

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// seen is an observation that many plans are made from. It is never changed: a refresh
// makes another one.
type seen struct {
	snapshot *inventory.Snapshot
	scope    hypervisor.Scope
	began    map[string]time.Time // of the last observation, by host
	whole    time.Time            // of the last observation of everything
}

// recentOn reports whether the hosts were observed after a moment; all hosts when there are
// none in the list.
func (s *seen) recentOn(hosts []string, after time.Time) bool {
	if len(hosts) == 0 {
		return s.whole.After(after)
	}
	return !slices.ContainsFunc(hosts, func(host string) bool { return !s.began[host].After(after) })
}

// covers reports whether the observation was made for all that plans of the documents
// depend on, except for single VMs.
func (s *seen) covers(needs hypervisor.Scope) bool {
	has := s.scope
	within := func(list, all []string) bool {
		return !slices.ContainsFunc(list, func(name string) bool { return !slices.Contains(all, name) })
	}
	return within(needs.Storages, has.Storages) && within(needs.Bridges, has.Bridges) && (has.Cards || !needs.Cards) && needs.NewVMs <= has.NewVMs
}

// unreadHosts are the hosts of VMs that are named like workers of the pool and were not
// read: they were made since, or belong to others.
func (s *seen) unreadHosts(pool *v1alpha1.WorkerPool) []string {
	var hosts []string
	for i := range s.snapshot.VMs {
		vm := &s.snapshot.VMs[i]
		if vm.Skipped && (slices.Contains(pool.Spec.Names, vm.Name) || strings.HasPrefix(vm.Name, pool.Name+"-")) {
			hosts = append(hosts, vm.Host)
		}
	}
	return hosts
}

// stale reports whether the hypervisor must be observed before a decision for a pool,
// and on which hosts; none means everywhere.
func (s *Session) stale(documents *v1alpha1.Documents, pool *v1alpha1.WorkerPool, hosts []string, age time.Duration) (on []string, needed bool) {
	if s.seen == nil || !s.seen.covers(scopeOf(documents, &s.hypervisor)) {
		return nil, true
	}
	recent, unread := s.seen.recentOn(hosts, time.Now().Add(-age)), s.seen.unreadHosts(pool)
	if !recent && len(hosts) == 0 {
		return nil, true
	}
	return append(unread, hosts...), !recent || len(unread) > 0
}

// renew observes the hypervisor again: only the hosts that decisions wait for, when they
// are known and the rest was observed before; else everything.
func (s *Session) renew(ctx context.Context, documents *v1alpha1.Documents, hosts []string) error {
	scope := s.scopeOf(documents)
	s.mu.Lock()
	was := s.changed
	s.changed = map[PoolKey]bool{}
	if len(hosts) > 0 && s.seen != nil && s.seen.covers(scope) {
		all := setOf(slices.Collect(maps.Keys(s.awaited)))
		for _, host := range hosts {
			all[host] = true
		}
		scope.Only = &hypervisor.Extent{On: slices.Sorted(maps.Keys(all)), Neighbours: true}
		for key := range was { // those on other hosts are still to be observed
			if slices.ContainsFunc(s.places[key], func(host string) bool { return !all[host] }) || len(s.places[key]) == 0 {
				s.changed[key] = true
			}
		}
	}
	s.mu.Unlock()
	began := time.Now()
	snapshot, err := s.engine.observeScope(ctx, documents, &s.hypervisor, scope)
	if err != nil {
		s.mu.Lock()
		maps.Copy(s.changed, was)
		s.mu.Unlock()
		return err
	}
	s.observedSince(began)
	if scope.Only == nil {
		s.seen = &seen{snapshot: snapshot, scope: scope, began: map[string]time.Time{}, whole: began}
	} else {
		s.seen = &seen{snapshot: merged(s.seen.snapshot, snapshot), scope: s.seen.scope, began: maps.Clone(s.seen.began), whole: s.seen.whole}
	}
	for i := range snapshot.Hosts {
		if host := &snapshot.Hosts[i]; !host.Skipped {
			s.seen.began[host.Name] = began
		}
	}
	return nil
}

// merged is a new observation of some hosts, completed by an older one of everything.
// What lists of the whole hypervisor show is new: which VMs exist and run, and all claims.
func merged(old, part *inventory.Snapshot) *inventory.Snapshot {
	whole := &inventory.Snapshot{
		Hypervisor: part.Hypervisor, Product: part.Product, Version: part.Version, Supported: part.Supported, Missing: part.Missing,
		Frozen: part.Frozen, Capabilities: part.Capabilities, FreeIDs: part.FreeIDs, IDRange: part.IDRange, Advice: part.Advice,
		Setup: old.Setup, MissingPool: part.MissingPool, Claims: part.Claims,
	}
	for _, host := range part.Hosts {
		if before := old.Host(host.Name); host.Skipped && before != nil {
			host = *before
		}
		whole.Hosts = append(whole.Hosts, host)
	}
	for _, vm := range part.VMs {
		if before := old.VM(vm.ID); vm.Skipped && before != nil && before.Name == vm.Name && before.Host == vm.Host {
			running := vm.Running
			vm = *before
			vm.Running = running
		}
		whole.VMs = append(whole.VMs, vm)
	}
	return whole
}

// placesOf are the hosts of the workers of each pool, as decided or observed. A pool
// whose workers have no host yet is not in the result.
func (d *decided) placesOf(allowRestart bool) map[PoolKey][]string {
	places := map[PoolKey][]string{}
	p := d.plan(allowRestart)
	for i := range p.Pools {
		key := PoolKey{p.Pools[i].Name, p.Pools[i].KubeCluster}
		var hosts []string
		for _, w := range p.Pools[i].Workers {
			host := w.Host
			if w.Ref != nil {
				host = cmp.Or(w.Ref.Host, host)
			}
			if host == "" { // nobody knows where it will be
				hosts = nil
				break
			}
			hosts = append(hosts, host)
		}
		if slices.Sort(hosts); len(hosts) > 0 {
			places[key] = slices.Compact(hosts)
		}
	}
	return places
}
