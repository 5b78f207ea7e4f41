package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/bootstrap"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/shell"
)

// delivery is how far the step deliver is; it is kept in the handle. When it is lost, the
// step begins again, and what the guest has already is not written again.
type delivery struct {
	Stage stage             `json:"stage"`
	Arch  string            `json:"arch,omitempty"`  // of the guest, as Go names it
	Piece int               `json:"piece,omitempty"` // the next piece of the program
	Run   hypervisor.Handle `json:"run,omitempty"`   // of the command that runs
}

// stage is one write of the step.
type stage int

const (
	prepare stage = iota // make the directories; look which program is there
	pieces               // write the program, one piece in each call
	join                 // put the pieces together and check them
	writeOrders
	writeScript
	install // run the script, which starts the service
)

// Paths in the guest.
const (
	piecesDir  = "/var/lib/gpuworker/delivery"
	scriptFile = "/etc/gpuworker/gpu-bootstrap.sh"
)

// pieceEvery is the pause between two pieces: each one blocks a worker of the
// hypervisor's server for a moment.
const pieceEvery = 100 * time.Millisecond

// deliver writes gpuworker-guest, its orders and its service into the guest.
func deliver(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	var at delivery
	if j.Handle != "" && json.Unmarshal([]byte(j.Handle), &at) != nil {
		at = delivery{}
	}
	w, err := j.makeGuest(ctx, to)
	if err != nil {
		return nil, err
	}
	wait, err := j.deliverNext(ctx, to, w, &at)
	if fault.Is(err, fault.Unavailable) {
		wait, err = &hypervisor.Wait{For: awaitAgent.For, CallAfter: awaitAgent.CallAfter}, nil
	}
	if wait != nil {
		text, _ := json.Marshal(at)
		wait.Handle = hypervisor.Handle(text)
	}
	return wait, err
}

// deliverNext does the next write.
func (j *Job) deliverNext(ctx context.Context, to hypervisor.Backend, w bootstrap.Worker, at *delivery) (*hypervisor.Wait, error) {
	switch at.Stage {
	case prepare:
		return j.prepare(ctx, to, w, at)
	case pieces:
		return j.writePiece(ctx, to, w, at)
	case join:
		build, err := j.buildFor(w, at.Arch)
		if err != nil {
			return nil, err
		}
		_, wait, err := j.runInGuest(ctx, to, at, joinCommand(build), "put gpuworker-guest together in the guest")
		return at.after(wait, err, writeOrders)
	case writeOrders:
		text, err := json.MarshalIndent(w.Orders, "", "  ")
		if err == nil {
			err = to.WriteGuest(ctx, j.Ref, guest.OrdersFile, append(text, '\n'))
		}
		return at.after(nil, err, writeScript)
	case writeScript:
		script, err := bootstrap.Script(w)
		if err == nil {
			err = to.WriteGuest(ctx, j.Ref, scriptFile, script)
		}
		return at.after(nil, err, install)
	case install:
	}
	_, wait, err := j.runInGuest(ctx, to, at, "sh "+scriptFile, "install gpuworker-guest in the guest")
	return wait, err
}

// after goes to the next stage when the present one is done.
func (at *delivery) after(wait *hypervisor.Wait, err error, next stage) (*hypervisor.Wait, error) {
	if wait != nil || err != nil {
		return wait, err
	}
	at.Stage, at.Run = next, ""
	return &hypervisor.Wait{CallAfter: pieceEvery}, nil
}

// runInGuest runs a command line and requires success.
func (j *Job) runInGuest(ctx context.Context, to hypervisor.Backend, at *delivery, line, doing string) (string, *hypervisor.Wait, error) {
	result, wait, err := to.RunInGuest(ctx, j.Ref, []string{"sh", "-c", line}, at.Run)
	if wait != nil {
		at.Run = wait.Handle
		return "", wait, nil
	}
	if err == nil && result.ExitCode != 0 {
		why := strings.TrimSpace(result.Err)
		err = &fault.Error{
			Kind: fault.Failed, Doing: doing, Where: j.where(), Why: fmt.Sprintf("exit code %d: %s (%s)", result.ExitCode, why, finding.GuestBootstrap),
			Fix: "log in and look why; then run the same command again",
		}
	}
	if err != nil {
		return "", nil, err
	}
	return result.Out, nil, nil
}

