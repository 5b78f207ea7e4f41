package cli

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	hostfacts "github.com/gpuworker/gpuworker/internal/host/facts"
	"github.com/gpuworker/gpuworker/internal/term"
)

// app is one run of the command line: the program and its global flags.
type app struct {
	Program

	args []string // of this command line
	// renamed are the workers that are replaced without --vm. The command that repeats
	// this one names their VMs with --vm.
	replacedByName []string
	files          []string
	// ownFiles: the documents are those in a plan file, not those of -f.
	documentsInPlan bool
	facts           hostfacts.Options
	guestDir        string // of --guest-dir
	output          string
	color           string
	quiet           bool
	// verbosity is the value of -v, or how often it was given.
	verbosity int

	// chosen is the value of --color after the flags are parsed. It is atomic because an
	// interrupt may be reported at any time.
	colorMode atomic.Value
	// machines: the output of -o is for machines.
	forMachines atomic.Bool

	mu sync.Mutex
	// running is the progress that an interrupt reports; nil when nothing runs.
	running *progress
	// log is the logger of -v; nil before the flags are parsed.
	log *slog.Logger
	// warnings are for the output for machines, and were not printed yet.
	warnings []string
}

// The values of -o.
const (
	outTable = "table"
	outJSON  = "json"
	outYAML  = "yaml"
)

var (
	outputs = []string{outTable, outJSON, outYAML}
	colors  = []string{"auto", "always", "never"}
)

func newApp(p Program) *app {
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.LookupEnv == nil {
		p.LookupEnv = func(string) (string, bool) { return "", false }
	}
	a := &app{Program: p, output: outTable, color: "auto"}
	out, err := p.Out, p.Err
	a.Out = out.guarded(func() bool { return a.paint(out).On })
	a.Err = err.guarded(func() bool { return a.paint(err).On })
	return a
}

func (a *app) addGlobalFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringArrayVarP(&a.files, "file", "f", nil,
		"`FILE` or directory with documents, - for standard input; repeatable\n(default $GPUWORKER_FILE, or else ./gpuworker.yaml)")
	flags.StringVar(&a.facts.Dir, "host-facts", "", "read host facts from `DIR`/HOST.json (gpuworker-host check -o json)")
	flags.DurationVar(&a.facts.MaxAge, "host-facts-max-age", hostfacts.MaxAge, "ignore host facts older than `AGE`")
	flags.StringArrayVar(&a.facts.SSH, "ssh", nil, "get host facts by SSH from `USER@HOST`; USER@{host}, written literally, is all hosts; repeatable")
	flags.StringVarP(&a.output, "output", "o", outTable, "output `FORMAT`: "+strings.Join(outputs, ", "))
	flags.StringVar(&a.color, "color", "auto", "`WHEN` to use color: "+strings.Join(colors, ", ")+"; auto obeys NO_COLOR")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "print only results and errors")
	a.addLogFlag(root)
	fixed := func(values []string) cobra.CompletionFunc {
		return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	}
	_ = root.RegisterFlagCompletionFunc("output", fixed(outputs))
	_ = root.RegisterFlagCompletionFunc("color", fixed(colors))
	_ = root.RegisterFlagCompletionFunc("ssh", a.complete(hostLogins))
}

// checkGlobalFlags refuses values of global flags that do not exist.
func (a *app) checkGlobalFlags(cmd *cobra.Command) error {
	asked := outTable // replaces the output that was presumed before parsing
	if cmd.Flags().Changed("output") {
		asked = a.output
	}
	if !slices.Contains(outputs, asked) {
		a.setOutput(outTable)
		return usage("-o %q is not known; write one of %s", asked, strings.Join(outputs, ", "))
	}
	a.setOutput(asked)
	if a.verbosity < 0 {
		return usage("-v=%d is not a log level; write -v or -v=2", a.verbosity)
	}
	if err := a.checkOutput(cmd); err != nil {
		return err
	}
	a.colorMode.Store(a.color)
	if !slices.Contains(colors, a.color) {
		return usage("--color %q is not known; write one of %s", a.color, strings.Join(colors, ", "))
	}
	if a.facts.MaxAge <= 0 {
		return usage("--host-facts-max-age %s: it must be more than zero; write for example 24h", a.facts.MaxAge)
	}
	return nil
}

// forPeople reports whether the output is text for people, not JSON or YAML.
func (a *app) forPeople() bool { return !a.forMachines.Load() }

// paint returns the colours for a stream.
func (a *app) paint(to Stream) term.Paint {
	switch a.colorMode.Load() {
	case "always":
		return term.Paint{On: true}
	case "never":
		return term.Paint{}
	}
	return term.Paint{On: to.Terminal && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"}
}

// printer returns a printer of results for people.
func (a *app) printer() term.Printer {
	return term.Printer{Out: a.Out, Paint: a.paint(a.Out), Width: a.Out.width(), Advice: a.advice}
}

// say prints a sentence for people. It prints nothing with -q, or when the output is
// for machines. The arguments are cleaned.
func (a *app) say(format string, args ...any) {
	if !a.quiet && a.forPeople() {
		term.Fprintf(a.Out, format, args...)
	}
}

// engine reads the documents and returns a session with an engine for them.
func (a *app) engine(ctx context.Context) (session, error) {
	documents, err := a.documents(ctx)
	if err != nil {
		return session{}, err
	}
	return a.sessionWith(documents)
}

// sessionWith returns a session with an engine for documents.
func (a *app) sessionWith(documents *v1alpha1.Documents) (session, error) {
	facts, err := a.hostFacts()
	if err != nil {
		return session{}, err
	}
	e := a.NewEngine(EngineRequest{Login: WithLogin, LookupEnv: a.LookupEnv, Facts: facts, GuestDir: a.guestDir, Warn: a.warn, Log: a.logger()})
	return session{patient{e, a}, documents}, nil
}

// hostFacts returns the source of host facts; nil when no flag names one.
func (a *app) hostFacts() (engine.FactSource, error) {
	if a.facts.Dir == "" && len(a.facts.SSH) == 0 {
		return nil, nil
	}
	o := a.facts
	o.Now = a.Now
	return hostfacts.Open(o)
}

// warn prints a warning: for people at once, for machines as part of the result.
func (a *app) warn(text string) {
	switch {
	case !a.forPeople():
		a.keepWarning(text)
	case !a.quiet:
		term.Fprintf(a.Err, "%s %s\n", a.paint(a.Err).Yellow("warning:"), text)
	}
}

// getenv returns an environment variable, "" when it is not set.
func (a *app) getenv(name string) string {
	value, _ := a.LookupEnv(name)
	return value
}

// usage returns an error about the command line. Its fix becomes the help of the
// command.
func usage(format string, args ...any) error {
	return &fault.Error{Kind: fault.Invalid, Why: fmt.Sprintf(format, args...), Fix: helpFix}
}

// verb adapts a verb's function to cobra.
func verb(run func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), args) }
}
