package engine_test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/thorough"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// TestRequestsOfAnApplyOfManyWorkers plans and applies 64 GPU workers on 16 hosts that
// have 5, 25 and 100 foreign VMs, over a network that takes 5 ms. It compares the
// number of requests with
//
//	a × workers + b × hosts × others
//
// where b is how often each foreign VM is read: by plan, and by apply, which then uses
// its reads for a minute. With the race detector the fleet is a quarter of that.
func TestRequestsOfAnApplyOfManyWorkers(t *testing.T) {
	workers, hosts := 64, 16
	if thorough.Every > 1 {
		workers, hosts = workers/4, hosts/4
	}
	asked := map[int]int{}
	for _, others := range []int{5, 25, 100} {
		synctest.Test(t, func(t *testing.T) {
			l := fleetLab(t, pvesim.Fleet{Hosts: hosts, GPUs: 5, VMs: others})
			wire := &tally{next: later{l.sim.Transport(), 5 * time.Millisecond}, kinds: map[string]int{}}
			time.Sleep(time.Minute) // all VMs were started with the cluster
			began := time.Now()
			l.must(apply(t.Context(), l.engine("ops@desk", wanted(workers), wire)))
			took := time.Since(began)
			asked[others] = wire.total()
			t.Logf("%d others: %d requests in %s\n%s", others, asked[others], took.Round(time.Second), wire)
			if took >= time.Minute {
				t.Errorf("it took %s: one look is not enough then", took)
			}
			if reads, most := wire.kinds[readOfOthers], 2*hosts*others; reads > most {
				t.Errorf("%d reads of VMs of others, want at most %d", reads, most)
			}
		})
	}
	b := float64(asked[100]-asked[5]) / float64(hosts*95)
	a := (float64(asked[5]) - b*float64(hosts*5)) / float64(workers)
	t.Logf("requests = %.1f × workers + %.2f × hosts × others", a, b)
	// The running clones, foreign ones too, are read before each clone.
	if most := 2250 * workers / 64; asked[5] > most {
		t.Errorf("%d requests with 5 others, want at most %d", asked[5], most)
	}
}

// tally counts requests by their kind, without names and numbers.
type tally struct {
	next  http.RoundTripper
	mu    sync.Mutex
	kinds map[string]int
}

const readOfOthers = "GET /nodes/{}/qemu/{of others}/pending"

var (
	ofOthers   = regexp.MustCompile(`/qemu/\d{6}/`) // as pvesim.Fleet numbers them
	particular = regexp.MustCompile(`/(nodes|qemu|tasks|pci)/[^/{]+`)
)

func (c *tally) RoundTrip(request *http.Request) (*http.Response, error) {
	kind := request.Method + " " + strings.TrimPrefix(request.URL.Path, "/api2/json")
	kind = particular.ReplaceAllString(ofOthers.ReplaceAllString(kind, "/qemu/{of others}/"), "/$1/{}")
	c.mu.Lock()
	c.kinds[kind]++
	c.mu.Unlock()
	return c.next.RoundTrip(request)
}

func (c *tally) total() (n int) {
	for _, times := range c.kinds {
		n += times
	}
	return n
}

// String lists the kinds, the most frequent first.
func (c *tally) String() string {
	kinds := slices.SortedFunc(maps.Keys(c.kinds), func(a, b string) int { return c.kinds[b] - c.kinds[a] })
	var out strings.Builder
	for _, kind := range kinds {
		fmt.Fprintf(&out, "%7d %s\n", c.kinds[kind], kind)
	}
	return out.String()
}
