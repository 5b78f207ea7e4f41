package logging

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gpuworker/gpuworker/internal/term"
)

// lines writes records for people: time and message, then the attributes of the record
// in their order, then those of the logger. An attribute whose key is in bare is written
// as its value only, others as key=value.
type lines struct {
	to     io.Writer
	mu     *sync.Mutex // shared with the handlers that WithAttrs and WithGroup return
	least  slog.Level
	always []slog.Attr // of the logger; their keys already contain the group
	group  string      // before keys, "a.b."
}

func newLines(to io.Writer, least slog.Level) *lines {
	return &lines{to: to, mu: &sync.Mutex{}, least: least}
}

// bare are the keys that are not written, because their values are clear without them.
var bare = []string{"method", "path", "status", "kind", "worker", "step", "outcome", "took"}

// Enabled implements slog.Handler.
func (l *lines) Enabled(_ context.Context, level slog.Level) bool { return level >= l.least }

// Handle implements slog.Handler: one record is one line and one write.
func (l *lines) Handle(_ context.Context, r slog.Record) error {
	var b bytes.Buffer
	b.WriteString(r.Time.Format(time.TimeOnly) + " " + string(term.Clean(r.Message)))
	r.Attrs(func(a slog.Attr) bool {
		write(&b, l.group, a)
		return true
	})
	for _, a := range l.always {
		write(&b, "", a)
	}
	b.WriteByte('\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.to.Write(b.Bytes())
	return err
}

// WithAttrs implements slog.Handler.
func (l *lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *l
	with.always = slices.Clone(l.always)
	for _, a := range attrs {
		with.always = append(with.always, slog.Attr{Key: l.group + a.Key, Value: a.Value})
	}
	return &with
}

// WithGroup implements slog.Handler.
func (l *lines) WithGroup(name string) slog.Handler {
	with := *l
	if name != "" {
		with.group += name + "."
	}
	return &with
}

// write appends an attribute. An empty one is left out.
func write(b *bytes.Buffer, group string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, member := range v.Group() {
			write(b, group, member)
		}
		return
	}
	text := textOf(v)
	switch v.Kind() {
	case slog.KindDuration:
		text = Rounded(v.Duration())
	case slog.KindTime:
		text = v.Time().Format(time.RFC3339)
	default:
		text = string(term.Clean(text))
	}
	if text == "" {
		return
	}
	b.WriteByte(' ')
	if key := group + a.Key; !slices.Contains(bare, key) {
		b.WriteString(string(term.Cell(key)) + "=")
	}
	if strings.ContainsAny(text, ` "`) { // a space would look like the end of the value, a quote like the beginning of a quoted value
		text = strconv.Quote(text)
	}
	b.WriteString(text)
}
