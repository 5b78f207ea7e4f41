package facts

import (
	"fmt"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/inventory"
)

// MaxAge is the default maximum age of facts. It allows collecting them daily.
const MaxAge = 24 * time.Hour

// skew is the accepted difference between the clock of a host and ours, including
// the time of an answer.
const skew = 2 * time.Minute

// dated returns the facts of a host, marked as old when they are stale.
func (s *Source) dated(said statement, host *inventory.Host) *inventory.Facts {
	facts := *said.facts
	if facts.Missing == "" {
		facts.Old = outdated(said, time.Duration(host.Uptime)*time.Second, s.now(), s.maxAge)
	}
	return &facts
}

// outdated says why facts are stale, as the rest of a sentence that begins with
// their file name; "" when they are not. running is the current uptime of the host,
// 0 when unknown.
//
// The host was restarted since if its uptime is now less than its uptime then plus
// the age of the facts.
func outdated(said statement, running time.Duration, now time.Time, maxAge time.Duration) string {
	age := now.Sub(said.taken)
	taken := said.taken.UTC().Format("2006-01-02 15:04 UTC")
	switch {
	case said.taken.IsZero():
		return "has no date"
	case age < -skew:
		return fmt.Sprintf("was made at %s, which is in the future: the clock of the host or of this machine is wrong", taken)
	case running > 0 && said.uptime > 0 && running+skew < said.uptime+age,
		running > 0 && said.uptime == 0 && running+skew < age:
		return fmt.Sprintf("was made at %s, and the host was restarted since", taken)
	case age > maxAge:
		return fmt.Sprintf("was made at %s, %s ago; facts older than %s are ignored", taken, span(age), span(maxAge))
	}
	return ""
}

// span is a duration in words, in the largest unit that gives at least two.
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
