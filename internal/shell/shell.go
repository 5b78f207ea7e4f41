// Package shell writes command lines that a person can copy into a POSIX shell. Names
// come from hypervisors, guests and files: each becomes exactly one argument, or the
// command is not printed.
package shell

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gpuworker/gpuworker/internal/term"
)

// MaxArgument is the limit of an argument with its quotes, in bytes.
const MaxArgument = 256

// Untypable is printed instead of a command with an argument that cannot be typed: it has
// unprintable characters, would be read as a flag because it begins with "-", or is too
// long. Some of them could be written as $'\033', but that is not POSIX.
const Untypable = "(no command is shown: a name in it cannot be typed)"

// Command writes a command line. The format is our own text. String arguments are quoted,
// numbers are written as they are:
//
//	Command("gpuworker adopt %d --as %s", 204, "gpu-1")
//
// It returns Untypable when an argument cannot be typed.
func Command(format string, args ...any) string {
	words := make([]any, len(args))
	for i, arg := range args {
		text, isText := arg.(string)
		if !isText {
			words[i] = arg
			continue
		}
		word, ok := Word(text)
		if !ok {
			return Untypable
		}
		words[i] = word
	}
	return fmt.Sprintf(format, words...)
}

// Word quotes one argument that is not a flag; ok is false when it cannot be typed, or
// would be read as a flag.
func Word(arg string) (word string, ok bool) {
	if strings.HasPrefix(arg, "-") && arg != "-" {
		return "", false
	}
	return Argument(arg)
}

// Argument quotes one argument, which may be a flag; ok is false when it cannot be typed.
func Argument(arg string) (word string, ok bool) {
	if !utf8.ValidString(arg) || strings.ContainsFunc(arg, func(r rune) bool { return !term.Shown(r) }) {
		return "", false
	}
	if word = Quote(arg); len(word) > MaxArgument {
		return "", false
	}
	return word, true
}

// Quote writes any text as one shell word, for scripts, which are not typed.
func Quote(text string) string {
	if text != "" && text[0] != '=' && strings.Trim(text, plain) == "" { // zsh expands =ls
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// plain are the characters that have no special meaning in any shell.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-"
