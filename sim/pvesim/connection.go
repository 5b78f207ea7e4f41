package pvesim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The limits of pveproxy for connections, headers and bodies: libpve-http-server-perl,
// src/PVE/APIServer/AnyEvent.pm, and PVE/Service/pveproxy.pm for the first one.
const (
	maxPerConnection = 100 // requests
	idleTime         = 5 * time.Second
	maxHeaderLines   = 64 // including the empty one at the end
	maxHeaderSize    = 8 << 10
	maxHead          = 64 << 10 // everything before the body, including the first line
	proxyTimeout     = Duration(30 * time.Second)
)

// release is the version of a package.
type release [3]int

func parseRelease(text string) (r release, err error) {
	if n, err := fmt.Sscanf(text+" ", "%d.%d.%d ", &r[0], &r[1], &r[2]); n != 3 || err != nil {
		return r, fmt.Errorf("version %q: must be three numbers, such as 5.2.1", text)
	}
	return r, nil
}

func (r release) before(major, minor, patch int) bool {
	return slices.Compare(r[:], []int{major, minor, patch}) < 0
}

// httpServer is the version of libpve-http-server-perl of a world: the given one, or the
// one that was current at the release of the product's version.
func (w *World) httpServer() release {
	if r, err := parseRelease(w.HTTPServer); err == nil {
		return r
	}
	switch {
	case w.major() >= 9:
		return release{6, 0, 5}
	case strings.HasPrefix(w.Version, "8.4"):
		return release{5, 2, 2}
	case strings.HasPrefix(w.Version, "8.3"):
		return release{5, 1, 2}
	}
	return release{5, 1, 0}
}

// maxForm is the largest body of a form or of JSON; uploads may be larger.
func (s *Sim) maxForm() int64 {
	if s.httpServer.before(5, 2, 1) {
		return 64 << 10
	}
	return 512 << 10
}

// Server returns an HTTP server for the simulator that handles connections like
// pveproxy: HTTP/1.1 only, and closed after five seconds without a request. The simulator
// also works with other servers, which keep connections open longer.
func (s *Sim) Server() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{Handler: s, Protocols: protocols, ReadHeaderTimeout: idleTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHead}
}

// connection counts the requests of one connection.
type connection struct {
	requests int
	last     time.Time
}

// lastRequest counts a request and reports whether it is the last one of its
// connection.
func (s *Sim) lastRequest(peer string) bool {
	s.lock()
	defer s.unlock()
	now := time.Now()
	c := s.connections[peer]
	if c == nil || now.Sub(c.last) > idleTime {
		c = &connection{}
		s.connections[peer] = c
	}
	c.requests++
	c.last = now
	if c.requests >= maxPerConnection {
		delete(s.connections, peer)
		return true
	}
	if len(s.connections) > 4096 {
		for other, c := range s.connections {
			if now.Sub(c.last) > idleTime {
				delete(s.connections, other)
			}
		}
	}
	return false
}

// connectionOf returns the Connection headers of a successful answer. pveproxy keeps the
// connection open and adds "Keep-Alive" after the headers of the daemon that gave the
// answer: "close" of pvedaemon, or the headers of another host's pveproxy. The HTTP
// client in between joins headers by commas.
func (s *Sim) connectionOf(r *request, c *call) []string {
	if c == nil {
		return []string{"Keep-Alive"}
	}
	s.lock()
	proxied := c.proxy != "" && c.proxy != anyHost && r.args.has(c.proxy) && r.args.get(c.proxy) != s.localHost()
	s.unlock()
	switch {
	case proxied && c.protected:
		return []string{"close,Keep-Alive", "Keep-Alive"}
	case proxied:
		return []string{"Keep-Alive", "Keep-Alive"}
	case c.protected:
		return []string{"close", "Keep-Alive"}
	}
	return []string{"Keep-Alive"}
}

// headersTooLong reports whether the headers have too many lines or bytes. pveproxy then
// stops reading and does not answer; the connection ends after its idle timeout.
func headersTooLong(in inbound) bool {
	lines, size := 2, len("Host: ")+len(in.host)
	for name, values := range in.header {
		for _, value := range values {
			lines++
			size += len(name) + len(": ") + len(value)
		}
	}
	return lines >= maxHeaderLines || size >= maxHeaderSize || len(in.path)+len(in.query) >= maxHead
}

// onTime runs the work of a request that another daemon carries out. pveproxy stops
// waiting after half a minute, but the work continues. With any time scale, the
// simulator itself has at least ten seconds.
func (s *Sim) onTime(work func() (any, error)) (any, error) {
	type result struct {
		data any
		err  error
	}
	done := make(chan result, 1)
	if !s.spawn(func() {
		data, err := work()
		done <- result{data, err}
	}) {
		return nil, errClosed
	}
	timer := time.NewTimer(max(10*time.Second, s.scaled(proxyTimeout)))
	defer timer.Stop()
	select {
	case r := <-done:
		return r.data, r.err
	case <-timer.C:
		return nil, &apiError{status: 596, reason: "Connection timed out", bare: true}
	}
}

// atWorker runs the work of a request when one of the host's workers is free.
func (s *Sim) atWorker(r *request, c *call, work func() (any, error)) (any, error) {
	if !c.protected && !c.waits {
		return work()
	}
	host := r.node()
	return s.onTime(func() (any, error) {
		if s.workers > 0 && c.protected {
			s.lock()
			if host == "" {
				host = s.localHost()
			}
			free := s.freeWorkers[host]
			if free == nil {
				free = make(chan struct{}, s.workers)
				s.freeWorkers[host] = free
			}
			s.unlock()
			select {
			case free <- struct{}{}:
			case <-s.ctx.Done():
				return nil, errClosed
			}
			defer func() { <-free }()
		}
		return work()
	})
}
