// Package machine writes values for other programs, as JSON and YAML. Reading them gives
// exactly the same values. Invisible characters are escaped, so that no character can
// control a terminal.
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

// MaxString is the limit of a string in its written form, in bytes, so that no line is
// longer than term.MaxLine. A longer string is cut off and ends with "…".
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

// Member adds a member at the end of a value that is an object. Other values stay as
// they are.
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

// YAML writes a value as YAML. It converts the JSON form of the value.
func YAML(value any) ([]byte, error) {
	text, err := marshal(value)
	if err != nil {
		return nil, err
	}
	// The library does not escape invisible characters. Strings with such characters are
	// replaced by marks first and written here afterwards. A mark contains an invisible
	// character, so no other string can look like one.
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

// hidden reports whether a character is escaped. Line feeds and tabs are text in YAML.
func hidden(r rune) bool { return r != '\n' && r != '\t' && !term.Shown(r) }

// eachString replaces each string of a JSON text by the result of form.
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

// quoted writes a string in double quotes, cut to MaxString.
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
