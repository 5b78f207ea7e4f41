package cli

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/buildinfo"
	"github.com/gpuworker/gpuworker/internal/fault"
	hostbind "github.com/gpuworker/gpuworker/internal/host/bind"
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
	// Host is the host to bind cards on; nil means this machine.
	Host *hostbind.Machine
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	root   string // directory or archive
	output string // value of -o
	json   bool
	tree   hosttree.Reader
	bytes  io.Writer // unfiltered Out, for output that must not be changed
	print  term.Printer
}

// command is one verb.
type command struct {
	name    string
	args    string // "[BDF]"
	summary string
	long    string
	example string
	// output is the help text of -o for commands whose -o is a file; "" if it is the
	// form of the output.
	output string
	// flags declares the flags of the command and returns its function.
	flags func(t *Tool, flags *flag.FlagSet) func(args []string) error
}

// commands returns all verbs, in the order of the help.
func commands() []command {
	return []command{
		listCommand(), checkCommand(), explainCommand(), bindCommand(), unbindCommand(), assertCommand(),
		captureCommand(), metricsCommand(), completionCommand(),
	}
}

// exitError ends the program with this exit code.
type exitError struct {
	code int
	err  error // nil when the reason was already printed
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exitError{fault.ExitInvalid, fmt.Errorf(format, args...)}
}

// Main runs the program and returns its exit code.
func (t *Tool) Main(args []string) int {
	out := term.NewWriter(t.Out, func() bool { return t.Colour })
	if t.bytes = t.Out; t.Width > 0 {
		t.bytes = term.NewWriter(t.Out, nil) // on a terminal, escape sequences are removed
	}
	t.Out, t.Err = out, term.NewWriter(t.Err, nil)
	t.print = term.Printer{Out: out, Paint: term.Paint{On: t.Colour}, Width: t.Width}
	err := t.run(args)
	out.Flush()
	var exit *exitError
	if said := err == nil || errors.Is(err, flag.ErrHelp) || errors.As(err, &exit) && exit.err == nil; said && out.Err() != nil {
		err = fmt.Errorf("write the output: %w", out.Err())
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return fault.ExitOK
	case !errors.As(err, &exit):
		exit = &exitError{fault.ExitFailed, err}
	}
	if exit.err != nil {
		t.complain(args, exit.code, err)
	}
	return exit.code
}

func (t *Tool) run(args []string) error {
	if len(args) == 0 || slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
		t.help()
		return nil
	}
	if args[0] == "version" || args[0] == "--version" {
		return t.version(args[1:])
	}
	if args[0] == hostbind.WriteVerb && len(args) == 4 {
		return hostbind.WriteAttribute(t.Out, args[1], args[2], args[3])
	}
	if args[0] == apartVerb {
		return t.serveApart(args[1:])
	}
	if args[0] == completeVerb {
		return t.complete(args[1:])
	}
	c, ok := commandNamed(args[0])
	if !ok {
		return usage("there is no command %q; gpuworker-host help lists all commands", args[0])
	}
	return t.command(c, args[1:])
}

func commandNamed(name string) (c command, ok bool) {
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		return command{}, false
	}
	return all[i], true
}

func (t *Tool) version(args []string) error {
	switch strings.Join(args, " ") {
	case "", "-o table":
		term.Fprintln(t.Out, term.Line(t.Version.Line("gpuworker-host")))
		return nil
	case "-o json", "-o=json":
		return t.machine(t.Version)
	case "-h", "-help", "--help":
		term.Fprintln(t.Out, "Usage: gpuworker-host version [-o json]")
		return nil
	}
	return usage("version takes -o json and nothing else")
}

// machine writes a value as JSON.
func (t *Tool) machine(value any) error { return writeJSON(t.Out, value) }

func writeJSON(to io.Writer, value any) error {
	data, err := machine.JSON(value)
	if err == nil {
		_, err = to.Write(data)
	}
	return err
}

