// Package logging makes the loggers of -v: lines for people, or JSON for programs. Values
// come from hypervisors, guests and files; they are cleaned, so that each record is one
// line.
//
// A logger is passed to the code that logs. There is no global logger.
package logging

import (
	"io"
	"log/slog"
	"math"
	"time"

	"github.com/gpuworker/gpuworker/internal/term"
)

// The levels of -v.
const (
	Silent  = 0
	Changes = 1 // each observation and each change
	Calls   = 2 // each call of an API too
)

// Format is how records are written.
type Format string

// The formats.
const (
	Text Format = "text" // 04:27:49 call GET /nodes/pve1/qemu 200 12ms
	JSON Format = "json"
)

// New returns a logger of a level. A level above Calls means Calls; a level below Changes
// is silent.
func New(to io.Writer, format Format, level int) *slog.Logger {
	least := slog.LevelInfo
	switch {
	case level <= Silent:
		return slog.New(slog.DiscardHandler)
	case level >= Calls:
		least = slog.LevelDebug
	}
	if format == JSON {
		return slog.New(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: least, ReplaceAttr: forMachines}))
	}
	return slog.New(newLines(to, least))
}

// OrSilent returns the logger, or a silent one for nil.
func OrSilent(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}

// forMachines converts an attribute for JSON: durations become seconds, texts are cleaned.
func forMachines(_ []string, a slog.Attr) slog.Attr {
	a.Key = string(term.Cell(a.Key))
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindDuration:
		a.Value = slog.Float64Value(math.Round(v.Duration().Seconds()*1000) / 1000)
	case slog.KindTime:
		a.Value = slog.StringValue(v.Time().Format("2006-01-02T15:04:05.000Z07:00"))
	case slog.KindString, slog.KindAny:
		if _, isLevel := v.Any().(slog.Level); !isLevel {
			a.Value = slog.StringValue(string(term.Clean(textOf(v))))
		}
	default: // numbers need no change; the members of a group are converted one by one
	}
	return a
}

// textOf returns a value as text; for an error, its message.
func textOf(v slog.Value) string {
	if err, ok := v.Any().(error); ok {
		return err.Error()
	}
	return v.String()
}

// Rounded writes a duration with few digits: 12ms, 3.4s, 1m30s.
func Rounded(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Millisecond:
		return "<1ms"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
