package pve

import (
	"cmp"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
)

const redacted = "[redacted]"

// A secret shorter than this is not looked for: blotting out every "a" would
// hide the error and betray the secret.
const shortestSecret = 4

// maxTickets is how many tickets are remembered; older ones have expired.
const maxTickets = 8

// secrets knows the texts that must leave this package in no error and no log
// record, even when the server repeats them. It holds pointers, since fmt may
// print the contents of an unexported field but follows no pointers in it.
type secrets struct {
	mu      sync.Mutex
	fixed   []*string
	tickets []*string
}

func newSecrets(fixed []string) *secrets { return &secrets{fixed: pointers(fixed)} }

func pointers(texts []string) []*string {
	list := make([]*string, len(texts))
	for i := range texts {
		list[i] = &texts[i]
	}
	return list
}

// addTicket remembers a ticket and its token against cross-site requests.
func (s *secrets) addTicket(texts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tickets = append(s.tickets, pointers(texts)...)
	if n := len(s.tickets) - maxTickets; n > 0 {
		s.tickets = slices.Delete(s.tickets, 0, n)
	}
}

// redact blots out the secrets, those of this call included, as they are and
// URL-encoded.
func (s *secrets) redact(text string, ofCall []string) string {
	s.mu.Lock()
	known := slices.Concat(s.fixed, s.tickets, pointers(ofCall))
	s.mu.Unlock()
	var forms []string
	for _, secret := range known {
		if len(*secret) >= shortestSecret {
			forms = append(forms, *secret, url.QueryEscape(*secret), url.PathEscape(*secret))
		}
	}
	// The longest first, as one may be part of another.
	slices.SortFunc(forms, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, form := range forms {
		text = strings.ReplaceAll(text, form, redacted)
	}
	return text
}

// clean blots the secrets out of an error.
func (s *secrets) clean(err error, ofCall []string) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	blot := func(text string) string { return s.redact(text, ofCall) }
	e.Path, e.Reason, e.Message = blot(e.Path), blot(e.Reason), blot(e.Message)
	e.Params = maps.Clone(e.Params)
	for name, text := range e.Params {
		e.Params[name] = blot(text)
	}
	e.Log = slices.Clone(e.Log)
	for i, line := range e.Log {
		e.Log[i] = blot(line)
	}
	return err
}
