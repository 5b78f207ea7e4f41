package cli

import (
	"regexp"
	"strings"

	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/internal/term"
)

// withFiles adds the -f flags of this command to a suggested gpuworker command.
// Other text stays as it is.
func (a *app) withFiles(next string) term.Text {
	if !strings.HasPrefix(next, "gpuworker ") {
		return term.Line(next)
	}
	return term.Line(next + a.fileFlags())
}

// withDocuments matches a gpuworker command that reads documents, in a sentence.
var withDocuments = regexp.MustCompile(`\bgpuworker (?:adopt|apply|assert|check|delete|disown|export|gpus|hosts|orphans|park|plan|replace|role|status|unpark)\b( -f \S+| --help)?`)

// advice adds the -f flags of this command to the gpuworker commands in a sentence, so
// that they work as printed.
func (a *app) advice(text string) string {
	return withDocuments.ReplaceAllStringFunc(text, func(command string) string {
		command, open := strings.CutSuffix(command, " -f FILE")
		if !open && strings.Count(command, " ") > 1 { // it already has flags
			return command
		}
		return command + a.fileFlags()
	})
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
