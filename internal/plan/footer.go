package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// findings prints the findings about the world as a whole, and one note for all cards
// whose driver is not known.
func (t *printer) findings(p *Plan) {
	if len(p.Findings) > 0 {
		t.line("  Also seen:")
		t.list(p.Findings, "    ")
		t.line("")
	}
	var cards []string
	for w := range p.Workers() {
		for _, f := range w.Notes {
			if f.ID == finding.HostDriver && len(w.Steps) > 0 {
				cards = append(cards, pci.CardRef{Host: f.Where.Host, Slot: f.Where.Card.Slot}.String())
			}
		}
	}
	if len(cards) == 0 {
		return
	}
	slices.Sort(cards)
	text := fmt.Sprintf("No API shows which kernel driver holds %s (%s). It should be vfio-pci or none: gpuworker explain %s",
		phrase.Several(slices.Compact(cards)), finding.HostDriver, finding.HostDriver)
	for _, line := range wrap(text, t.Width-2) {
		t.line("  " + t.paint(faint, line))
	}
	t.line("")
}

func (t *printer) footer(p *Plan) {
	s := p.Summary()
	if p.AsDeclared() {
		t.line(t.paint(bold, "Nothing to do: everything is as declared."))
		return
	}
	text := fmt.Sprintf("Plan: %d to create, %d to change in place, %d to restart, %d to destroy, %d refused", s.Create, s.Change, s.Restart, s.Destroy, s.Refused)
	if s.Start > 0 {
		text += fmt.Sprintf(", %d to start", s.Start)
	}
	if s.Stop > 0 {
		text += fmt.Sprintf(", %d to stop", s.Stop)
	}
	if s.Held > 0 {
		text += fmt.Sprintf(", %d held back", s.Held)
	}
	t.line(t.paint(bold, text+"."))
	for _, line := range wrap(consequence(p, s), t.Width) {
		t.line(line)
	}
}

// consequence says what apply would do with the plan.
func consequence(p *Plan, s Summary) string {
	var sentences []string
	if names := p.Destroys(); len(names) > 0 && p.Blocked == "" {
		sentences = append(sentences, "To be destroyed: "+strings.Join(names, ", ")+".")
	}
	refused := "One worker is refused"
	if s.Refused > 1 {
		refused = fmt.Sprintf("%d workers are refused", s.Refused)
	}
	switch {
	case p.Blocked != "":
		sentences = append(sentences, "Nothing is done: "+p.Blocked+".")
	case s.Refused > 0 && p.Empty():
		sentences = append(sentences, refused+", and there is nothing else to do.")
	case s.Refused > 0:
		sentences = append(sentences, refused+": apply does the rest; with --all-or-nothing it does nothing.")
	}
	if held := countAction(p, Hold); held > 0 {
		sentences = append(sentences, "What is held back waits for you: the → lines say how.")
	}
	return strings.Join(sentences, " ")
}

func countAction(p *Plan, action Action) int {
	n := 0
	for w := range p.Workers() {
		if w.Action == action {
			n++
		}
	}
	return n
}
