package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	xterm "golang.org/x/term"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/term"
)

// Program is the command line program with everything that it needs from outside.
type Program struct {
	Streams

	// NewEngine makes the engine of a command.
	NewEngine func(request EngineRequest) Engine
	// Demo runs `gpuworker demo`; nil leaves the verb out.
	Demo func(ctx context.Context, request DemoRequest) error

	// LookupEnv looks up the environment.
	LookupEnv func(name string) (string, bool)
	// Interrupts delivers SIGINT and SIGTERM. The first one ends the command cleanly,
	// the second one calls Exit. May be nil.
	Interrupts <-chan os.Signal
	// Exit ends the process at once.
	Exit func(code int)
	// Seen reports whether a plan was already printed and is not printed again; nil
	// prints every plan. The demo uses it, because it shows a plan and then applies it.
	Seen func(plan string) bool
	// Now returns the time for progress lines; nil means time.Now.
	Now func() time.Time
}

// EngineRequest is what a command needs of its engine.
type EngineRequest struct {
	Login Login
	// LookupEnv looks up secrets in the environment.
	LookupEnv func(name string) (string, bool)
	// Facts is the source of host facts; may be nil.
	Facts engine.FactSource
	// GuestDir is the directory of --guest-dir; "" for the builds of this release.
	GuestDir string
	// Warn prints a warning; may be nil.
	Warn func(text string)
	// Log logs calls and changes; nil is silent.
	Log *slog.Logger
}

// Login says whether the engine logs in to hypervisors.
type Login string

// WithLogin requires the credentials of the documents. Without a login they may be
// missing, and no hypervisor is asked.
const (
	WithLogin    Login = "with login"
	WithoutLogin Login = "without login"
)

// DemoRequest are the options of the demo.
type DemoRequest struct {
	// Program runs the commands of the story.
	Program Program
	// Keep leaves the simulator running until the context ends.
	Keep  bool
	Color bool
}

// Streams are the standard streams of a command.
type Streams struct {
	In       io.Reader
	Out, Err Stream
	// Asks: In is a terminal, so that a person can answer a question.
	CanAsk bool
}

// Stream is an output stream.
type Stream struct {
	io.Writer
	// Terminal: the stream is a terminal.
	Terminal bool
	// Size returns the width and height of the terminal in characters. It is nil, or
	// returns zeros, when they are not known.
	Size func() (width, height int)

	// guard is the Writer while a command runs; it cleans the output.
	guard *term.Writer
}

// guarded returns the stream with a guard that cleans its output.
func (s Stream) guarded(colour func() bool) Stream {
	if s.Writer == nil {
		s.Writer = io.Discard
	}
	s.guard = term.NewWriter(s.Writer, colour)
	s.Writer = s.guard
	return s
}

// NewStream makes a stream of a file and detects whether it is a terminal.
func NewStream(file *os.File) Stream {
	fd := int(file.Fd())
	return Stream{
		Writer:   file,
		Terminal: xterm.IsTerminal(fd),
		Size: func() (int, int) {
			width, height, err := xterm.GetSize(fd)
			if err != nil {
				return 0, 0
			}
			return width, height
		},
	}
}

// width returns the terminal's width in columns, 0 when it is not known.
func (s Stream) width() int {
	if s.Size == nil {
		return 0
	}
	width, _ := s.Size()
	return width
}

// Process sets the streams, environment and signals to those of this process.
func (p Program) Process() Program {
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	p.Streams = Streams{
		In:     os.Stdin,
		Out:    NewStream(os.Stdout),
		Err:    NewStream(os.Stderr),
		CanAsk: xterm.IsTerminal(int(os.Stdin.Fd())),
	}
	p.LookupEnv = os.LookupEnv
	p.Interrupts = interrupts
	p.Exit = os.Exit
	return p
}

// Run runs one command line (without the program's name) and returns the exit
// code of internal/fault.
func (p Program) Run(ctx context.Context, args []string) int {
	a := newApp(p)
	a.args = args
	root := a.root()
	a.presumeOutput(root)
	ctx, stop := a.watchInterrupts(ctx)
	defer stop()
	root.SetArgs(append([]string{}, args...)) // with nil, cobra would use those of the process
	cmd, err := root.ExecuteContextC(ctx)
	return a.end(ctx, helpOf(cmd, err))
}
