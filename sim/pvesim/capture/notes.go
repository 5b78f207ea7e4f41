package capture

import (
	"fmt"
	"slices"
	"strings"
)

// Note is something that a person must know about a captured world: what is
// not in it, or what in it was assumed.
type Note struct {
	// Assumed tells a guess from an omission.
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

// notes collects; each once, in the order in which they come.
type notes struct{ list []Note }

func (n *notes) add(note Note) {
	if !slices.Contains(n.list, note) {
		n.list = append(n.list, note)
	}
}

// missing notes what is not in the world.
func (n *notes) missing(what, because, next string) { n.add(Note{false, what, because, next}) }

// assumed notes what was guessed.
func (n *notes) assumed(what, because, next string) { n.add(Note{true, what, because, next}) }

// sorted are the notes with what is missing first.
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

// numbers lists VMs or containers, runs of them as first-last.
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
