package app

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"
)

// judge fails the test when printed text could do harm.
func (l *lab) judge(p printed) {
	l.t.Helper()
	for name, text := range map[string]string{"standard output": p.out, "standard error": p.err} {
		if p.terminal {
			text = ours.ReplaceAllString(text, "$1")
		}
		if at := harm(text); at >= 0 {
			l.t.Errorf("%v prints to %s: %q", p.args, name, text[max(0, at-40):min(len(text), at+40)])
		}
		for line := range strings.Lines(text) {
			if len(line) > 4096 {
				l.t.Errorf("%v prints to %s a line of %d bytes: %q", p.args, name, len(line), line[:100])
			}
		}
		if at := strings.Index(text, "\nkind: Evil"); at >= 0 || !slices.Contains(p.args, "-o") && forged.MatchString(text) {
			l.t.Errorf("%v prints a line that is not ours to %s: %q", p.args, name, short(text))
		}
		for _, line := range sentences(p, text) {
			l.judgeCommands(p, line)
		}
	}
	if p.out+p.err == "" {
		l.t.Errorf("%v prints nothing, and ends with %d", p.args, p.code)
	}
}

// ours matches our colours, which have a beginning and an end, and the cursor movements
// of repainted progress. A planted colour has no end.
var ours = regexp.MustCompile("(?m)\x1b\\[(?:1|2|31|32|33|36)m([^\x1b\n]*)\x1b\\[0m|(?:\x1b\\[[0-9]+A)?\r\x1b\\[J|…\x1b\\[0m$")

// harm returns where a text would control a terminal, or -1.
func harm(text string) int {
	for at, r := range text {
		switch {
		case r < ' ' && r != '\n' && r != '\t', r >= 0x7f && r < 0xa0, // C0, DEL, C1
			r == 0xad, r == 0x34f, r == 0x61c, r == 0x115f, r == 0x1160, r == 0x17b4, r == 0x17b5, r >= 0x180b && r <= 0x180f,
			r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0x3164,
			r >= 0xfe00 && r <= 0xfe0f, r == 0xfeff, r == 0xffa0, r >= 0xfff0 && r <= 0xfffb, r >= 0xe0000 && r < 0xe1000:
			return at
		}
	}
	if !utf8.ValidString(text) {
		return 0
	}
	return -1
}

// suggested matches commands with names in them. They end at the end of the line, or
// before the host or the workers that they are for.
var suggested = regexp.MustCompile(`(?:gpuworker (?:delete|park|unpark|replace) [^…\n]|gpuworker adopt \d|qm (?:set|migrate) \d|pvesm set [^A-Z])[^\n]*`)

// forms are the suggested commands: * is a name, # a number.
var forms = []string{
	"gpuworker delete *", "gpuworker park *", "gpuworker unpark *", "gpuworker replace *", "gpuworker adopt # --as *",
	"qm set # --delete *", "qm set # --ide2 *", "qm set # --name *", "qm migrate # *", "pvesm set * --content *",
}

// forged matches advice that we did not print, at a place where only our own text can
// begin: text from outside comes after other text, or is indented.
var forged = regexp.MustCompile(`(?m)^(?:Next: *)?gpuworker forged`)

// sentences returns the parts of an output that may contain commands: unwrapped lines, or
// the texts of JSON.
func sentences(p printed, text string) []string {
	switch {
	case p.terminal, slices.Contains(p.args, "yaml"):
		return nil // broken to the width; the same as JSON
	case !slices.Contains(p.args, "json"):
		return strings.Split(text, "\n")
	}
	var value any
	if json.Unmarshal([]byte(text), &value) != nil {
		return nil
	}
	return leaves(value)
}

// leaves returns all texts of a value.
func leaves(value any) []string {
	var all []string
	switch v := value.(type) {
	case map[string]any:
		for _, member := range v {
			all = append(all, leaves(member)...)
		}
	case []any:
		for _, element := range v {
			all = append(all, leaves(element)...)
		}
	case string:
		all = append(all, v)
	}
	return all
}

func (l *lab) judgeCommands(p printed, text string) {
	l.t.Helper()
	for _, found := range suggested.FindAllString(text, -1) {
		line, _, _ := strings.Cut(found, "   (on ")
		line, _, _ = strings.Cut(line, "  (")
		if strings.HasSuffix(line, " --smbios1 uuid=$(uuidgen)") {
			continue // expanded on purpose, and made of our own words
		}
		words, ok := split(line)
		if !ok || !l.intended(words) {
			l.t.Errorf("%v suggests %q, which a shell reads as %q", p.args, line, words)
		}
	}
}

// split reads a line as a POSIX shell does. The line must be one simple command, without
// anything that a shell would expand, run or redirect.
func split(line string) (words []string, ok bool) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(line), "")
	if err != nil || len(file.Stmts) != 1 || len(file.Stmts[0].Redirs) > 0 || file.Stmts[0].Background || file.Stmts[0].Semicolon.IsValid() {
		return nil, false
	}
	call, isCall := file.Stmts[0].Cmd.(*syntax.CallExpr)
	if !isCall || len(call.Assigns) > 0 {
		return nil, false
	}
	for _, word := range call.Args {
		text := ""
		for _, part := range word.Parts {
			switch part := part.(type) {
			case *syntax.Lit:
				text += unescaped(part.Value)
			case *syntax.SglQuoted:
				text += part.Value
			default:
				return nil, false
			}
		}
		words = append(words, text)
	}
	return words, true
}

var backslash = regexp.MustCompile(`\\(.)`)

func unescaped(text string) string { return backslash.ReplaceAllString(text, "$1") }

var (
	plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:,-]*$`)
	number    = regexp.MustCompile(`^[0-9]+$`)
)

// intended reports whether a command has one of the forms, and each name is one argument:
// a complete planted text, or a real name.
func (l *lab) intended(words []string) bool {
	if at := slices.Index(words, "-f"); at > 1 && at+1 < len(words) && words[at+1] == l.document {
		words = slices.Concat(words[:at], words[at+2:])
	}
	for _, form := range forms {
		fields := strings.Fields(form)
		fits := len(fields) == len(words)
		for i := 0; fits && i < len(fields); i++ {
			switch fields[i] {
			case "*":
				fits = plainName.MatchString(words[i]) || strings.Contains(words[i], l.liar.text) && l.liar.text != ""
			case "#":
				fits = number.MatchString(words[i])
			default:
				fits = fields[i] == words[i]
			}
		}
		if fits {
			return true
		}
	}
	return false
}
