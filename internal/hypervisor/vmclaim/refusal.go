package vmclaim

import (
	"fmt"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/shell"
)

// reason is why a VM cannot get the card.
type reason string

const (
	taken     reason = "taken"     // another VM has it
	claimed   reason = "claimed"   // another worker's VM claims it
	duplicate reason = "duplicate" // another VM of the same worker claims it
	unclaimed reason = "unclaimed" // the VM itself does not claim it
)

// Err is the error of a refusal; nil for every other move. doing says what was
// tried: "attach the card".
func (v Verdict) Err(doing string) error {
	if v.Move != Refuse {
		return nil
	}
	card := v.look.Card
	e := &fault.Error{Doing: doing, Where: fault.Place{Host: card.Host, Worker: v.look.Mine.Ref.Name, Card: card.BDF()}}
	switch v.why {
	case taken:
		v.sayTaken(e)
	case claimed:
		v.sayClaimed(e)
	case duplicate:
		e.Kind = fault.Conflict
		e.Why = fmt.Sprintf("%s claims it too, and is another VM of the same worker, made by %s", v.Other, v.Other.Note.Record.By)
		e.Fix = "if another run works on this worker at the same time, wait until it is over; otherwise decide which of the two VMs to keep, and destroy the other; then run the same command again"
	case unclaimed:
		e.Kind = fault.Conflict
		e.Why = fmt.Sprintf("the note of %s no longer says that it claims the card", &v.look.Mine)
		e.Fix = "run the same command again"
	}
	return e
}

func (v Verdict) sayTaken(e *fault.Error) {
	e.Kind = fault.Exists
	if v.look.Mine.has(v.look.Card) {
		e.Why = fmt.Sprintf("%s and %s both have it in their configuration; neither is started", &v.look.Mine, v.Other)
		e.Fix = "decide which of the two keeps it, and take it out of the other"
		return
	}
	e.Why = fmt.Sprintf("%s has it in its configuration", v.Other)
	e.Fix = fmt.Sprintf("take the card out of VM %s, or choose another card", v.Other.Ref.ID)
}

func (v Verdict) sayClaimed(e *fault.Error) {
	e.Kind = fault.Exists
	r := v.Other.Note.Record
	if problem := v.Other.Note.Problem; problem != "" {
		e.Why = fmt.Sprintf("%s claims this card or another one: %s", v.Other, problem)
		e.Fix = inventory.RecordFix("the note of the VM")
		return
	}
	e.Why = fmt.Sprintf("it is claimed by worker %s of %s (VM %s, claimed by %s)", r.Worker, r.PoolWords(), v.Other.Ref.ID, r.By)
	e.Fix = "choose another card, or delete that worker first: " + shell.Command("gpuworker delete %s", r.Worker)
}

// String names the VM as errors do.
func (v *VM) String() string { return fmt.Sprintf("VM %s %q", v.Ref.ID, v.Ref.Name) }
