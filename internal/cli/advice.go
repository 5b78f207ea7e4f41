package cli

import (
	"strings"

	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/internal/term"
)

// withFiles adds the -f flags of this command to a suggested gpuworker command, or to the
// commands in a sentence.
func (a *app) withFiles(next string) term.Text {
	if !strings.HasPrefix(next, "gpuworker ") {
		return term.Line(a.advice(next))
	}
	return term.Line(next + a.fileFlags())
}

// advice adds the -f flags of this command to the gpuworker commands in a sentence, so
// that they work as printed.
func (a *app) advice(text string) string {
	return shell.WithFiles(text, a.fileFlags())
}

// fileFlags returns the -f flags of this command, each after a space.
func (a *app) fileFlags() string {
	flags := ""
	for _, file := range a.files {
		word, ok := shell.Word(file)
		if !ok {
			word = "FILE"
		}
		flags += " -f " + word
	}
	if len(flags) > maxCommand || a.documentsInPlan {
		return " -f FILE"
	}
	return flags
}
