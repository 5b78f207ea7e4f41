package finding

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Page is what an operator should know about a kind of finding: the answer of
// `gpuworker explain`.
type Page struct {
	ID    ID     `json:"id"`
	Layer Layer  `json:"layer"`
	Title string `json:"title"`
	// What is the case when the finding fails.
	What string `json:"what"`
	// Why it matters.
	Why string `json:"why"`
	// Fix are the steps to take, in order.
	Fix []string `json:"fix"`
	// Detected says how we know, and what we cannot know.
	Detected string `json:"detected"`
	// Sources are where the facts come from.
	Sources []string `json:"sources,omitempty"`
}

// pages has one page for each ID.
var pages = slices.Concat(hypervisorPages, hostPages)

// All returns every page, in the order of the layers.
func All() []Page {
	all := slices.Clone(pages)
	slices.SortStableFunc(all, func(a, b Page) int {
		return slices.Index(Layers, a.Layer) - slices.Index(Layers, b.Layer)
	})
	return all
}

// OfHost returns the pages of what the host tool finds, in the order of the
// layers.
func OfHost() []Page {
	return slices.DeleteFunc(All(), func(p Page) bool {
		return !slices.ContainsFunc(hostPages, func(of Page) bool { return of.ID == p.ID })
	})
}

// Explain finds the page of an ID, in any case. ok is false when there is none;
// Suggest then helps.
func Explain(id ID) (page Page, ok bool) {
	i := slices.IndexFunc(pages, func(p Page) bool { return strings.EqualFold(string(p.ID), strings.TrimSpace(string(id))) })
	if i < 0 {
		return Page{}, false
	}
	return pages[i], true
}

// Suggest finds up to three IDs that somebody may have meant: those with a
// typing error, else those that contain one of the words.
func Suggest(text string) []ID {
	text = strings.ToUpper(strings.TrimSpace(text))
	text = strings.NewReplacer("_", "-", " ", "-").Replace(text)
	var near []ID
	for distance := 0; distance <= 3 && len(near) < 3; distance++ {
		for _, p := range All() {
			if EditDistance(text, string(p.ID)) == distance && len(near) < 3 {
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

// Text writes the page for a terminal of the given width.
func (p Page) Text(width int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", p.ID, p.Title)
	paragraph(&b, "", p.What+" "+p.Why, width)
	if len(p.Fix) > 0 {
		b.WriteString("\nWhat to do:\n")
		for i, step := range p.Fix {
			paragraph(&b, fmt.Sprintf("  %d. ", i+1), step, width)
		}
	}
	b.WriteString("\nHow we know:\n")
	paragraph(&b, "  ", p.Detected, width)
	if len(p.Sources) > 0 {
		b.WriteString("\nSources:\n")
		for _, source := range p.Sources {
			paragraph(&b, "  ", source, width)
		}
	}
	return b.String()
}

// paragraph writes text in lines of the width; lines after the first are
// indented like it.
func paragraph(b *strings.Builder, head, text string, width int) {
	indent := strings.Repeat(" ", len(head))
	line := head
	empty := true
	for _, word := range strings.Fields(text) {
		if !empty && len([]rune(line))+1+len([]rune(word)) > width {
			b.WriteString(line + "\n")
			line, empty = indent, true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	b.WriteString(line + "\n")
}

// Markdown writes all pages as one document, docs/reference/findings.md.
func Markdown() []byte {
	var b bytes.Buffer
	b.WriteString("# Findings\n\n")
	b.WriteString("Every finding of `gpuworker check` and `gpuworker-host check`, and every refusal of `gpuworker plan`, has one of these IDs. They are stable: alerts and tickets may refer to them.\n")
	b.WriteString("`gpuworker explain ID` and `gpuworker-host explain ID` print the same text. This page is made from `internal/finding`.\n")
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
