// Package shell writes command lines that a person may copy into a POSIX shell.
// Names come from hypervisors, guests and files: each becomes exactly one
// argument, or the command is not written at all.
package shell

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gpuworker/gpuworker/internal/term"
)

// MaxArgument is the longest argument, in bytes and with its quotes, that is worth
// being typed.
const MaxArgument = 256

// Untypable stands for a command one of whose arguments cannot be typed: it has
// characters that cannot be printed, begins with "-" and would be a flag, or is
// too long. A form such as $'\033' would carry some of them, but POSIX does not
// know it.
const Untypable = "(no command is shown: a name in it cannot be typed)"

// Command writes a command line. The format is our own text; each string among
// the arguments is quoted, numbers are as they are:
//
//	Command("gpuworker adopt %d --as %s", 204, "gpu-1")
//
// It is Untypable when an argument is.
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

// Word quotes one argument that is no flag; ok is false when it cannot be typed,
// or would be taken for a flag.
func Word(arg string) (word string, ok bool) {
	if strings.HasPrefix(arg, "-") && arg != "-" {
		return "", false
	}
	return Argument(arg)
}

// Argument quotes one argument, be it a flag; ok is false when it cannot be typed.
func Argument(arg string) (word string, ok bool) {
	if !utf8.ValidString(arg) || strings.ContainsFunc(arg, func(r rune) bool { return !term.Shown(r) }) {
		return "", false
	}
	if word = Quote(arg); len(word) > MaxArgument {
		return "", false
	}
	return word, true
}

// Quote writes any text as one word of a shell, for scripts, which nobody types.
func Quote(text string) string {
	if text != "" && text[0] != '=' && strings.Trim(text, plain) == "" { // zsh expands =ls
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// plain are the characters that no shell takes for anything but themselves.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-"
