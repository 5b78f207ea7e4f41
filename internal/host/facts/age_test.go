package facts

import (
	"strings"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/inventory"
)

func TestFactsAreUsedUntilTheyAreStale(t *testing.T) {
	const hour, day = time.Hour, 24 * time.Hour
	for _, tt := range []struct {
		name    string
		taken   time.Time
		uptime  time.Duration // of the host then
		running time.Duration // of the host now
		old     string        // "" when they are not stale
	}{
		{"made just now", noon, 40 * day, 40 * day, ""},
		{"made this morning", noon.Add(-5 * hour), 40 * day, 40*day + 5*hour, ""},
		{"made a year ago", noon.AddDate(-1, 0, 0), 0, 0, "was made at 2025-11-22 12:00 UTC, 365 days ago; facts older than 24 hours are ignored"},
		{"made a minute too long ago", noon.Add(-day - time.Minute), 0, 0, "24 hours ago"},
		{"made at an unknown time", time.Time{}, 0, 0, "has no date"},
		{"made by a clock that is a minute fast", noon.Add(time.Minute), hour, hour, ""},
		{"made in the future", noon.Add(time.Hour), hour, hour, "in the future"},
		{"the host was restarted since", noon.Add(-2 * hour), 40 * day, hour, "restarted"},
		{"the host was restarted since, and its uptime is now longer than then", noon.Add(-10 * hour), hour, 9 * hour, "restarted"},
		{"made before the host was started, with an unknown uptime", noon.Add(-2 * hour), 0, hour, "restarted"},
		{"made by a clock that is a minute slow, just after the start", noon.Add(-time.Minute), time.Minute, time.Minute, ""},
		{"the uptime of the host is unknown", noon.Add(-2 * hour), 40 * day, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &Source{maxAge: MaxAge, now: atNoon}
			facts := s.dated(statement{&inventory.Facts{From: "pve1.json"}, tt.taken, tt.uptime}, &inventory.Host{Uptime: int64(tt.running / time.Second)})
			if (facts.Old == "") != (tt.old == "") || !strings.Contains(facts.Old, tt.old) {
				t.Errorf("%q, want %q", facts.Old, tt.old)
			}
		})
	}
}

func TestAnOlderAgeCanBeAllowed(t *testing.T) {
	week := &Source{maxAge: 7 * 24 * time.Hour, now: atNoon}
	facts := week.dated(statement{&inventory.Facts{}, noon.Add(-50 * time.Hour), 0}, &inventory.Host{})
	if facts.Old != "" {
		t.Errorf("it is stale: it %s", facts.Old)
	}
}

func TestAnInvalidDateIsAnError(t *testing.T) {
	if _, _, err := parse([]byte(`{"version":1,"taken":"yesterday"}`), "x"); err == nil || !strings.Contains(err.Error(), "taken") {
		t.Errorf("%v", err)
	}
}
