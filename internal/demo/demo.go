package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/examples"
	"github.com/gpuworker/gpuworker/internal/cli"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/shell"
	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/testdata/worlds"
)

const (
	// file is the document of the demo's commands.
	file = "homelab.yaml"
	// token is a login with exactly the privileges of the role.
	token = "gpuworker@pve!engine"
	// timeScale is how much faster the simulated cluster is than a real one.
	timeScale = 5
	// columns is the width of the demo when the width of the terminal is not known.
	columns = 100
)

// Run runs the demo.
func Run(ctx context.Context, request cli.DemoRequest) error {
	s, err := newStage(request)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.runAll(ctx); err != nil {
		return err
	}
	if request.Keep {
		s.keep(ctx)
	}
	return nil
}

// stage is the environment of the demo: a simulated cluster and a working directory with
// the document.
type stage struct {
	cli.DemoRequest
	server  *server
	folder  string
	back    string // the working directory before
	secret  string
	started time.Time
}

func newStage(request cli.DemoRequest) (*stage, error) {
	s := &stage{DemoRequest: request, started: time.Now()}
	world, err := pvesim.LoadWorld(worlds.Homelab)
	if err != nil {
		return nil, fmt.Errorf("read the demo's world file: %w", err)
	}
	if s.secret, err = secretOf(world, token); err != nil {
		return nil, err
	}
	sim, err := pvesim.New(world, pvesim.WithTimeScale(timeScale), pvesim.WithLog(func(string, ...any) {}))
	if err != nil {
		return nil, fmt.Errorf("start the simulator: %w", err)
	}
	if s.server, err = serve(sim); err != nil {
		sim.Close()
		return nil, err
	}
	if err := s.enterFolder(); err != nil {
		s.close()
		return nil, err
	}
	s.prepareProgram()
	return s, nil
}

// secretOf returns the complete token as a client sends it.
func secretOf(world pvesim.World, id string) (string, error) {
	for _, t := range world.Tokens {
		if t.ID == id {
			return t.ID + "=" + t.Secret, nil
		}
	}
	return "", fmt.Errorf("the demo's world file has no token %s", id)
}

// enterFolder makes a working directory with the document and enters it, so that the
// commands look as a person would type them.
func (s *stage) enterFolder() (err error) {
	document, err := pointAt(examples.Homelab, s.server.endpoint, s.server.fingerprint)
	if err != nil {
		return err
	}
	if s.back, err = os.Getwd(); err != nil {
		return fmt.Errorf("find the working directory: %w", err)
	}
	if s.folder, err = os.MkdirTemp("", "gpuworker-demo-"); err != nil {
		return fmt.Errorf("make a working directory: %w", err)
	}
	if err := os.WriteFile(filepath.Join(s.folder, file), document, 0o600); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return os.Chdir(s.folder)
}

// pointAt writes the simulator's address and fingerprint into the example.
func pointAt(document []byte, endpoint, fingerprint string) ([]byte, error) {
	const placeholder = "    endpoint: https://127.0.0.1:8006\n"
	text := string(document)
	if strings.Count(text, placeholder) != 1 {
		return nil, errors.New("the example does not have the endpoint that the demo replaces")
	}
	real := fmt.Sprintf("    endpoint: %s\n    tls: {fingerprint: %s}\n", endpoint, fingerprint)
	return []byte(strings.Replace(text, placeholder, real, 1)), nil
}

// prepareProgram sets the token and the width for the commands.
func (s *stage) prepareProgram() {
	outside := s.Program.LookupEnv
	s.Program.LookupEnv = func(name string) (string, bool) {
		if name == "PVE_TOKEN" {
			return s.secret, true
		}
		if outside == nil {
			return "", false
		}
		return outside(name)
	}
	s.Program.Interrupts = nil // the demo command itself handles interrupts
	shown := map[string]bool{}
	s.Program.Seen = func(plan string) bool {
		before := shown[plan]
		shown[plan] = true
		return before
	}
	size := s.Program.Out.Size
	s.Program.Out.Size = func() (int, int) {
		if size != nil {
			if width, height := size(); width > 0 {
				return width, height
			}
		}
		return columns, 0
	}
}

func (s *stage) close() {
	s.server.close()
	if s.folder == "" {
		return
	}
	_ = os.Chdir(s.back)
	_ = os.RemoveAll(s.folder)
}

// keep leaves the simulator running until the context ends.
func (s *stage) keep(ctx context.Context) {
	s.printf("%s\n\n", s.heading("Now try it yourself"))
	s.printf("The simulator runs until Ctrl-C. In another terminal:\n\n")
	s.printf("  export PVE_TOKEN='%s'\n", s.secret)
	s.printf("  %s\n", shell.Command("export GPUWORKER_FILE=%s", filepath.Join(s.folder, file)))
	s.printf("  gpuworker status\n")
	<-ctx.Done()
}

func (s *stage) printf(format string, args ...any) { fmt.Fprintf(s.Program.Out, format, args...) }

// run runs one command of the demo. codes are its allowed exit codes.
func (s *stage) run(ctx context.Context, line string, codes ...int) error {
	code := s.Program.Run(ctx, strings.Fields(line))
	if ctx.Err() != nil {
		return &fault.Error{Kind: fault.Interrupted, Why: "the demo was interrupted", Cause: ctx.Err()}
	}
	for _, allowed := range codes {
		if code == allowed {
			return nil
		}
	}
	return fmt.Errorf("gpuworker %s ended with exit code %d", line, code)
}
