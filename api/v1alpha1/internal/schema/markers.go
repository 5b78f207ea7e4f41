package schema

import (
	"go/ast"
	"strconv"
	"strings"
)

// describe splits a doc comment into its text, on one line, and its markers
// ("+kubebuilder:default=4" becomes "kubebuilder:default=4").
func describe(doc *ast.CommentGroup) (text string, markers []string) {
	if doc == nil {
		return "", nil
	}
	var words []string
	for line := range strings.Lines(doc.Text()) {
		line = strings.TrimSpace(line)
		if marker, ok := strings.CutPrefix(line, "+"); ok {
			markers = append(markers, marker)
			continue
		}
		words = append(words, strings.Fields(line)...)
	}
	return strings.Join(words, " "), markers
}

// mark applies the markers of a field to its node.
func (g *generator) mark(node *Node, path string, markers []string) {
	for _, marker := range markers {
		key, value, _ := strings.Cut(marker, "=")
		switch strings.TrimPrefix(key, "kubebuilder:") {
		case "validation:Enum":
			node.Enum = strings.Split(value, ";")
		case "validation:Minimum":
			node.Minimum = g.number(path, value)
		case "validation:Maximum":
			node.Maximum = g.number(path, value)
		case "default":
			node.Default = literal(value)
		default:
			g.problemf("%s: marker %q is not known", path, marker)
		}
	}
}

func (g *generator) number(path, text string) *int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		g.problemf("%s: %q is not a number", path, text)
	}
	return &n
}

// literal reads the value of a default marker: a bool, a number, text with or without
// quotes, or {key: value, …} of those.
func literal(text string) any {
	text = strings.TrimSpace(text)
	if inner, ok := strings.CutPrefix(text, "{"); ok {
		object := make(map[string]any)
		for pair := range strings.SplitSeq(strings.TrimSuffix(inner, "}"), ",") {
			key, value, _ := strings.Cut(pair, ":")
			object[strings.TrimSpace(key)] = literal(value)
		}
		return object
	}
	if truth, err := strconv.ParseBool(text); err == nil && (text == "true" || text == "false") {
		return truth
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if plain, err := strconv.Unquote(text); err == nil {
		return plain
	}
	return text
}
