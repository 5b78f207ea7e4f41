package cli

import (
	"regexp"
	"strings"

	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/internal/term"
)

// withFiles adds the -f flags of this command to a command of ours, for advice.
// Advice that is no command stays as it is.
func (a *app) withFiles(next string) term.Text {
	if !strings.HasPrefix(next, "gpuworker ") {
		return term.Line(next)
	}
	return term.Line(next + a.fileFlags())
}

// withDocuments is a command of ours that reads documents, in a sentence.
var withDocuments = regexp.MustCompile(`\bgpuworker (?:adopt|apply|assert|check|delete|disown|export|gpus|hosts|orphans|park|plan|replace|role|status|unpark)\b( -f \S+| --help)?`)

// advice adds the -f flags of this command to the commands of ours in a sentence, so
// that they do what is said when they are typed as printed.
func (a *app) advice(text string) string {
	return withDocuments.ReplaceAllStringFunc(text, func(command string) string {
		command, open := strings.CutSuffix(command, " -f FILE")
		if !open && strings.Count(command, " ") > 1 { // it says already what it needs
			return command
		}
		return command + a.fileFlags()
	})
}

// fileFlags are the -f flags of this command, with a space before each.
func (a *app) fileFlags() string {
	flags := ""
	for _, file := range a.files {
		word, ok := shell.Word(file)
		if !ok {
			word = "FILE"
		}
		flags += " -f " + word
	}
	if len(flags) > maxCommand || a.ownFiles {
		return " -f FILE"
	}
	return flags
}
