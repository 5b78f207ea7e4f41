package facts

import (
	"fmt"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/inventory"
)

// MaxAge is how old facts may be unless somebody says otherwise: collected daily,
// they are always believed.
const MaxAge = 24 * time.Hour

// skew is how much the clock of a host may differ from ours, with the time that an
// answer takes.
const skew = 2 * time.Minute

// dated are the facts of a host, marked when they are not to be believed any more.
func (s *Source) dated(said statement, host *inventory.Host) *inventory.Facts {
	facts := *said.facts
	if facts.Missing == "" {
		facts.Old = outdated(said, time.Duration(host.Uptime)*time.Second, s.now(), s.maxAge)
	}
	return &facts
}

// outdated says why facts are not to be believed, to follow their name; "" when
// they are. running is how long the host has run, 0 when nobody knows.
//
// Whether it was started anew since does not depend on the clock of the host: it
// would have run, then and since together, for longer than it has.
func outdated(said statement, running time.Duration, now time.Time, maxAge time.Duration) string {
	age := now.Sub(said.taken)
	taken := said.taken.UTC().Format("2006-01-02 15:04 UTC")
	switch {
	case said.taken.IsZero():
		return "does not say when it was made"
	case age < -skew:
		return fmt.Sprintf("was made at %s, which has yet to come: the clock of the host or the one here is wrong", taken)
	case running > 0 && said.uptime > 0 && running+skew < said.uptime+age,
		running > 0 && said.uptime == 0 && running+skew < age:
		return fmt.Sprintf("was made at %s, and the host was started anew since", taken)
	case age > maxAge:
		return fmt.Sprintf("was made at %s, %s ago; facts older than %s are ignored", taken, span(age), span(maxAge))
	}
	return ""
}

// span is a time in words: the largest unit of which there are two.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*time.Hour && d%time.Hour == 0, d >= 6*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return strings.TrimSuffix(d.String(), "0s")
}
