package status

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// conditions writes all conditions of a worker, from the bottom.
func (s *subject) conditions() []Condition {
	all := []Condition{s.declared()}
	gpu := !s.worker.Card.IsZero()
	if gpu {
		all = append(all, s.claimed())
	}
	all = append(all, s.created())
	if gpu {
		all = append(all, s.attached())
	}
	return append(all, s.powered(), s.agentReady(), s.asDeclared())
}

// say makes a condition that is True or False, with a reason for each.
func say(kind string, holds bool, yes, no, message string) Condition {
	if holds {
		return Condition{Type: kind, Status: True, Reason: yes, Message: message}
	}
	return Condition{Type: kind, Status: False, Reason: no, Message: message}
}

func (s *subject) declared() Condition {
	return say(Declared, !s.worker.Undeclared, "InDocuments", "NotInDocuments", "")
}

func (s *subject) claimed() Condition {
	switch {
	case s.claim == nil:
		return say(Claimed, false, "", "NoClaim", "the card is not reserved for it")
	case s.claim.Releasing:
		return say(Claimed, false, "", "Releasing", "the card is being given back")
	case s.claim.Stale != "":
		return say(Claimed, true, "Stale", "", s.claim.Stale)
	}
	return say(Claimed, true, "Claimed", "", "register "+s.claim.Register)
}

func (s *subject) created() Condition {
	switch {
	case s.vm == nil && s.worker.Action == plan.Refuse:
		return say(Created, false, "", "Refused", s.refused)
	case s.vm == nil && s.worker.Action == plan.Wait:
		return say(Created, false, "", "Cloning", s.worker.Reason)
	case s.vm == nil:
		return say(Created, false, "", "NoVM", "")
	}
	if ownership, _ := s.vm.Ownership(); ownership == inventory.Unmarked {
		return say(Created, false, "", "NotMarked", fmt.Sprintf("VM %s is cloned and not marked as ours yet", s.vm.ID))
	}
	return say(Created, true, "VMFound", "", fmt.Sprintf("VM %s on %s", s.vm.ID, s.vm.Home()))
}

func (s *subject) attached() Condition {
	if s.vm == nil {
		return notEvaluated(Attached)
	}
	for _, a := range s.vm.Cards {
		switch {
		case !slices.Contains(a.Cards, s.worker.Card) || a.Leaving:
		case a.Pending && s.vm.Running:
			return say(Attached, false, "", "Pending", a.Key+" takes effect at the next stop and start")
		default:
			return say(Attached, true, "InConfiguration", "", a.Key)
		}
	}
	return say(Attached, false, "", "NotAttached", "")
}

func (s *subject) powered() Condition {
	switch {
	case s.vm == nil:
		return notEvaluated(Powered)
	case !s.vm.Running && s.vm.Parked():
		return say(Powered, false, "", "Parked", "stopped on purpose")
	}
	return say(Powered, s.vm.Running, "VMRunning", "VMStopped", "")
}

func (s *subject) agentReady() Condition {
	switch {
	case s.vm == nil || !s.vm.Running:
		return notEvaluated(AgentReady)
	case s.vm.Agent == inventory.On:
		return say(AgentReady, true, "Answers", "", strings.Join(s.vm.Addresses, ", "))
	case s.vm.Agent == inventory.Off:
		return say(AgentReady, false, "", "NoAnswer", "the guest agent does not answer; the template needs qemu-guest-agent")
	}
	return Condition{Type: AgentReady, Status: Unknown, Reason: "NotAsked"}
}

func (s *subject) asDeclared() Condition {
	if s.worker.Undeclared {
		return Condition{Type: AsDeclared, Status: Unknown, Reason: "NotDeclared"}
	}
	return say(AsDeclared, s.worker.Action == plan.Keep, "NothingDiffers", conditionReason(s.worker.Action), s.note())
}

// conditionReason is the action as one word: "Restart".
func conditionReason(a plan.Action) string {
	return strings.ToUpper(string(a[:1])) + string(a[1:])
}

func notEvaluated(kind string) Condition {
	return Condition{Type: kind, Status: Unknown, Reason: "NotEvaluated"}
}
