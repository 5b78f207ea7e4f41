package apply

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/gpuworker/gpuworker/internal/bootstrap"
	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/shell"
)

// GuestOf returns what the guest of a worker is made from. vm is its VM as it is now. For a
// worker that no document declares it is a fault.NotFound.
type GuestOf func(worker inventory.WorkerKey, gpu *guest.GPU, vm *inventory.VM) (bootstrap.Worker, error)

// Times of the guest steps. The unit of gpuworker-guest tries a failed bootstrap again
// every 30 s, so a failure counts only when it stays.
const (
	guestEvery   = 10 * time.Second
	failureStays = 3 * time.Minute
	unbegunLimit = time.Minute // without a status for so long, cloud-init is asked for the reason
)

// guestState is what a job knows of the guest during one step.
type guestState struct {
	made  *bootstrap.Worker // what the guest is made from
	image []byte            // of the seed

	failing         string    // the step of gpuworker-guest that fails
	failingSince    time.Time // when that was seen first
	unreadableSince time.Time // since when the status cannot be parsed
	strangeSince    time.Time // since when the status is that of another VM
	missingSince    time.Time // since when there is no status
	asked           bool      // cloud-init is being asked
	ended           bool      // cloud-init had ended the last time
	deniedSince     time.Time // since when the agent may not do what is needed
	silentFix       string    // what to do about an agent that does not answer; "" when it does
}

// gpu is the card that the guest must have; nil for a plain worker.
func (j *Job) gpu() *guest.GPU {
	if j.Worker.Card.IsZero() {
		return nil
	}
	return &guest.GPU{ID: j.Worker.GPUID.String(), UUID: j.Record.GPU}
}

// makeGuest looks at the VM, once in a step, and returns what its guest is made from.
func (j *Job) makeGuest(ctx context.Context, to hypervisor.Backend) (bootstrap.Worker, error) {
	if j.guest.made != nil {
		return *j.guest.made, nil
	}
	vm, err := to.ObserveVM(ctx, j.Ref)
	switch {
	case err != nil:
		return bootstrap.Worker{}, err
	case vm == nil:
		return bootstrap.Worker{}, &fault.Error{Kind: fault.NotFound, Doing: "read the VM", Where: j.where(), Why: "it is gone"}
	case vm.UUID != j.Ref.UUID:
		return bootstrap.Worker{}, &fault.Error{Kind: fault.Conflict, Doing: "read the VM", Where: j.where(), Why: "another VM has its identifier now"}
	}
	w, err := j.guestOf(j.Record.WorkerKey, j.gpu(), vm)
	if err == nil {
		j.guest.made = &w
	}
	return w, err
}

func (j *Job) where() fault.Place {
	return fault.Place{Host: j.Ref.Host, VM: j.Ref.ID, Worker: j.Worker.Name}
}

// setSeed makes the image once, and gives it to the VM.
func (j *Job) setSeed(ctx context.Context, to hypervisor.Backend, clean bool) (*hypervisor.Wait, error) {
	if j.guest.image == nil {
		w, err := j.makeGuest(ctx, to)
		if err != nil {
			return nil, err
		}
		render := bootstrap.Render
		if clean {
			render = bootstrap.Clean
		}
		files, err := render(w)
		if err == nil {
			j.guest.image, err = files.ISO()
		}
		if err != nil {
			return nil, err
		}
	}
	return to.SetSeed(ctx, j.Ref, hypervisor.Seed{Clean: clean, Image: j.guest.image}, j.Handle)
}

func seed(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	return j.setSeed(ctx, to, false)
}

func exchange(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	return j.setSeed(ctx, to, true)
}

func unseed(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	return to.RemoveSeeds(ctx, j.Ref, bootstrap.Blank(), j.Handle)
}

// record records what was proven of the guest.
func record(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	record := j.Record
	if record.Bootstrapped == "" && j.proven {
		record.Bootstrapped = j.Since.UTC().Format(time.RFC3339)
	}
	wait, err := to.SetRecord(ctx, j.Ref, record, j.Handle)
	if err == nil && wait == nil {
		j.Record = record
	}
	return wait, err
}

