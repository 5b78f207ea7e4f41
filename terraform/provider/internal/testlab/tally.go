package testlab

import (
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync"
)

// tally counts requests by their kind, without names and numbers.
type tally struct {
	mu    sync.Mutex
	kinds map[string]int
}

var particular = regexp.MustCompile(`/(nodes|qemu|tasks|pci)/[^/]+`)

// counted counts the requests that a handler gets over the network.
func (l *Lab) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := r.Method + " " + particular.ReplaceAllString(strings.TrimPrefix(r.URL.Path, "/api2/json"), "/$1/{}")
		l.tally.mu.Lock()
		if l.tally.kinds == nil {
			l.tally.kinds = map[string]int{}
		}
		l.tally.kinds[kind]++
		l.tally.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// Requests returns how many requests of each kind came since the last call.
func (l *Lab) Requests() map[string]int {
	l.tally.mu.Lock()
	defer l.tally.mu.Unlock()
	kinds := maps.Clone(l.tally.kinds)
	clear(l.tally.kinds)
	return kinds
}