func (t *Tool) command(c command, args []string) error {
	flags := t.flagSet(c)
	run := c.flags(t, flags)
	rest, err := parseAnywhere(flags, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		t.commandHelp(c, flags)
		return err
	case err != nil:
		return usage("%s: %w; see gpuworker-host %s -h", c.name, err, c.name)
	case c.output == "" && !slices.Contains([]string{"", "json", "table"}, t.output):
		return usage("%s: -o is json or table, not %q", c.name, t.output)
	}
	t.json = c.output == "" && t.output == "json"
	if err := t.open(); err != nil {
		return usage("%w", err)
	}
	return run(rest)
}

// flagSet has the flags that all commands take.
func (t *Tool) flagSet(c command) *flag.FlagSet {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&t.root, "root", "/", "read this `DIR` or captured file instead of this host")
	flags.StringVar(&t.output, "o", "", cmp.Or(c.output, "output as `json`, for programs"))
	return flags
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

// open opens the tree that --root names.
func (t *Tool) open() error {
	info, err := os.Stat(t.root)
	if err != nil {
		return fmt.Errorf("--root: %w", err)
	}
	if info.IsDir() {
		dir, err := hosttree.Open(t.root)
		if err != nil {
			return err
		}
		journals, _ := hostbind.ReadJournals(dir) // unreadable ones are reported by the commands that need them
		t.tree = dir
		if t.root == "/" { // reading live sysfs may hang
			t.tree = apart(dir, t.root)
		}
		t.tree = hostbind.HideStuck(t.tree, journals)
		return nil
	}
	f, err := os.Open(t.root)
	if err != nil {
		return fmt.Errorf("--root: %w", err)
	}
	defer func() { _ = f.Close() }()
	archive, err := hosttree.ReadArchive(f)
	if err != nil {
		return fmt.Errorf("--root: %s is not a captured archive: %w", t.root, err)
	}
	if names, err := archive.ReadDir("."); err == nil && len(names) == 0 { // any text parses as an archive without entries
		return fmt.Errorf("--root: %s is not a captured archive; create one with gpuworker-host capture", t.root)
	}
	t.tree = archive
	return nil
}

// taken is the time of the tree's state, RFC 3339: now, or the time of the capture.
// It is "" when that is not known.
func (t *Tool) taken() string {
	if _, captured := t.tree.(*hosttree.Archive); captured {
		date, _ := t.tree.ReadFile(hosttree.CapturedDate)
		parsed, err := time.Parse(time.RFC3339, strings.TrimSpace(string(date)))
		if err != nil {
			return ""
		}
		return parsed.Format(time.RFC3339)
	}
	now := time.Now
	if t.Now != nil {
		now = t.Now
	}
	return now().UTC().Format(time.RFC3339)
}

func (t *Tool) help() {
	term.Fprintf(t.Out, `gpuworker-host examines one Linux host: can its GPUs be passed to virtual machines?

It changes nothing on the host, except bind and unbind with --yes.

Usage: gpuworker-host COMMAND [flags]

`)
	for _, c := range commands() {
		term.Fprintf(t.Out, "  %-22s %s\n", strings.TrimSpace(c.name+" "+c.args), c.summary)
	}
	term.Fprintf(t.Out, `  version                print the version of this program

gpuworker-host COMMAND -h shows flags and examples. Exit codes: 0 ok, 1 failed,
2 wrong usage, 3 a check failed or the command was refused, 4 the assertion does not hold,
8 a card is stuck until the host is rebooted.
`)
}

func (t *Tool) commandHelp(c command, flags *flag.FlagSet) {
	term.Fprintf(t.Out, "Usage: gpuworker-host %s [flags]\n\n%s\n", strings.TrimSpace(c.name+" "+c.args), term.CleanLines(c.long))
	if c.example != "" {
		term.Fprintf(t.Out, "\nExamples:\n%s\n", term.CleanLines(c.example))
	}
	term.Fprintf(t.Out, "\nFlags:\n")
	flags.VisitAll(func(f *flag.Flag) {
		name, text := flag.UnquoteUsage(f)
		term.Fprintf(t.Out, "  %-22s %s\n", strings.TrimSpace(dashed(f.Name)+" "+name), text)
	})
}

// dashed is a flag as people write it.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
