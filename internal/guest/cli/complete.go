package cli

import (
	"context"
	"flag"
	"io"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/term"
)

// completeVerb is how the completion script asks what may follow the words that were
// typed. The last one is incomplete.
const completeVerb = "__complete"

// bashCompletion asks this program.
const bashCompletion = `# eval "$(gpuworker-guest completion bash)"
_gpuworker_guest() {
    local current=${COMP_WORDS[COMP_CWORD]}
    mapfile -t COMPREPLY < <(compgen -W "$(gpuworker-guest __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2> /dev/null)" -- "$current")
}
complete -o default -F _gpuworker_guest gpuworker-guest
`

func completionCommand() command {
	return command{
		name: "completion", args: "bash", summary: "print a script that completes commands, flags and findings",
		long:    "Print a completion script for bash.",
		example: `  eval "$(gpuworker-guest completion bash)"` + "\n  gpuworker-guest completion bash > /etc/bash_completion.d/gpuworker-guest",
		flags: func(t *Tool, _ *flag.FlagSet) func(context.Context, []string) error {
			return func(_ context.Context, args []string) error {
				if len(args) != 1 || args[0] != "bash" {
					return usage("completion takes the name of a shell: bash")
				}
				_, err := io.WriteString(t.Out, bashCompletion)
				return err
			}
		},
	}
}

// complete prints what may follow, one word a line.
func (t *Tool) complete(typed []string) error {
	for _, word := range t.candidates(typed) {
		term.Fprintln(t.Out, term.Line(word))
	}
	return nil
}

// candidates are the words that may stand in the place of the last one. Those before it
// are not repeated.
func (t *Tool) candidates(typed []string) (words []string) {
	if len(typed) < 2 {
		for _, c := range commands() {
			words = append(words, c.name)
		}
		return append(words, "help", "version")
	}
	at := slices.IndexFunc(commands(), func(c command) bool { return c.name == typed[0] })
	before, last := typed[1:len(typed)-1], typed[len(typed)-1]
	switch {
	case at < 0, len(before) > 0 && slices.Contains([]string{"--root", "--worker", "--wait"}, before[len(before)-1]):
		return nil // the shell offers files
	case len(before) > 0 && before[len(before)-1] == "-o":
		return []string{"json"}
	case strings.HasPrefix(last, "-"):
		flags, _ := t.flagSet(commands()[at])
		flags.VisitAll(func(f *flag.Flag) { words = append(words, dashed(f.Name)) })
	case typed[0] == "explain":
		for _, kind := range finding.OfGuest() {
			words = append(words, string(kind.ID))
		}
	case typed[0] == "completion":
		words = []string{"bash"}
	}
	return slices.DeleteFunc(words, func(word string) bool { return slices.Contains(before, word) })
}

// dashed writes a flag as it is typed.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
