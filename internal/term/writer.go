package term

import (
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

// Writer cleans all that is written to a stream, as the last defence. It passes printable
// characters, line feeds and tabs, and our colours when colour is on. It cuts lines at
// MaxLine. Everything else becomes a visible escape.
//
// It keeps the first write error, because code that prints does not check for errors.
type Writer struct {
	to     io.Writer
	colour func() bool

	mu    sync.Mutex
	part  []byte // the first bytes of an incomplete character
	width int    // bytes of the line so far
	cut   bool   // the rest of the line is left out
	long  bool   // lines have no limit (see Whole)
	err   error
}

// NewWriter returns a Writer for a stream. colour reports whether colours may pass; nil
// means that they may not.
func NewWriter(to io.Writer, colour func() bool) *Writer {
	if colour == nil {
		colour = func() bool { return false }
	}
	return &Writer{to: to, colour: colour}
}

// Write implements io.Writer.
func (w *Writer) Write(data []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.take(data)
}

// Whole returns the same stream without the limit of lines, for values of one line such
// as JSON, which must not be cut.
func (w *Writer) Whole() io.Writer { return whole{w} }

type whole struct{ to *Writer }

// Write implements io.Writer.
func (w whole) Write(data []byte) (int, error) {
	w.to.mu.Lock()
	defer w.to.mu.Unlock()
	w.to.long = true
	defer func() { w.to.long = false }()
	return w.to.take(data)
}

func (w *Writer) take(data []byte) (int, error) {
	text := string(w.part) + string(data)
	w.part = nil
	if whole := wholeCharacters(text); whole < len(text) {
		w.part, text = []byte(text[whole:]), text[:whole]
	}
	return len(data), w.write(w.guarded(text))
}

func (w *Writer) write(text string) error {
	if text == "" {
		return nil
	}
	_, err := io.WriteString(w.to, text)
	if w.err == nil {
		w.err = err
	}
	return err
}

// Err returns the first write error.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Flush writes the bytes of a character that was never completed.
func (w *Writer) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := w.guarded(string(w.part))
	w.part = nil
	_ = w.write(text)
}

// wholeCharacters returns the length of a text without an incomplete character at its end.
func wholeCharacters(text string) int {
	for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
		if at := len(text) - back; utf8.RuneStart(text[at]) {
			if !utf8.FullRuneInString(text[at:]) {
				return at
			}
			break
		}
	}
	return len(text)
}

// guarded returns the text in the form in which it may be written.
func (w *Writer) guarded(text string) string {
	colours := w.colour()
	var b strings.Builder
	for text != "" {
		r, size := utf8.DecodeRuneInString(text)
		shown := text[:size]
		switch {
		case r == '\n':
			w.width, w.cut = 0, false
			b.WriteByte('\n')
			text = text[size:]
			continue
		case r == '\x1b' && colours:
			if found, ours := isSequence(text); ours {
				shown, size = found, len(found)
				break
			}
			shown = escape(r, shown)
		case r == '\t':
		case r == utf8.RuneError && size == 1, !Shown(r):
			shown = escape(r, shown)
		}
		w.add(&b, shown, colours)
		text = text[size:]
	}
	return b.String()
}

// add writes a character, or an ellipsis where a line becomes too long.
func (w *Writer) add(b *strings.Builder, shown string, colours bool) {
	end := ellipsis
	if colours {
		end += sequence(plain)
	}
	switch {
	case w.cut:
	case !w.long && w.width+len(shown)+len(end) > MaxLine-1: // with its line feed
		b.WriteString(end)
		w.cut = true
	default:
		b.WriteString(shown)
		w.width += len(shown)
	}
}
