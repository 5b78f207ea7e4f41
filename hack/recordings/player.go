package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// fixtures is the scenario that creates the objects of the others; each variant runs it first.
const fixtures = "000-fixtures.json"

// player starts simulators and replays scenarios against them.
type player struct {
	bin   string // directory of the built programs
	dir   string // the recordings
	scale float64
	out   io.Writer
	// failed scenarios, by name.
	failed map[string]bool
}

func (p *player) replay() string    { return filepath.Join(p.bin, "replay") }
func (p *player) simulator() string { return filepath.Join(p.bin, "pvesim") }

// build builds the program that compares, from the recordings' directory, and the
// simulator, from this repository.
func (p *player) build(ctx context.Context) error {
	for _, b := range []struct{ dir, to, pkg string }{
		{filepath.Join(p.dir, "replay"), p.replay(), "."}, {".", p.simulator(), "./cmd/pvesim"},
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", b.to, b.pkg)
		cmd.Dir = b.dir
		// Neither program belongs to a Go workspace of the user.
		cmd.Env = append(os.Environ(), "GOWORK=off")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s in %s: %w\n%s", b.pkg, b.dir, err, text)
		}
	}
	return nil
}

// play replays the scenarios of one variant on a new simulator with its world file.
func (p *player) play(ctx context.Context, variant string) error {
	world := "testdata/worlds/recorded.yaml"
	if variant != "" {
		world = "testdata/worlds/recorded-" + variant + ".yaml"
	}
	if _, err := os.Stat(world); err != nil {
		return fmt.Errorf("scenarios need the variant %q: %w", variant, err)
	}
	address, stop, err := p.start(ctx, world)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "playing on %s at %s\n", world, address)
	scenarios := filepath.Join(p.dir, "scenarios")
	if variant != "" {
		err = p.compare(ctx, address, filepath.Join(scenarios, fixtures))
	}
	if err == nil {
		err = p.compare(ctx, address, "-variant", variant, scenarios)
	}
	return errors.Join(err, stop())
}

// start runs the simulator until stop is called. When start returns, it accepts requests.
func (p *player) start(ctx context.Context, world string) (address string, stop func() error, err error) {
	ready := filepath.Join(p.bin, filepath.Base(world)+".ready")
	cmd := exec.CommandContext(ctx, p.simulator(), "-world", world, "-ready-file", ready, "-quiet",
		"-time-scale", fmt.Sprint(p.scale))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	limit := time.After(30 * time.Second)
	for {
		if text, err := os.ReadFile(ready); err == nil {
			stop := func() error {
				if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
					return fmt.Errorf("the simulator ended too early: %w\n%s", err, said.Bytes())
				}
				return <-ended
			}
			return strings.TrimSpace(string(text)), stop, nil
		}
		select {
		case err := <-ended:
			return "", nil, fmt.Errorf("the simulator ended on %s: %w\n%s", world, err, said.Bytes())
		case <-limit:
			return "", nil, fmt.Errorf("the simulator is not ready on %s after 30s", world)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// compare replays scenarios strictly: every difference counts. It records scenarios that
// fail; the error means that they could not be replayed.
func (p *player) compare(ctx context.Context, address string, args ...string) error {
	args = append([]string{"-base", "https://" + address, "-insecure"}, args...)
	var text bytes.Buffer
	cmd := exec.CommandContext(ctx, p.replay(), args...)
	cmd.Stdout, cmd.Stderr = io.MultiWriter(p.out, &text), p.out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return fmt.Errorf("replay %s: %w", strings.Join(args, " "), err)
	}
	failed := failures(&text)
	if err != nil && len(failed) == 0 {
		return fmt.Errorf("replay %s: %w, and no scenario is named", strings.Join(args, " "), err)
	}
	for _, name := range failed {
		if p.failed == nil {
			p.failed = map[string]bool{}
		}
		p.failed[name] = true
	}
	return nil
}

// failures returns the scenarios that failed, from the output of replay.
func failures(output io.Reader) []string {
	var names []string
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "FAIL  "); ok {
			names = append(names, name)
		}
	}
	return names
}
