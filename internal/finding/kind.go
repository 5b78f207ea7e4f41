package finding

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/closest"
)

// Kind describes the findings with one ID: their layer, what they mean for a worker, and
// the page that `gpuworker explain` prints.
type Kind struct {
	ID    ID     `json:"id"`
	Layer Layer  `json:"layer"`
	Title string `json:"title"`
	// What describes the situation when the finding fails.
	What string `json:"what"`
	// Why says why it matters.
	Why string `json:"why"`
	// Fix are the steps to take, in order.
	Fix []string `json:"fix"`
	// Detected says how it is detected, and what cannot be detected.
	Detected string `json:"detected"`
	// Sources are where the facts come from.
	Sources []string `json:"sources,omitempty"`

	// UnknownPasses: an unknown verdict does not block a worker, because the hypervisor's
	// API can never show it, or the hypervisor checks it itself.
	UnknownPasses bool `json:"-"`
	// Rank orders the refusals of a worker.
	Rank Rank `json:"-"`
	// AboutVMs: host facts about it are ignored. It is about VMs or memory, which the
	// hypervisor knows better, and more recently, than a file.
	AboutVMs bool `json:"-"`
}

// Rank orders the refusals of a worker by how helpful they are for the reader.
type Rank int

// The ranks, in the order in which refusals are shown.
const (
	Fixable Rank = iota // a person can change it
	InUse               // it is in use, or may be
	InPlan              // another worker of this plan uses it
	NoMatch             // it does not match the request of the worker
)

// Ranks are all ranks, in order.
var Ranks = []Rank{Fixable, InUse, InPlan, NoMatch}

// kinds has one row for each ID.
var (
	kinds = slices.Concat(hypervisorKinds, hostKinds, guestKinds)
	rowOf = func() map[ID]*Kind {
		rows := make(map[ID]*Kind, len(kinds))
		for i := range kinds {
			rows[kinds[i].ID] = &kinds[i]
		}
		return rows
	}()
)

// All returns every kind, in the order of the layers.
func All() []Kind { return byLayer(kinds) }

// OfHost returns the kinds of the host tool's findings, in the order of the layers.
func OfHost() []Kind { return byLayer(hostKinds) }

// OfGuest returns the kinds of the guest tool's findings, in the order of the layers.
func OfGuest() []Kind { return byLayer(guestKinds) }

func byLayer(kinds []Kind) []Kind {
	sorted := slices.Clone(kinds)
	slices.SortStableFunc(sorted, func(a, b Kind) int {
		return slices.Index(Layers, a.Layer) - slices.Index(Layers, b.Layer)
	})
	return sorted
}

// Explain finds the kind of an ID that a person typed, in any case. ok is false when
// there is none; Suggest then returns similar IDs.
func Explain(id ID) (kind Kind, ok bool) {
	row, ok := rowOf[ID(strings.ToUpper(strings.TrimSpace(string(id))))]
	if !ok {
		return Kind{}, false
	}
	return *row, true
}

// Suggest finds up to three IDs that were probably meant: those that differ by a typing
// error, or else those that contain one of the words.
func Suggest(text string) []ID {
	text = strings.ToUpper(strings.TrimSpace(text))
	text = strings.NewReplacer("_", "-", " ", "-").Replace(text)
	var near []ID
	for distance := 0; distance <= 3 && len(near) < 3; distance++ {
		for _, p := range All() {
			if closest.Distance(text, string(p.ID)) == distance && len(near) < 3 {
				near = append(near, p.ID)
			}
		}
	}
	if len(near) > 0 {
		return near
	}
	for _, word := range strings.Split(text, "-") {
		for _, p := range All() {
			if len(word) > 2 && strings.Contains(string(p.ID), word) && !slices.Contains(near, p.ID) && len(near) < 3 {
				near = append(near, p.ID)
			}
		}
	}
	return near
}

// Markdown writes all pages as one document, docs/reference/findings.md.
func Markdown() []byte {
	var b bytes.Buffer
	b.WriteString("# Findings\n\n")
	b.WriteString("Every finding of `gpuworker check`, `gpuworker-host check` and `gpuworker-guest check`, and every refusal of `gpuworker plan`, has one of these IDs. The IDs do not change, so alerts and tickets may refer to them.\n")
	b.WriteString("`gpuworker explain ID`, `gpuworker-host explain ID` and `gpuworker-guest explain ID` print the same text. `make docs` generates this page from `internal/finding`.\n")
	layer := Layer("")
	for _, p := range All() {
		if p.Layer != layer {
			layer = p.Layer
			fmt.Fprintf(&b, "\n## Layer: %s\n", layer)
		}
		fmt.Fprintf(&b, "\n### %s\n\n**%s.** %s %s\n", p.ID, p.Title, p.What, p.Why)
		if len(p.Fix) > 0 {
			b.WriteString("\nWhat to do:\n\n")
			for i, step := range p.Fix {
				fmt.Fprintf(&b, "%d. %s\n", i+1, step)
			}
		}
		fmt.Fprintf(&b, "\nHow we know: %s\n", p.Detected)
		if len(p.Sources) > 0 {
			fmt.Fprintf(&b, "\nSources: %s.\n", strings.Join(p.Sources, "; "))
		}
	}
	return b.Bytes()
}
