package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/engine"
)

// machineList prints an object with a list under its name, and the hypervisors that
// could not be observed, if any.
func (a *app) machineList(name string, list any, unseen []engine.Unseen) error {
	view := map[string]any{name: list}
	if len(unseen) > 0 {
		view["unseen"] = unseen
	}
	return a.machine(view)
}

const gibibyte = 1 << 30

// gib writes bytes as whole GiB.
func gib(bytes int64) string { return strconv.FormatInt((bytes+gibibyte/2)/gibibyte, 10) }

// seconds writes a duration in whole seconds: 4s, 1m30s; "" below half a second.
func seconds(d time.Duration) string {
	d = d.Round(time.Second)
	if d <= 0 {
		return ""
	}
	text := d.String()
	if d >= time.Hour {
		return text[:len(text)-len("0s")]
	}
	return text
}

// quoteAll writes names as "a", "b".
func quoteAll(names []string) string {
	var quoted []string
	for _, name := range names {
		quoted = append(quoted, strconv.Quote(name))
	}
	return strings.Join(quoted, ", ")
}
