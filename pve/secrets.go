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

// Shorter secrets are not redacted: replacing every "a" would make the error
// unreadable and reveal the secret.
const shortestSecret = 4

// maxTickets is the number of tickets that are kept; older ones have expired.
const maxTickets = 8

// secrets holds the texts that must not leave this package in an error or log record,
// even when the server repeats them. It holds pointers, because fmt may print the
// content of an unexported field but does not follow pointers in it.
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

// addTicket adds a ticket and its CSRF token.
func (s *secrets) addTicket(texts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tickets = append(s.tickets, pointers(texts)...)
	if n := len(s.tickets) - maxTickets; n > 0 {
		s.tickets = slices.Delete(s.tickets, 0, n)
	}
}

// redact replaces the secrets, including those of the call, in plain and URL-encoded
// form.
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
	// The longest first, because one may be part of another.
	slices.SortFunc(forms, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, form := range forms {
		text = strings.ReplaceAll(text, form, redacted)
	}
	return text
}

// clean redacts the secrets in an error.
func (s *secrets) clean(err error, ofCall []string) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	redact := func(text string) string { return s.redact(text, ofCall) }
	e.Path, e.Reason, e.Message = redact(e.Path), redact(e.Reason), redact(e.Message)
	e.Params = maps.Clone(e.Params)
	for name, text := range e.Params {
		e.Params[name] = redact(text)
	}
	e.Log = slices.Clone(e.Log)
	for i, line := range e.Log {
		e.Log[i] = redact(line)
	}
	return err
}
