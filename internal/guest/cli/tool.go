// Package cli is the command line of gpuworker-guest. Like that of gpuworker-host it uses
// the flag package of the standard library: cobra would link a network stack.
package cli

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/buildinfo"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/guest/files"
	"github.com/gpuworker/gpuworker/internal/guest/run"
	"github.com/gpuworker/gpuworker/internal/guest/steps"
	"github.com/gpuworker/gpuworker/internal/host/klog"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/machine"
	"github.com/gpuworker/gpuworker/internal/term"
)

// Tool is one run of the program.
type Tool struct {
	Out, Err io.Writer
	Version  buildinfo.Info
	Colour   bool // Out is a terminal that may be coloured
	Width    int  // columns of Out, 0 when it is not a terminal
	// Root is the root of the guest, "" for that of this machine. Tests set it, with Dirs.
	Root string
	// Dirs are the directories of the programs to run; nil for those of the system.
	Dirs []string

	captured string // value of --root
	output   string // value of -o
	print    term.Printer
	tree     hosttree.Reader
	runner   run.Runner
	files    *files.Local // nil for a captured guest
}

// command is one verb.
type command struct {
	name, args, summary, long, example string
	// changes reports whether it changes the guest: it has no --root.
	changes bool
	// flags declares the flags of the command and returns its function.
	flags func(t *Tool, flags *flag.FlagSet) func(ctx context.Context, args []string) error
}

// commands returns all verbs, in the order of the help.
func commands() []command {
	return []command{bootstrapCommand(), statusCommand(), checkCommand(), gateCommand(), explainCommand(), sealCommand(), resetCommand(), completionCommand()}
}

// exitError ends the program with this exit code, after the reason was printed.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit %d", int(e)) }

func usage(format string, args ...any) error {
	return &fault.Error{Kind: fault.Invalid, Why: fmt.Sprintf(format, args...)}
}

// Main runs the program and returns its exit code.
func (t *Tool) Main(ctx context.Context, args []string) int {
	out := term.NewWriter(t.Out, func() bool { return t.Colour })
	t.Out, t.Err = out, term.NewWriter(t.Err, nil)
	t.print = term.Printer{Out: out, Paint: term.Paint{On: t.Colour}, Width: t.Width}
	t.Root = cmp.Or(t.Root, "/")
	err := t.run(ctx, args)
	out.Flush()
	var exit exitError
	if said := err == nil || errors.Is(err, flag.ErrHelp) || errors.As(err, &exit); said && out.Err() != nil {
		err = fmt.Errorf("write the output: %w", out.Err())
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return fault.ExitOK
	case errors.As(err, &exit):
		return int(exit)
	}
	t.complain(args, err)
	return fault.ExitCode(err)
}

// complain prints the error with which the program ends.
func (t *Tool) complain(args []string, err error) {
	if t.output == "json" {
		data, _ := machine.JSON(map[string]fault.View{"error": fault.ViewOf(err)})
		_, _ = t.Err.Write(data)
		return
	}
	term.Fprintf(t.Err, "gpuworker-guest: %s\n", term.Indented(err.Error(), "  "))
	if fix := fault.FixOf(err); fix != "" {
		term.Fprintf(t.Err, "  → %s\n", term.Line(fix))
	}
}

func (t *Tool) run(ctx context.Context, args []string) error {
	if len(args) == 0 || slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
		t.help()
		return nil
	}
	if args[0] == "version" || args[0] == "--version" {
		return t.version(args[1:])
	}
	if args[0] == completeVerb {
		return t.complete(args[1:])
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return t.command(ctx, c, args[1:])
		}
	}
	return usage("there is no command %q; gpuworker-guest help lists all commands", args[0])
}

func (t *Tool) version(args []string) error {
	switch strings.Join(args, " ") {
	case "":
		term.Fprintln(t.Out, term.Line(t.Version.Line("gpuworker-guest")))
		return nil
	case "-o json", "-o=json":
		return t.machine(t.Version)
	}
	return usage("version takes -o json and nothing else")
}

// machine writes a value as JSON.
func (t *Tool) machine(value any) error {
	data, err := machine.JSON(value)
	if err == nil {
		_, err = t.Out.Write(data)
	}
	return err
}

