package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/internal/buildinfo"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/machine"
)

// With -o json or yaml, standard output has exactly one value, which includes the
// warnings. Standard error has nothing or exactly one error. There is no progress, no
// question and no text for people. With -v the error comes after the log.

// askedOutput finds the value of -o before the flags are parsed, for errors of the
// parsing. "" when it is missing or unknown.
func askedOutput(args []string) string {
	asked := ""
	for i, arg := range args {
		if arg == "--" {
			break
		}
		value, found := strings.CutPrefix(arg, "--output=")
		if !found {
			value, found = shortOutput(arg)
		}
		switch next := i + 1; {
		case arg == "--output", found && value == "":
			if found = next < len(args); found {
				value = args[next]
			}
		}
		if found {
			asked = value
		}
	}
	if !slices.Contains(outputs, asked) {
		return ""
	}
	return asked
}

// shortOutput returns the value of -o in -o=json, -ojson and -qo=json; "" when the value
// is the next argument.
func shortOutput(arg string) (value string, found bool) {
	letters, found := strings.CutPrefix(arg, "-")
	if !found || strings.HasPrefix(letters, "-") {
		return "", false
	}
	value, found = strings.CutPrefix(strings.TrimLeft(letters, "qv"), "o")
	return strings.TrimPrefix(value, "="), found
}

// presumeOutput sets the output format that the command line seems to ask for, until its
// flags are parsed.
func (a *app) presumeOutput(root *cobra.Command) {
	asked := askedOutput(a.args)
	if asked == "" {
		return
	}
	a.setOutput(asked)
	if !a.forPeople() {
		var text strings.Builder
		_ = encode(&text, a.output, a.withWarnings(buildinfo.This())) // cannot fail for this type
		root.SetVersionTemplate(text.String())
	}
}

func (a *app) setOutput(output string) {
	a.output = output
	a.forMachines.Store(output != outTable)
}

// textOnly are the commands whose output is always text.
var textOnly = []string{"demo", "docs", "help", "completion"}

// checkOutput refuses -o json and yaml for commands that only print text.
func (a *app) checkOutput(cmd *cobra.Command) error {
	top := cmd
	for top.HasParent() && top.Parent().HasParent() {
		top = top.Parent()
	}
	if !a.forPeople() && slices.Contains(textOnly, top.Name()) {
		return usage("%s only prints text; it has no -o %s", cmd.CommandPath(), a.output)
	}
	return nil
}

// machine prints a value as JSON or YAML, with the warnings of the command.
func (a *app) machine(value any) error { return encode(a.Out, a.output, a.withWarnings(value)) }

// withWarnings adds the field "warnings" to a value. These warnings are not printed
// again with an error.
func (a *app) withWarnings(value any) any {
	a.mu.Lock()
	defer a.mu.Unlock()
	whole, err := machine.Member(value, "warnings", append([]string{}, a.warnings...))
	if err != nil {
		return value // writing the value gives the same error
	}
	a.warnings = nil
	return json.RawMessage(adviceMembers.ReplaceAllStringFunc(string(whole), a.adviceMember))
}

// adviceMembers are the members of a result that may have a command of ours in them.
var adviceMembers = regexp.MustCompile(`(?m)^ *"(?:fix|hint|next)": "(?:[^"\\]|\\.)*gpuworker (?:[^"\\]|\\.)*"`)

// adviceMember is such a member with the flags that its command needs.
func (a *app) adviceMember(member string) string {
	name, value, _ := strings.Cut(member, ": ")
	var text string
	if json.Unmarshal([]byte(value), &text) != nil {
		return member
	}
	complete, err := json.Marshal(a.advice(text))
	if err != nil {
		return member
	}
	return name + ": " + string(complete)
}

// keepWarning keeps a warning for the result.
func (a *app) keepWarning(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Contains(a.warnings, text) {
		a.warnings = append(a.warnings, text)
	}
}

// encode writes a value as JSON or YAML.
func encode(w io.Writer, output string, value any) error {
	write := machine.JSON
	if output == outYAML {
		write = machine.YAML
	}
	data, err := write(value)
	if err != nil {
		return fmt.Errorf("write the result as %s: %w", output, err)
	}
	_, err = w.Write(data)
	return err
}

// writeErrorForMachines writes an error as one JSON or YAML value. With a log, it is
// one line, the last one.
func (a *app) writeErrorForMachines(err error) {
	report := errorReport{Error: a.describe(err)}
	a.mu.Lock()
	report.Warnings, a.warnings = a.warnings, nil
	a.mu.Unlock()
	if a.output != outYAML && a.logs() {
		if line, err := machine.Line(report); err == nil {
			_, _ = a.Err.guard.Whole().Write(line)
		}
		return
	}
	_ = encode(a.Err, a.output, report)
}

// helpFix is the fix for a wrong command line.
const helpFix = "gpuworker --help"

// helpOf replaces the general help in an error by the help of the command that was run.
func helpOf(cmd *cobra.Command, err error) error {
	var f *fault.Error
	if errors.As(err, &f) && f.Fix == helpFix {
		f.Fix = cmd.CommandPath() + " --help"
	}
	return err
}
