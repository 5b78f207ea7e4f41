package bootstrap

import (
	"bytes"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// YAML is written with a style that every parser reads in the same way: cloud-init reads
// YAML 1.1, where no, 0777 and 12:30:45 without quotes are no text.

// entry is one key of a mapping.
type entry struct {
	key   string
	value *yaml.Node
}

// mapping returns a mapping in this order. Entries without a value are left out.
func mapping(entries ...entry) *yaml.Node {
	node := &yaml.Node{Kind: yaml.MappingNode}
	for _, e := range entries {
		if e.value != nil {
			node.Content = append(node.Content, text(e.key), e.value)
		}
	}
	return node
}

func sequence(items ...*yaml.Node) *yaml.Node {
	if len(items) == 0 {
		return nil
	}
	return &yaml.Node{Kind: yaml.SequenceNode, Content: items}
}

// texts returns a list of texts, nil for an empty one.
func texts(list ...string) *yaml.Node {
	items := make([]*yaml.Node, len(list))
	for i, item := range list {
		items[i] = text(item)
	}
	return sequence(items...)
}

// inline writes a list or mapping in one line.
func inline(node *yaml.Node) *yaml.Node {
	if node != nil {
		node.Style = yaml.FlowStyle
	}
	return node
}

func flag(value bool) *yaml.Node {
	word := "false"
	if value {
		word = "true"
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: word}
}

func number(digits string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: digits}
}

// optional returns a text, nil for "".
func optional(value string) *yaml.Node {
	if value == "" {
		return nil
	}
	return text(value)
}

var (
	plainForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./-]*$`)
	notText   = regexp.MustCompile(`(?i)^(y|n|yes|no|on|off|true|false|null)$`)
)

// text returns a text. Words are written as they are, several lines as a block, all else
// in double quotes, where everything else can be escaped.
func text(value string) *yaml.Node {
	value = strings.ToValidUTF8(value, "\ufffd")
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Style: yaml.DoubleQuotedStyle}
	switch {
	case plainForm.MatchString(value) && !notText.MatchString(value):
		node.Style = 0
	case isBlock(value):
		node.Style = yaml.LiteralStyle
	}
	return node
}

// isBlock reports whether a text can be a block: several lines of printable ASCII, with
// one line break at the end, and without spaces where a parser may drop them.
func isBlock(value string) bool {
	if !isPlainText(value) || !strings.HasSuffix(value, "\n") || strings.HasSuffix(value, "\n\n") || len(value) < 2 {
		return false
	}
	if strings.HasPrefix(value, " ") || strings.HasPrefix(value, "\n") || strings.Contains(value, "\t") {
		return false
	}
	return !strings.Contains(value, " \n")
}

// isPlainText reports whether a text has only printable ASCII, tabs and line breaks.
func isPlainText(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return (r < ' ' || r > '~') && r != '\n' && r != '\t' })
}

// encode writes a document.
func encode(node *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(node); err != nil {
		return nil, err
	}
	return b.Bytes(), encoder.Close()
}