// flagSet returns the flags of a command and its function.
func (t *Tool) flagSet(c command) (*flag.FlagSet, func(context.Context, []string) error) {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	if !c.changes {
		flags.StringVar(&t.captured, "root", "", "read this `DIR` or captured file instead of this guest")
	}
	flags.StringVar(&t.output, "o", "", "output as `json`, for programs")
	return flags, c.flags(t, flags)
}

func (t *Tool) command(ctx context.Context, c command, args []string) error {
	flags, do := t.flagSet(c)
	rest, err := parseAnywhere(flags, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		t.commandHelp(c, flags)
		return err
	case err != nil:
		return usage("%s: %s; see gpuworker-guest %s -h", c.name, err, c.name)
	case !slices.Contains([]string{"", "json", "table"}, t.output):
		return usage("%s: -o is json or table, not %q", c.name, t.output)
	case len(rest) > 0 && c.args == "":
		return usage("%s takes no arguments", c.name)
	}
	closing, err := t.open()
	if err != nil {
		return err
	}
	defer closing()
	return do(ctx, rest)
}

// parseAnywhere accepts flags before and after the arguments.
func parseAnywhere(flags *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return rest, nil
		}
		rest = append(rest, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

// open opens this guest, or the one that --root names.
func (t *Tool) open() (closing func(), err error) {
	if t.captured != "" {
		return t.openCaptured()
	}
	dir, err := hosttree.Open(t.Root)
	if err != nil {
		return nil, err
	}
	t.tree, t.runner = dir, run.Local{Dirs: t.Dirs}
	if t.files, err = files.Open(t.Root); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return func() { _, _ = dir.Close(), t.files.Close() }, nil
}

// openCaptured opens a directory, or a captured guest in a file. Commands are not run for
// it: they would look at this machine.
func (t *Tool) openCaptured() (closing func(), err error) {
	if dir, err := hosttree.Open(t.captured); err == nil {
		t.tree, t.runner = dir, run.Captured{Tree: dir}
		return func() { _ = dir.Close() }, nil
	}
	f, err := os.Open(t.captured)
	if err != nil {
		return nil, usage("--root: %s", err)
	}
	defer func() { _ = f.Close() }()
	archive, err := hosttree.ReadArchive(f)
	if err != nil {
		return nil, usage("--root: %s is not a captured guest: %s", t.captured, err)
	}
	if names, err := archive.ReadDir("."); err == nil && len(names) == 0 { // any text parses as an archive without entries
		return nil, usage("--root: %s is not a captured guest", t.captured)
	}
	t.tree, t.runner = archive, run.Captured{Tree: archive}
	return func() {}, nil
}

// guest is the guest as the steps see it.
func (t *Tool) guest() *steps.Machine {
	m := &steps.Machine{Tree: t.tree, Runner: t.runner, Program: t.Version.Version}
	if t.files != nil {
		m.Files = t.files
	}
	if t.captured == "" && t.Root == "/" {
		m.KernelLog = klog.Read
	}
	return m
}

func (t *Tool) help() {
	term.Fprintf(t.Out, `gpuworker-guest makes this VM a worker and checks it: its GPU, its driver.

Usage: gpuworker-guest COMMAND [flags]

`)
	for _, c := range commands() {
		term.Fprintf(t.Out, "  %-22s %s\n", strings.TrimSpace(c.name+" "+c.args), c.summary)
	}
	term.Fprintf(t.Out, `  version                print the version of this program

gpuworker-guest COMMAND -h shows flags and examples. Exit codes: 0 ok, 1 failed,
2 wrong usage or no orders, 3 a check failed or the command was refused, 5 run it as root,
6 the network or a mirror does not answer, 7 another run is at work, 130 interrupted.
`)
}

func (t *Tool) commandHelp(c command, flags *flag.FlagSet) {
	term.Fprintf(t.Out, "Usage: gpuworker-guest %s [flags]\n\n%s\n", strings.TrimSpace(c.name+" "+c.args), term.CleanLines(c.long))
	if c.example != "" {
		term.Fprintf(t.Out, "\nExamples:\n%s\n", term.CleanLines(c.example))
	}
	term.Fprintf(t.Out, "\nFlags:\n")
	flags.VisitAll(func(f *flag.Flag) {
		name, text := flag.UnquoteUsage(f)
		term.Fprintf(t.Out, "  %-22s %s\n", strings.TrimSpace(dashed(f.Name)+" "+name), text)
	})
}
