package status

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// conditions makes all conditions of a worker, in order.
func (s *subject) conditions(g *Guest) []Condition {
	all := []Condition{s.declared()}
	gpu := !s.worker.Card.IsZero()
	if gpu {
		all = append(all, s.claimed())
	}
	all = append(all, s.created())
	if gpu {
		all = append(all, s.attached())
	}
	all = append(all, s.powered(), s.agentReady())
	if Uses(s.vm) {
		all = append(all, s.guestReady(g))
	}
	return append(all, s.asDeclared())
}

// condition makes a condition that is True or False, with a reason for either.
func condition(kind string, holds bool, trueReason, falseReason, message string) Condition {
	if holds {
		return Condition{Type: kind, Status: True, Reason: trueReason, Message: message}
	}
	return Condition{Type: kind, Status: False, Reason: falseReason, Message: message}
}

func (s *subject) declared() Condition {
	return condition(Declared, !s.worker.Undeclared, "InDocuments", "NotInDocuments", "")
}

func (s *subject) claimed() Condition {
	switch {
	case s.claim == nil:
		return condition(Claimed, false, "", "NoClaim", "the card is not claimed for it")
	case s.claim.Releasing:
		return condition(Claimed, false, "", "Releasing", "the card is being released")
	case s.claim.Stale != "":
		return condition(Claimed, true, "Stale", "", s.claim.Stale)
	}
	return condition(Claimed, true, "Claimed", "", "register "+s.claim.Register)
}

func (s *subject) created() Condition {
	switch {
	case s.vm == nil && s.worker.Action == plan.Refuse:
		return condition(Created, false, "", "Refused", s.refused)
	case s.vm == nil && s.worker.Action == plan.Wait:
		return condition(Created, false, "", "Cloning", s.worker.Reason)
	case s.vm == nil:
		return condition(Created, false, "", "NoVM", "")
	}
	if ownership, _ := s.vm.Ownership(); ownership == inventory.Unmarked {
		return condition(Created, false, "", "NotMarked", fmt.Sprintf("VM %s is cloned, but not marked as ours yet", s.vm.ID))
	}
	return condition(Created, true, "VMFound", "", fmt.Sprintf("VM %s on %s", s.vm.ID, s.vm.Home()))
}

func (s *subject) attached() Condition {
	if s.vm == nil {
		return notEvaluated(Attached)
	}
	for _, a := range s.vm.Cards {
		switch {
		case !slices.Contains(a.Cards, s.worker.Card) || a.Leaving:
		case a.Pending && s.vm.Running:
			return condition(Attached, false, "", "Pending", a.Key+" takes effect at the next stop and start")
		default:
			return condition(Attached, true, "InConfiguration", "", a.Key)
		}
	}
	return condition(Attached, false, "", "NotAttached", "")
}

func (s *subject) powered() Condition {
	switch {
	case s.vm == nil:
		return notEvaluated(Powered)
	case !s.vm.Running && s.vm.Parked():
		return condition(Powered, false, "", "Parked", "stopped on purpose")
	}
	return condition(Powered, s.vm.Running, "VMRunning", "VMStopped", "")
}

func (s *subject) agentReady() Condition {
	switch {
	case s.vm == nil || !s.vm.Running:
		return notEvaluated(AgentReady)
	case s.vm.Agent == inventory.On:
		return condition(AgentReady, true, "Answers", "", strings.Join(s.vm.Addresses, ", "))
	case s.vm.Agent == inventory.Off:
		return condition(AgentReady, false, "", "NoAnswer", "the guest agent does not answer; the template needs qemu-guest-agent")
	}
	return Condition{Type: AgentReady, Status: Unknown, Reason: "NotAsked"}
}

func (s *subject) asDeclared() Condition {
	if s.worker.Undeclared {
		return Condition{Type: AsDeclared, Status: Unknown, Reason: "NotDeclared"}
	}
	return condition(AsDeclared, s.worker.Action == plan.Keep, "NothingDiffers", conditionReason(s.worker.Action), s.note())
}

// conditionReason is the action as one word: "Restart".
func conditionReason(a plan.Action) string {
	return strings.ToUpper(string(a[:1])) + string(a[1:])
}

func notEvaluated(kind string) Condition {
	return Condition{Type: kind, Status: Unknown, Reason: "NotEvaluated"}
}
