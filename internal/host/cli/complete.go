package cli

import (
	"flag"
	"io"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	"github.com/gpuworker/gpuworker/internal/term"
)

// completeVerb is how the completion script asks what may follow the words that were
// typed. The last one is incomplete.
const completeVerb = "__complete"

// bashCompletion asks this program. Bash splits words at colons, which BDFs have: the
// script splits the line at spaces, and removes what stands before the last colon.
const bashCompletion = `# eval "$(gpuworker-host completion bash)"
_gpuworker_host() {
    local typed current before
    read -ra typed <<< "${COMP_LINE:0:COMP_POINT}x"
    current=${typed[-1]%x}
    typed[-1]=$current
    mapfile -t COMPREPLY < <(compgen -W "$(gpuworker-host __complete "${typed[@]:1}" 2> /dev/null)" -- "$current")
    before=${current%"${current##*:}"}
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
}
complete -o default -F _gpuworker_host gpuworker-host
`

func completionCommand() command {
	return command{
		name: "completion", args: "bash", summary: "print a script that completes commands, flags, cards and findings",
		long:    "Print a completion script for bash.",
		example: `  eval "$(gpuworker-host completion bash)"` + "\n  gpuworker-host completion bash > /etc/bash_completion.d/gpuworker-host",
		flags: func(t *Tool, _ *flag.FlagSet) func([]string) error {
			return func(args []string) error {
				if len(args) != 1 || args[0] != "bash" {
					return usage("completion takes the name of a shell: bash")
				}
				_, err := io.WriteString(t.bytes, bashCompletion)
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

// candidates are the words that may stand in the place of the last one. Those before
// it are not repeated.
func (t *Tool) candidates(typed []string) (words []string) {
	if len(typed) < 2 {
		for _, c := range commands() {
			words = append(words, c.name)
		}
		return append(words, "help", "version")
	}
	c, known := commandNamed(typed[0])
	before, last := typed[1:len(typed)-1], typed[len(typed)-1]
	switch {
	case !known, len(before) > 0 && slices.Contains([]string{"--root", "-o"}, before[len(before)-1]):
		return nil // the shell offers files
	case strings.HasPrefix(last, "-"):
		flags := t.flagSet(c)
		c.flags(t, flags)
		flags.VisitAll(func(f *flag.Flag) { words = append(words, dashed(f.Name)) })
	case strings.Contains(c.args, "BDF"):
		words = t.cards(before)
	case c.name == "explain":
		for _, page := range finding.OfHost() {
			words = append(words, string(page.ID))
		}
	case c.name == "completion":
		words = []string{"bash"}
	}
	return slices.DeleteFunc(words, func(word string) bool { return slices.Contains(before, word) })
}

// cards are the addresses of the GPUs of the host that is typed as --root, or of this one.
func (t *Tool) cards(typed []string) (words []string) {
	flags := t.flagSet(command{})
	if i := slices.Index(typed, "--root"); i >= 0 {
		_ = flags.Parse(typed[i:]) // an incomplete flag leaves the default
	}
	if t.open() != nil {
		return nil
	}
	host, err := hostpci.Read(t.tree)
	if err != nil {
		return nil
	}
	for _, card := range host.Cards() {
		words = append(words, card.Main().BDF.String())
	}
	return words
}
