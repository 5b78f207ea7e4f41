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

// With -o json or yaml, standard output has exactly one value, of which the warnings
// are a part, and standard error nothing or exactly one error. There is no progress,
// no question and no sentence for people. With -v the error comes behind the log.

// askedOutput is what a command line says of -o before anybody parsed it: errors of
// the parsing are written in that form. "" when it says nothing, or nothing known.
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

// shortOutput is the value of -o in -o=json, -ojson and -qo=json; "" when it is the
// next argument.
func shortOutput(arg string) (value string, found bool) {
	letters, found := strings.CutPrefix(arg, "-")
	if !found || strings.HasPrefix(letters, "-") {
		return "", false
	}
	value, found = strings.CutPrefix(strings.TrimLeft(letters, "qv"), "o")
	return strings.TrimPrefix(value, "="), found
}

// presume takes the form of the output that the command line seems to ask for, until
// its flags are parsed.
func (a *app) presume(root *cobra.Command) {
	asked := askedOutput(a.args)
	if asked == "" {
		return
	}
	a.setOutput(asked)
	if !a.forPeople() {
		var text strings.Builder
		_ = encode(&text, a.output, a.withWarnings(buildinfo.This())) // our own type always can be written
		root.SetVersionTemplate(text.String())
	}
}

func (a *app) setOutput(output string) {
	a.output = output
	a.machines.Store(output != outTable)
}

// textOnly are the commands whose output is a text and nothing else.
var textOnly = []string{"demo", "docs", "help", "completion"}

// checkOutput refuses output for machines where there is none.
func (a *app) checkOutput(cmd *cobra.Command) error {
	top := cmd
	for top.HasParent() && top.Parent().HasParent() {
		top = top.Parent()
	}
	if !a.forPeople() && slices.Contains(textOnly, top.Name()) {
		return usage("%s prints a text; it has no -o %s", cmd.CommandPath(), a.output)
	}
	return nil
}

// machine prints a value as -o json or -o yaml says, with the warnings of the command.
func (a *app) machine(value any) error { return encode(a.Out, a.output, a.withWarnings(value)) }

// withWarnings is a value with its field warnings. They are told with it, and not
// again with an error.
func (a *app) withWarnings(value any) any {
	a.mu.Lock()
	defer a.mu.Unlock()
	whole, err := machine.Member(value, "warnings", append([]string{}, a.warnings...))
	if err != nil {
		return value // whoever writes it finds the same
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

// writeErrorForMachines writes an error as -o says: one value, and in one line when
// there is a log whose last line it is.
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

// helpFix is the way out of a wrong command line: the help of its command.
const helpFix = "gpuworker --help"

// helpOf puts the help of the command that was run in the place of the general one.
func helpOf(cmd *cobra.Command, err error) error {
	var f *fault.Error
	if errors.As(err, &f) && f.Fix == helpFix {
		f.Fix = cmd.CommandPath() + " --help"
	}
	return err
}