// orders gives the guest its present orders: with the identity of its GPU, once that is
// known.
func orders(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	if !j.Worker.Card.IsZero() && j.Worker.GPUID.IsZero() {
		return nil, nil // the card cannot be seen: the guest keeps its orders
	}
	var declared *guest.Orders // nil: no document declares the worker
	switch w, err := j.makeGuest(ctx, to); {
	case err == nil:
		declared = &w.Orders
	case !fault.Is(err, fault.NotFound):
		return nil, err
	}
	have, err := to.ReadGuest(ctx, j.Ref, guest.OrdersFile, guest.MaxStatus)
	if wait := j.silent(err); wait != nil {
		return wait, nil
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	present, err := j.presentOrders(declared, have)
	if err != nil || bytes.Equal(have, present) {
		return nil, err
	}
	if err := to.WriteGuest(ctx, j.Ref, guest.OrdersFile, present); err != nil {
		return nil, err
	}
	return &hypervisor.Wait{}, nil // the next call reads them
}

// presentOrders are the orders that the guest should have. While the document declares
// another driver than the guest was told, or nothing does, it keeps its own: a start must
// not change the driver.
func (j *Job) presentOrders(declared *guest.Orders, have []byte) ([]byte, error) {
	present := declared
	if declared == nil || declared.Driver.Words() != j.Record.Driver {
		old, err := guest.ParseOrders(have)
		if err != nil {
			return have, nil
		}
		present, old.GPU = old, j.gpu()
	}
	text, err := json.MarshalIndent(present, "", "  ")
	return append(text, '\n'), err
}

// bootstrapped waits until the guest is as ordered, and proves the identity of its GPU. The
// guest goes on by itself, also while the hypervisor does not answer.
func bootstrapped(ctx context.Context, to hypervisor.Backend, j *Job) (*hypervisor.Wait, error) {
	wait, err := j.proveGuest(ctx, to)
	if wait != nil {
		underWay := *wait
		underWay.UnderWay = true
		wait = &underWay
	}
	return wait, err
}

func (j *Job) proveGuest(ctx context.Context, to hypervisor.Backend) (*hypervisor.Wait, error) {
	if j.guest.asked {
		return j.askCloudInit(ctx, to)
	}
	data, err := to.ReadGuest(ctx, j.Ref, guest.StatusFile, guest.MaxStatus+1)
	for _, later := range []*hypervisor.Wait{j.allowedLater(err), j.silent(err)} {
		if later != nil {
			return later, nil
		}
	}
	switch {
	case fault.Is(err, fault.NotFound):
		return j.notBegun(), nil
	case err != nil:
		return nil, j.notProven(err)
	}
	j.guest.missingSince = time.Time{}
	status, err := guest.ParseStatus(data)
	if err != nil {
		return j.unreadableStatus(err)
	}
	j.guest.unreadableSince = time.Time{}
	if !strings.EqualFold(status.UUID, j.Ref.UUID) {
		return j.ofAnotherVM()
	}
	if wait, err := j.ofThisBoot(ctx, to, status); wait != nil || err != nil {
		return wait, err
	}
	seen := gpusOf(status)
	if len(seen) == 1 && j.Record.GPU != "" && j.Record.GPU != seen[0] {
		return nil, j.otherGPU(seen[0])
	}
	if !status.Ready {
		return j.notReady(status)
	}
	return nil, j.proveGPU(seen)
}

// notProven is the error of a guest that cannot be looked at.
func (j *Job) notProven(cause error) error {
	return &fault.Error{
		Kind: fault.KindOf(cause), Doing: fmt.Sprintf("prove the guest (%s)", finding.GuestSilent), Cause: cause, Fix: fault.FixOf(cause),
	}
}

func (j *Job) guestError(kind fault.Kind, id finding.ID, why, fix string) error {
	if fix == "" {
		if page, ok := finding.Explain(id); ok {
			fix = page.Fix[0]
		}
	}
	return &fault.Error{Kind: kind, Doing: "prove the guest", Where: j.where(), Why: fmt.Sprintf("%s (%s)", why, id), Fix: fix}
}

// unreadableStatus gives the guest some time to write a better one.
func (j *Job) unreadableStatus(err error) (*hypervisor.Wait, error) {
	if j.guest.unreadableSince.IsZero() {
		j.guest.unreadableSince = time.Now()
	}
	if time.Since(j.guest.unreadableSince) >= failureStays {
		return nil, j.guestError(fault.Failed, finding.GuestBootstrap, err.Error(), "log in and run gpuworker-guest status")
	}
	return &hypervisor.Wait{For: "a readable status of the guest", CallAfter: guestEvery}, nil
}

// ofAnotherVM gives the guest some time to write a status of its own: a clone of a template
// that was not sealed has that of the template until gpuworker-guest begins.
func (j *Job) ofAnotherVM() (*hypervisor.Wait, error) {
	if j.guest.strangeSince.IsZero() {
		j.guest.strangeSince = time.Now()
	}
	if time.Since(j.guest.strangeSince) < failureStays {
		return &hypervisor.Wait{For: "gpuworker-guest to begin; its status is that of another VM", CallAfter: guestEvery}, nil
	}
	return nil, j.guestError(fault.Conflict, finding.GuestOrders, "the status in the guest is that of another VM", "")
}

// bootIDFile has the identity of the present boot (random(4)).
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// ofThisBoot waits while the status is that of an earlier boot.
func (j *Job) ofThisBoot(ctx context.Context, to hypervisor.Backend, status *guest.Status) (*hypervisor.Wait, error) {
	const length = 64
	data, err := to.ReadGuest(ctx, j.Ref, bootIDFile, length)
	if wait := j.silent(err); wait != nil {
		return wait, nil
	}
	switch {
	case err != nil:
		return nil, j.notProven(err)
	case strings.TrimSpace(string(data)) != status.BootID:
		return &hypervisor.Wait{For: "gpuworker-guest to begin after the restart of the guest", CallAfter: guestEvery}, nil
	}
	return nil, nil
}

// notReady says what the guest is doing. A failure that stays ends the step, except where
// somebody else's playbook installs the driver: that takes its time.
func (j *Job) notReady(status *guest.Status) (*hypervisor.Wait, error) {
	done, current := 0, guest.Step{}
	for _, s := range status.Steps {
		switch {
		case s.State == guest.StepDone || s.State == guest.StepSkipped:
			done++
		case current.Name == "" || s.State == guest.StepFailed && current.State != guest.StepFailed:
			current = s
		}
	}
	if current.Name == "" {
		return &hypervisor.Wait{For: "gpuworker-guest to look again", CallAfter: guestEvery}, nil
	}
	if current.State == guest.StepFailed && current.Name != j.guest.failing {
		j.guest.failing, j.guest.failingSince = current.Name, time.Now()
	}
	wait := &hypervisor.Wait{
		For: fmt.Sprintf("step %s of gpuworker-guest", current.Name), CallAfter: guestEvery,
		Progress: fmt.Sprintf("%d of %d done", done, len(status.Steps)),
	}
	if current.Problem != "" {
		wait.For += ", which fails: " + current.Problem
	}
	if current.State != guest.StepFailed || time.Since(j.guest.failingSince) < failureStays || driver.Words(j.Record.Driver).Strategy() == driver.Ansible {
		return wait, nil
	}
	return nil, j.guestError(fault.Failed, finding.GuestBootstrap, fmt.Sprintf("step %s of gpuworker-guest fails: %s", current.Name, current.Problem), fixInGuest(current.Fix))
}

// fixInGuest is what to do about a failed step. The guest's own words are marked as such:
// whoever controls the guest writes them.
func fixInGuest(says string) string {
	fix := "log in and run gpuworker-guest check"
	if says == "" {
		return fix
	}
	return fix + "; the guest says: " + says
}

// gpusOf returns the identities of the GPUs that a guest names.
func gpusOf(status *guest.Status) []string {
	var seen []string
	for _, gpu := range status.GPUs {
		if guest.IsGPUUUID(gpu.UUID) {
			seen = append(seen, gpu.UUID)
		}
	}
	return seen
}

// otherGPU is the error for a GPU that is not the recorded one.
func (j *Job) otherGPU(seen string) error {
	return j.guestError(fault.Refused, finding.DriverGPUUUID,
		fmt.Sprintf("the guest has %s, but the GPU of this worker is %s", seen, j.Record.GPU),
		"if the card was exchanged: "+shell.Command("gpuworker accept %s --gpu-uuid %s", j.Worker.Name, seen)+"; if not, find out which card is in "+j.Worker.Card.String())
}

// proveGPU keeps the identity of the GPU that a guest names.
func (j *Job) proveGPU(seen []string) error {
	switch {
	case j.Worker.Card.IsZero():
	case len(seen) == 0 && driver.Words(j.Record.Driver).Loaded():
		return j.guestError(fault.Failed, finding.DriverNoAnswer, "the guest says that it is ready, but names no GPU", "")
	case len(seen) == 0:
	case len(seen) > 1:
		return j.guestError(fault.Failed, finding.GuestExtraGPU, fmt.Sprintf("the guest has %d GPUs", len(seen)), "")
	default:
		j.Record.GPU = seen[0]
	}
	j.proven = true
	return nil
}
