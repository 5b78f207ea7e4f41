// Package machine writes values for other programs, as JSON and YAML. What is
// read back is exactly what was written, and yet no character can do anything to
// a terminal: what cannot be seen is escaped.
package machine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"github.com/gpuworker/gpuworker/internal/term"
)

// MaxString is the longest that a string may be as it is written, in bytes, so
// that no line is longer than term.MaxLine. The rest of a longer one is cut off,
// and "…" stands for it.
const MaxString = 3 << 10

// JSON writes a value as indented JSON with a line feed at the end.
func JSON(value any) ([]byte, error) {
	text, err := marshal(value)
	if err != nil {
		return nil, err
	}
	return eachString(text, inJSON)
}

// Line writes a value as JSON in one line, with a line feed at its end.
func Line(value any) ([]byte, error) {
	text, err := marshal(value)
	if err != nil {
		return nil, err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return nil, err
	}
	text, err = eachString(line.Bytes(), inJSON)
	return append(text, '\n'), err
}

// Member is a value with one more member at its end, when it is an object; other
// values stay as they are.
func Member(value any, name string, member any) (json.RawMessage, error) {
	text, err := marshal(value)
	if err != nil {
		return nil, err
	}
	text = bytes.TrimSpace(text)
	inside, isObject := bytes.CutSuffix(text, []byte("}"))
	if !isObject {
		return text, nil
	}
	more, err := marshal(map[string]any{name: member})
	if err != nil {
		return nil, err
	}
	if inside = bytes.TrimSpace(inside); len(inside) > len("{") {
		inside = append(inside, ',')
	}
	return append(inside, bytes.TrimPrefix(more, []byte("{"))...), nil
}

// YAML writes a value as YAML, by way of its JSON form.
func YAML(value any) ([]byte, error) {
	text, err := marshal(value)
	if err != nil {
		return nil, err
	}
	// The library writes characters that cannot be seen as they are. Strings with
	// such are written here, in the places of marks. A mark is a string with such a
	// character too, so no other string looks like one.
	var marks []string
	text, err = eachString(text, func(s string) string {
		if strings.ContainsFunc(s, hidden) {
			mark := "\ue000" + strconv.Itoa(len(marks)/2) + "\ue000"
			marks = append(marks, mark, quoted(s, yamlEscape))
			return `"` + mark + `"`
		}
		return quoted(s, jsonEscape)
	})
	if err != nil {
		return nil, err
	}
	if text, err = yaml.JSONToYAML(text); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return []byte(strings.NewReplacer(marks...).Replace(string(text))), nil
}

func marshal(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(value)
	return text.Bytes(), err
}

func inJSON(s string) string { return quoted(s, jsonEscape) }

// hidden tells characters that are escaped. Line feeds and tabs are text to YAML.
func hidden(r rune) bool { return r != '\n' && r != '\t' && !term.Shown(r) }

// eachString puts other forms in the places of the strings of a JSON text.
func eachString(text []byte, form func(string) string) ([]byte, error) {
	var out bytes.Buffer
	for len(text) > 0 {
		begin := bytes.IndexByte(text, '"')
		if begin < 0 {
			break
		}
		out.Write(text[:begin])
		end := begin + 1
		for text[end] != '"' {
			if text[end] == '\\' {
				end++
			}
			end++
		}
		var s string
		if err := json.Unmarshal(text[begin:end+1], &s); err != nil {
			return nil, err
		}
		out.WriteString(form(s))
		text = text[end+1:]
	}
	out.Write(text)
	return out.Bytes(), nil
}

// quoted writes a string in double quotes, and not more of it than MaxString.
func quoted(s string, escape func(r rune) string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, r := range s {
		shown := string(r)
		switch {
		case r == '"', r == '\\':
			shown = `\` + shown
		case r == '\n':
			shown = `\n`
		case r == '\t':
			shown = `\t`
		case !term.Shown(r):
			shown = escape(r)
		}
		if b.Len()+len(shown) > MaxString && i+utf8.RuneLen(r) < len(s) {
			b.WriteString("…")
			break
		}
		b.WriteString(shown)
	}
	b.WriteByte('"')
	return b.String()
}

func jsonEscape(r rune) string {
	if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

func yamlEscape(r rune) string {
	if r > 0xffff {
		return fmt.Sprintf(`\U%08x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}
