package capture

import (
	"fmt"
	"slices"
	"strings"
)

// Note is an omission or an assumption in a captured world.
type Note struct {
	// Assumed is true for an assumption and false for an omission.
	Assumed bool
	What    string
	Because string
	Next    string // "" when nothing can be done
}

// String is the note as one sentence.
func (n Note) String() string {
	text := "not captured: "
	if n.Assumed {
		text = "assumed: "
	}
	text += n.What + ", because " + n.Because
	if n.Next != "" {
		text += "; " + n.Next
	}
	return text
}

// notes collects notes without duplicates, in order.
type notes struct{ list []Note }

func (n *notes) add(note Note) {
	if !slices.Contains(n.list, note) {
		n.list = append(n.list, note)
	}
}

// missing adds a note for an omission.
func (n *notes) missing(what, because, next string) { n.add(Note{false, what, because, next}) }

// assumed adds a note for an assumption.
func (n *notes) assumed(what, because, next string) { n.add(Note{true, what, because, next}) }

// sorted returns the notes, omissions first.
func (n *notes) sorted() []Note {
	return slices.SortedStableFunc(slices.Values(n.list), func(a, b Note) int {
		switch {
		case a.Assumed == b.Assumed:
			return 0
		case b.Assumed:
			return -1
		}
		return 1
	})
}

// numbers formats the numbers of VMs or containers; ranges as first-last.
func numbers(ids []int) string {
	ids = slices.Sorted(slices.Values(ids))
	var runs []string
	for i := 0; i < len(ids); {
		last := i
		for last+1 < len(ids) && ids[last+1] == ids[last]+1 {
			last++
		}
		run := fmt.Sprint(ids[i])
		if last > i {
			run += fmt.Sprintf("-%d", ids[last])
		}
		runs = append(runs, run)
		i = last + 1
	}
	return strings.Join(runs, ", ")
}

// vms names VMs by their numbers.
func vms(ids []int) string {
	if len(ids) == 1 {
		return fmt.Sprintf("VM %d", ids[0])
	}
	return "VMs " + numbers(ids)
}
