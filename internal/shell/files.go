package shell

import (
	"regexp"
	"strings"
)

// withDocuments matches a gpuworker command that reads documents, in a sentence.
var withDocuments = regexp.MustCompile(`\bgpuworker (?:adopt|apply|assert|check|delete|disown|export|gpus|hosts|orphans|park|plan|render|replace|role|status|unpark)\b( -f \S+| --help)?`)

// WithFiles adds flags, " -f lab.yaml", to the gpuworker commands in a sentence that read
// documents, so that they work as printed. " -f FILE" in a command is replaced.
func WithFiles(sentence, flags string) string {
	return withDocuments.ReplaceAllStringFunc(sentence, func(command string) string {
		command, open := strings.CutSuffix(command, " -f FILE")
		if !open && strings.Count(command, " ") > 1 { // it already has flags
			return command
		}
		return command + flags
	})
}
