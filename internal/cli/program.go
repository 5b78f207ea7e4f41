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

// Program is the command line with everything that it needs from outside.
type Program struct {
	Streams

	// NewEngine makes what the verbs work with.
	NewEngine func(request EngineRequest) Engine
	// Demo tells the story of `gpuworker demo`; nil leaves the verb out.
	Demo func(ctx context.Context, request DemoRequest) error

	// LookupEnv looks up the environment.
	LookupEnv func(name string) (string, bool)
	// Interrupts delivers SIGINT and SIGTERM. The first asks for a clean end,
	// the second calls Exit. May be nil.
	Interrupts <-chan os.Signal
	// Exit ends the process at once.
	Exit func(code int)
	// Seen reports whether a plan was shown before and need not be shown again; nil
	// shows every plan. The demo's story would be told twice otherwise.
	Seen func(plan string) bool
	// Now is the time of day for progress lines; nil takes time.Now.
	Now func() time.Time
}

// EngineRequest says what engine a command needs.
type EngineRequest struct {
	Login Login
	// LookupEnv is where secrets in the environment are looked up.
	LookupEnv func(name string) (string, bool)
	// Facts lets hosts speak for themselves; may be nil.
	Facts engine.FactSource
	// Warn says something that is no reason to stop; may be nil.
	Warn func(text string)
	// Log is told what is looked at and changed; nil is silent.
	Log *slog.Logger
}

// Login says whether the engine will log in anywhere.
type Login string

// With a login the credentials of the documents must be there; without one
// they may be missing, and no hypervisor is asked.
const (
	WithLogin    Login = "with login"
	WithoutLogin Login = "without login"
)

// DemoRequest is what the demo is told.
type DemoRequest struct {
	// Program runs the commands of the story.
	Program Program
	// Keep leaves the simulator running until the context ends.
	Keep  bool
	Color bool
}

// Streams are where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err Stream
	// Asks reports whether a person sits at In and can answer a question.
	Asks bool
}

// Stream is one way out.
type Stream struct {
	io.Writer
	// Terminal reports whether a person looks at it as it is written.
	Terminal bool
	// Size is the width and height of the terminal in characters; nil or zeros
	// when not known.
	Size func() (width, height int)

	// guard is the Writer while a command runs: it cleans all that is written.
	guard *term.Writer
}

// guarded is the stream behind its guard.
func (s Stream) guarded(colour func() bool) Stream {
	if s.Writer == nil {
		s.Writer = io.Discard
	}
	s.guard = term.NewWriter(s.Writer, colour)
	s.Writer = s.guard
	return s
}

// NewStream makes a stream of a file and finds out whether it is a terminal.
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

// width is the terminal's width in columns, 0 when there is none.
func (s Stream) width() int {
	if s.Size == nil {
		return 0
	}
	width, _ := s.Size()
	return width
}

// Process fills in the streams, environment and signals of this process.
func (p Program) Process() Program {
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	p.Streams = Streams{
		In:   os.Stdin,
		Out:  NewStream(os.Stdout),
		Err:  NewStream(os.Stderr),
		Asks: xterm.IsTerminal(int(os.Stdin.Fd())),
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
	a.presume(root)
	ctx, stop := a.watchInterrupts(ctx)
	defer stop()
	root.SetArgs(append([]string{}, args...)) // with nil, cobra takes those of the process
	cmd, err := root.ExecuteContextC(ctx)
	return a.end(ctx, helpOf(cmd, err))
}