// prepare makes the directories and finds out what the guest needs.
func (j *Job) prepare(ctx context.Context, to hypervisor.Backend, w bootstrap.Worker, at *delivery) (*hypervisor.Wait, error) {
	line := fmt.Sprintf("umask 077; mkdir -p /etc/gpuworker %s && uname -m && { sha256sum %s 2>/dev/null || true; }", piecesDir, guest.ProgramFile)
	out, wait, err := j.runInGuest(ctx, to, at, line, "look for gpuworker-guest in the guest")
	if wait != nil || err != nil {
		return wait, err
	}
	machine, sum, _ := strings.Cut(out, "\n")
	at.Arch = bootstrap.ArchOf(strings.TrimSpace(machine))
	if len(w.Program.Builds) == 0 { // the template has the program
		return at.after(nil, nil, writeOrders)
	}
	build, err := j.buildFor(w, at.Arch)
	switch {
	case err != nil:
		return nil, err
	case strings.HasPrefix(sum, build.SHA256+" "):
		return at.after(nil, nil, writeOrders)
	}
	return at.after(nil, nil, pieces)
}

// buildFor returns the program for the architecture of the guest.
func (j *Job) buildFor(w bootstrap.Worker, arch string) (bootstrap.Build, error) {
	for _, build := range w.Program.Builds {
		if build.Arch == arch {
			return build, nil
		}
	}
	return bootstrap.Build{}, &fault.Error{
		Kind: fault.Failed, Doing: "deliver gpuworker-guest", Where: j.where(), Why: "there is no build of it for the architecture of the guest",
		Fix: "give a directory that has it with --guest-dir",
	}
}

// writePiece writes the next piece of the program. An agent cannot append, so that each
// piece is a file.
func (j *Job) writePiece(ctx context.Context, to hypervisor.Backend, w bootstrap.Worker, at *delivery) (*hypervisor.Wait, error) {
	build, err := j.buildFor(w, at.Arch)
	size := to.Capabilities().GuestFile
	switch {
	case err != nil:
		return nil, err
	case size <= 0:
		return nil, &fault.Error{Kind: fault.Unsupported, Doing: "deliver gpuworker-guest", Where: j.where(), Why: "this hypervisor cannot write files into guests", Fix: "write delivery: SeedISO"}
	}
	count := (len(build.Data) + size - 1) / size
	if at.Piece >= count {
		return at.after(nil, nil, join)
	}
	piece := build.Data[at.Piece*size : min((at.Piece+1)*size, len(build.Data))]
	if err := to.WriteGuest(ctx, j.Ref, fmt.Sprintf("%s/%04d", piecesDir, at.Piece), piece); err != nil {
		return nil, err
	}
	at.Piece++
	return &hypervisor.Wait{For: "gpuworker-guest to be written into the guest", Progress: fmt.Sprintf("%d %%", 100*at.Piece/count), CallAfter: pieceEvery}, nil
}

// joinCommand puts the pieces in order, checks the whole and moves it into place. When the
// program is there already, as after a lost answer, the work is done.
func joinCommand(build bootstrap.Build) string {
	check := fmt.Sprintf("echo %s | sha256sum -c --status -", shell.Quote(build.SHA256+"  "+guest.ProgramFile))
	checkNew := fmt.Sprintf("echo %s | sha256sum -c --status -", shell.Quote(build.SHA256+"  "+guest.ProgramFile+".new"))
	return fmt.Sprintf("%s 2>/dev/null || { cat %s/* >%s.new && %s && chmod 0755 %[3]s.new && mv %[3]s.new %[3]s; } && rm -rf %[2]s",
		check, piecesDir, guest.ProgramFile, checkNew)
}
