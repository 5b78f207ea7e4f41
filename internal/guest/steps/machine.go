package steps

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/guest/check"
	"github.com/gpuworker/gpuworker/internal/guest/files"
	"github.com/gpuworker/gpuworker/internal/guest/look"
	"github.com/gpuworker/gpuworker/internal/guest/run"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/machine"
	"github.com/gpuworker/gpuworker/internal/term"
)

// Machine is the guest that is changed.
type Machine struct {
	Tree      hosttree.Reader
	Files     files.Writer
	Runner    run.Runner
	KernelLog func() []byte // nil for that of the tree
	Program   string        // version of gpuworker-guest
}

// Modes of our files. Status and log may name package repositories and cards; only root,
// as which the guest agent runs, reads them.
const (
	privateMode fs.FileMode = 0o600
	publicMode  fs.FileMode = 0o644
)

// Look reads the guest.
func (m *Machine) Look(ctx context.Context) *look.Guest {
	var o look.Options
	if m.KernelLog != nil {
		o.KernelLog = m.KernelLog()
	}
	return look.Read(ctx, m.Tree, m.Runner, o)
}

// Check looks at the guest and judges it.
func (m *Machine) Check(ctx context.Context) *check.Report { return m.judge(m.Look(ctx)) }

func (m *Machine) judge(g *look.Guest) *check.Report {
	return check.Run(g, check.Options{Tool: m.Program, Taken: now().Format(time.RFC3339)})
}

func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// relative is the name of one of our files below the root.
func relative(file string) string { return strings.TrimPrefix(file, "/") }

// writeStatus writes the status.
func (m *Machine) writeStatus(s *guest.Status) error {
	s.Updated = now()
	data, err := machine.JSON(s)
	if err != nil {
		return err
	}
	return m.Files.Write(relative(guest.StatusFile), data, privateMode)
}

// Limits of the log, in bytes: when it is longer than maxLog, only its end is kept.
const (
	maxLog  = 1 << 20
	keptLog = 256 << 10
)

// shortenLog cuts a long log.
func (m *Machine) shortenLog() error {
	name := relative(guest.LogFile)
	data, err := m.Tree.ReadFile(name)
	if err != nil || len(data) <= maxLog {
		return nil // there is none, or it is short
	}
	return m.Files.Write(name, data[len(data)-keptLog:], privateMode)
}

// log writes a line to the log, and the output of a command below it.
func (m *Machine) log(line, output string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", now().Format(time.RFC3339), term.Line(line))
	for text := range strings.Lines(output) {
		b.WriteString("    " + string(term.Line(strings.TrimRight(text, "\r\n"))) + "\n")
	}
	return m.Files.Append(relative(guest.LogFile), []byte(b.String()), privateMode)
}

// run runs a command that changes the guest, and logs it. It is not interrupted: a
// package manager that is killed leaves packages half installed.
func (m *Machine) run(ctx context.Context, c run.Command) (run.Result, error) {
	result := m.Runner.Run(context.WithoutCancel(ctx), c)
	state := fmt.Sprintf("exit code %d", result.Code)
	if result.State != run.Ended {
		state = result.Problem(c)
	}
	return result, m.log("run "+c.String()+": "+state, result.Output)
}
