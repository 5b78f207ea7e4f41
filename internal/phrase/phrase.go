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

// Few joins the first few words of a list.
func Few(words []string) string {
	const shown = 5
	if len(words) > shown {
		return strings.Join(words[:shown], ", ") + ", …"
	}
	return And(words)
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
