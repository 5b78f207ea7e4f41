// Package phrase formats parts of messages: lists, quoted text and sizes.
package phrase

import (
	"fmt"
	"strconv"
	"strings"
)

// And joins words as in "a, b and c".
func And(words []string) string { return join(words, " and ") }

// Or joins words as in "a, b or c".
func Or(words []string) string { return join(words, " or ") }

func join(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	end := len(words) - 1
	return strings.Join(words[:end], ", ") + last + words[end]
}

// Several lists names, of many only the first few: "a, b, c and 196 more".
func Several(names []string) string { return First(names, 4, ", ") }

// First joins at most so many texts of a list; the last says how many others there are.
func First(texts []string, most int, separator string) string {
	if len(texts) <= most {
		return strings.Join(texts, separator)
	}
	return fmt.Sprintf("%s and %d more", strings.Join(texts[:most-1], separator), len(texts)-most+1)
}

// Quote quotes text that the operator wrote, and shortens it.
func Quote(text string) string {
	const most = 64
	if short := []rune(text); len(short) > most {
		return fmt.Sprintf("%q…", string(short[:most]))
	}
	return strconv.Quote(text)
}

// Plain returns a name as it is, or quoted when it has special characters or is too long.
func Plain(name string) string {
	if quoted := Quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

const (
	mib = 1 << 20
	gib = 1 << 30
)

// Bytes writes a size with a unit: "41 GiB", "1.5 GiB", "512 MiB".
func Bytes(n int64) string {
	switch {
	case n >= 10*gib || n >= gib && n%gib == 0:
		return strconv.FormatInt((n+gib/2)/gib, 10) + " GiB"
	case n >= gib:
		return strconv.FormatFloat(float64(n)/gib, 'f', 1, 64) + " GiB"
	}
	return strconv.FormatInt(n/mib, 10) + " MiB"
}
