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
	"github.com/gpuworker/gpuworker/internal/term"
)

// delivery is how far the step deliver is; it is kept in the handle. When it is lost, the
// step begins again, and what the guest has already is not written again.
type delivery struct {
	Stage stage             `json:"stage"`
	Piece int               `json:"piece,omitempty"` // the next piece of the program
	Run   hypervisor.Handle `json:"run,omitempty"`   // of the command that runs
}

// stage is one part of the step: each call is one write.
type stage int

const (
	makeDirs stage = iota
	look           // which program is there
	pieces         // write the program, one piece in each call
	join           // put the pieces together and check them
	writeOrders
	writeScript
	removePieces
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
	for _, later := range []*hypervisor.Wait{j.allowedLater(err), j.silent(err)} {
		if later != nil {
			wait, err = later, nil
		}
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
	case makeDirs:
		wait, err := j.mustRun(ctx, to, at, "make directories in the guest", "mkdir", "-p", "/etc/gpuworker", piecesDir)
		return at.after(wait, err, look)
	case look:
		return j.lookForProgram(ctx, to, w, at)
	case pieces:
		return j.writePiece(ctx, to, w, at)
	case join:
		wait, err := j.mustRun(ctx, to, at, "put gpuworker-guest together in the guest", "sh", "-c", joinCommand(w.Program.Builds[0], to.Capabilities().GuestFile))
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
		return at.after(nil, err, removePieces)
	case removePieces:
		wait, err := j.mustRun(ctx, to, at, "clean up in the guest", "rm", "-rf", piecesDir)
		return at.after(wait, err, install)
	case install:
	}
	return j.mustRun(ctx, to, at, "install gpuworker-guest in the guest", "sh", scriptFile)
}

// after goes to the next stage when the present one is done.
func (at *delivery) after(wait *hypervisor.Wait, err error, next stage) (*hypervisor.Wait, error) {
	if wait != nil || err != nil {
		return wait, err
	}
	at.Stage, at.Run = next, ""
	return &hypervisor.Wait{CallAfter: pieceEvery}, nil
}

// mustRun runs a command and requires success.
func (j *Job) mustRun(ctx context.Context, to hypervisor.Backend, at *delivery, doing string, command ...string) (*hypervisor.Wait, error) {
	result, wait, err := to.RunInGuest(ctx, j.Ref, command, at.Run)
	switch {
	case wait != nil:
		at.Run = wait.Handle
		return wait, nil
	case err != nil || result.ExitCode == 0:
		return nil, err
	}
	const most = 500
	why := result.Err[max(0, len(result.Err)-most):]
	return nil, &fault.Error{
		Kind: fault.Failed, Doing: doing, Where: j.where(),
		Why: fmt.Sprintf("exit code %d: %s (%s)", result.ExitCode, strings.TrimSpace(string(term.Clean(why))), finding.GuestBootstrap),
		Fix: "log in and look why; then run the same command again",
	}
}

// lookForProgram skips the pieces when the guest has the program already, or gets it from
// its template.
func (j *Job) lookForProgram(ctx context.Context, to hypervisor.Backend, w bootstrap.Worker, at *delivery) (*hypervisor.Wait, error) {
	if len(w.Program.Builds) == 0 {
		return at.after(nil, nil, writeOrders)
	}
	result, wait, err := to.RunInGuest(ctx, j.Ref, []string{"sha256sum", guest.ProgramFile}, at.Run)
	switch {
	case wait != nil:
		at.Run = wait.Handle
		return wait, nil
	case err == nil && strings.HasPrefix(result.Out, w.Program.Builds[0].SHA256+" "):
		return at.after(nil, nil, writeOrders)
	}
	return at.after(nil, err, pieces)
}

// writePiece writes the next piece of the program. An agent cannot append, so each piece is
// a file.
func (j *Job) writePiece(ctx context.Context, to hypervisor.Backend, w bootstrap.Worker, at *delivery) (*hypervisor.Wait, error) {
	data, size := w.Program.Builds[0].Data, to.Capabilities().GuestFile
	if size <= 0 {
		return nil, &fault.Error{Kind: fault.Unsupported, Doing: "deliver gpuworker-guest", Where: j.where(), Why: "this hypervisor cannot write files into guests", Fix: "write delivery: SeedISO"}
	}
	count := countPieces(len(data), size)
	if at.Piece >= count {
		return at.after(nil, nil, join)
	}
	piece := data[at.Piece*size : min((at.Piece+1)*size, len(data))]
	if err := to.WriteGuest(ctx, j.Ref, pieceFile(at.Piece), piece); err != nil {
		return nil, err
	}
	at.Piece++
	return &hypervisor.Wait{For: "gpuworker-guest to be written into the guest", Progress: fmt.Sprintf("%d %%", 100*at.Piece/count), CallAfter: pieceEvery}, nil
}

func countPieces(length, size int) int { return (length + size - 1) / size }

func pieceFile(i int) string { return fmt.Sprintf("%s/%04d", piecesDir, i) }

// joinCommand puts the pieces together, checks the whole and moves it into place. It can be
// run again.
func joinCommand(build bootstrap.Build, size int) string {
	var names []string
	for i := range countPieces(len(build.Data), size) {
		names = append(names, pieceFile(i))
	}
	whole, sums := piecesDir+"/whole", piecesDir+"/sums"
	return fmt.Sprintf("cat %[1]s > %[2]s && echo '%[3]s  %[2]s' > %[4]s && sha256sum -c --status %[4]s && chmod 0755 %[2]s && mv -f %[2]s %[5]s",
		strings.Join(names, " "), whole, build.SHA256, sums, guest.ProgramFile)
}
