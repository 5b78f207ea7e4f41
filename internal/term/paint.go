package term

import (
	"slices"
	"strconv"
)

// Paint colours text for a terminal, or leaves it plain. A colour only repeats what the
// words say. The text is cleaned first, as a value of one line.
type Paint struct{ On bool }

// The colours, as SGR codes.
const (
	plain  = 0
	bold   = 1
	dim    = 2
	red    = 31
	green  = 32
	yellow = 33
	cyan   = 36
)

// sequences are the escape sequences of our colours, the only ones that Writer allows.
var sequences = func() []string {
	var all []string
	for _, code := range []int{plain, bold, dim, red, green, yellow, cyan} {
		all = append(all, sequence(code))
	}
	return all
}()

func sequence(code int) string { return "\x1b[" + strconv.Itoa(code) + "m" }

// isSequence reports whether a text begins with one of our colours, and returns it.
func isSequence(text string) (found string, ok bool) {
	at := slices.IndexFunc(sequences, func(s string) bool { return len(text) >= len(s) && text[:len(s)] == s })
	if at < 0 {
		return "", false
	}
	return sequences[at], true
}

func (p Paint) as(code int, text string) Text {
	clean := clean(text, maxProse)
	if !p.On || clean == "" {
		return clean
	}
	return Text(sequence(code)) + clean + Text(sequence(plain))
}

// Bold is for headings and names.
func (p Paint) Bold(text string) Text { return p.as(bold, text) }

// Dim is for less important text.
func (p Paint) Dim(text string) Text { return p.as(dim, text) }

// Red is for what failed.
func (p Paint) Red(text string) Text { return p.as(red, text) }

// Green is for what passed or is ready.
func (p Paint) Green(text string) Text { return p.as(green, text) }

// Yellow is for what needs attention.
func (p Paint) Yellow(text string) Text { return p.as(yellow, text) }

// Cyan is for what is in progress.
func (p Paint) Cyan(text string) Text { return p.as(cyan, text) }
