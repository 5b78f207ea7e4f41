package status

import (
	"fmt"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/shell"
)

// Guests are what gpuworker-guest says in the guests that were asked, by identifier of the
// VM.
type Guests struct {
	// Version is that of this program.
	Version string
	ByVM    map[string]GuestAnswer
}

// GuestAnswer is the status in a guest, or why it could not be read.
type GuestAnswer struct {
	Status  *guest.Status
	Problem string
}

// Guest is a guest in a row.
type Guest struct {
	Program string `json:"program,omitempty"` // version of gpuworker-guest
	OS      string `json:"os,omitempty"`
	Kernel  string `json:"kernel,omitempty"`
	Driver  string `json:"driver,omitempty"` // version of the loaded driver
	GPU     string `json:"gpu,omitempty"`    // identity of the GPU that the guest has
	// RecordedGPU is the identity that it must have; "" before its first proof.
	RecordedGPU string            `json:"recordedGPU,omitempty"`
	Ready       bool              `json:"ready"`
	Findings    []finding.Finding `json:"findings,omitempty"`
	Updated     string            `json:"updated,omitempty"` // when the guest wrote it, in RFC 3339
	// Problem says why nothing of it could be read.
	Problem string `json:"problem,omitempty"`

	otherVersion bool // of gpuworker-guest
}

// Uses reports whether gpuworker-guest should be in the guest of a VM of ours.
func Uses(vm *inventory.VM) bool { return vm != nil && vm.Record != nil && vm.Record.Driver != "" }

// guest returns the guest of the worker; nil when it has no gpuworker-guest or was not
// asked.
func (s *subject) guest(guests Guests) *Guest {
	if !Uses(s.vm) {
		return nil
	}
	answer, asked := guests.ByVM[s.vm.ID]
	if !asked {
		return nil
	}
	g := &Guest{RecordedGPU: s.vm.Record.GPU, Problem: answer.Problem}
	status := answer.Status
	switch {
	case status == nil:
		return g
	case !strings.EqualFold(status.UUID, s.vm.UUID):
		g.Problem = "its status is that of another VM"
		return g
	}
	g.Program, g.OS, g.Kernel, g.Findings, g.Updated = status.Program, status.OS, status.Kernel, status.Findings, status.UpdatedText()
	if status.Driver != nil {
		g.Driver = status.Driver.Version
	}
	if len(status.GPUs) == 1 && guest.IsGPUUUID(status.GPUs[0].UUID) {
		g.GPU = status.GPUs[0].UUID
	}
	g.Ready = status.Ready && !g.otherGPU()
	if g.Program != guests.Version && guests.Version != "" {
		g.otherVersion = true
		g.Findings = append(g.Findings, finding.New(finding.GuestOther, finding.Info, fault.Place{Host: s.vm.Home(), VM: s.vm.ID, Worker: s.worker.Name}).
			WithReason(fmt.Sprintf("gpuworker-guest is %s, this gpuworker is %s", g.Program, guests.Version)))
	}
	return g
}

// otherGPU reports whether the guest has another GPU than the recorded one.
func (g *Guest) otherGPU() bool { return g.RecordedGPU != "" && g.GPU != "" && g.GPU != g.RecordedGPU }

// guestReady is the condition of the guest.
func (s *subject) guestReady(g *Guest) Condition {
	switch {
	case g == nil:
		return notEvaluated(GuestReady)
	case g.Problem != "":
		return Condition{Type: GuestReady, Status: Unknown, Reason: "NotRead", Message: fmt.Sprintf("%s (%s)", g.Problem, finding.GuestSilent)}
	case g.otherGPU():
		return condition(GuestReady, false, "", "OtherGPU", fmt.Sprintf("the guest has %s, but %s is recorded (%s)", g.GPU, g.RecordedGPU, finding.DriverGPUUUID))
	case !g.Ready:
		return condition(GuestReady, false, "", "NotReady", g.wrong())
	}
	return condition(GuestReady, true, "Ready", "", g.words())
}

// words are the driver, the GPU and the program in one line.
func (g *Guest) words() string {
	var words []string
	if g.Driver != "" {
		words = append(words, "driver "+g.Driver)
	}
	if g.GPU != "" {
		words = append(words, g.GPU)
	}
	program := "gpuworker-guest " + g.Program
	if g.otherVersion {
		program += fmt.Sprintf(", not of this gpuworker (%s)", finding.GuestOther)
	}
	return strings.Join(append(words, program), ", ")
}

// wrong is the first finding that blocks.
func (g *Guest) wrong() string {
	if text := firstProblem(g.Findings); text != "" {
		return text
	}
	return "its bootstrap is not done"
}

// acceptHint is the command after an exchange of the card; "" when the GPU is the recorded one.
func (s *subject) acceptHint(g *Guest) string {
	if g == nil || !g.otherGPU() {
		return ""
	}
	return shell.Command("gpuworker accept %s --gpu-uuid %s", s.worker.Name, g.GPU)
}
