package document

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// chunk is a part of a file with one document (or several, if YAML finds more).
type chunk struct {
	data []byte
	line int // of the file, where data begins; from 1
}

// split cuts a file before each line that begins with "---", which is always a
// document marker in YAML, even inside quotes. Chunks without content are left out; a
// directive (%YAML) stays with the text after it.
func split(data []byte) []chunk {
	var chunks []chunk
	start, startLine := 0, 1
	content, directive := false, false
	flush := func(end, line int) {
		if content {
			chunks = append(chunks, chunk{data[start:end], startLine})
		}
		if !directive || content {
			start, startLine = end, line
		}
		content, directive = false, false
	}
	for at, line := 0, 1; at < len(data); line++ {
		end := len(data)
		if length := bytes.IndexByte(data[at:], '\n'); length >= 0 {
			end = at + length + 1
		}
		text := bytes.TrimRight(data[at:end], " \t\r\n")
		rest, marker := bytes.CutPrefix(text, []byte("---"))
		if marker = marker && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t'); marker {
			flush(at, line)
			text = bytes.TrimLeft(rest, " \t")
		}
		switch {
		case len(bytes.TrimLeft(text, " \t")) == 0 || bytes.TrimLeft(text, " \t")[0] == '#':
		case text[0] == '%' && !content && !marker:
			directive = true
		default:
			content = true
		}
		at = end
	}
	content = content || directive
	flush(len(data), 0)
	return chunks
}

// unreadable says why the bytes are not text that YAML allows, and in which line; ""
// when they are.
func unreadable(data []byte) (line int, message string) {
	for at := 0; at < len(data); {
		r, size := utf8.DecodeRune(data[at:])
		switch {
		case r == utf8.RuneError && size == 1:
			return lineOfByte(data, at), "the file is not UTF-8 text here; save it as UTF-8"
		case !yamlAllows(r):
			return lineOfByte(data, at), fmt.Sprintf("there is a control character (%U) here; is it the right file?", r)
		}
		at += size
	}
	return 0, ""
}

// yamlAllows reports whether a YAML stream may contain a character (YAML 1.2, 5.1).
func yamlAllows(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0x7e || r == 0x85 || r >= 0xa0 && r != 0xfffe && r != 0xffff
}

func lineOfByte(data []byte, at int) int { return 1 + bytes.Count(data[:at], []byte("\n")) }

var (
	errorLine     = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxProblem converts an error of the YAML parser to a line in the chunk and a
// message for people. The parser omits the line when it is the first. It also quotes
// the names of anchors; such a name may be a password that begins with an asterisk, so
// the message does not repeat it.
func syntaxProblem(err error, data []byte) (line int, message string) {
	line, message = 1, strings.TrimPrefix(err.Error(), "yaml: ")
	if match := errorLine.FindStringSubmatch(err.Error()); match != nil {
		line, _ = strconv.Atoi(match[1])
		message = match[2]
		if strings.HasPrefix(message, "did not find expected") { // the parser counts the lines of grammar errors from 0
			line = min(line+1, lineOfByte(data, len(data)-1))
		}
	}
	if match := unknownAnchor.FindStringSubmatch(message); match != nil {
		if at := bytes.Index(data, []byte("*"+match[1])); at >= 0 {
			line = lineOfByte(data, at)
		}
		return line, "not YAML: text that begins with * must be in quotes (without them it refers to an anchor, and no anchor has this name)"
	}
	switch {
	case indentedByTab(data, line):
		message = "a tab indents this line; indent with spaces"
	case strings.Contains(message, "cannot start any token"):
		message += "; put text that begins with @, ` or % in quotes"
	case strings.Contains(message, "mapping values are not allowed"):
		message += "; is the indentation right, and is text with \": \" in quotes?"
	case strings.Contains(message, "could not find expected ':'"):
		message += "; a line near here is a key without value, or text without quotes"
	case strings.Contains(message, "did not find expected"):
		message += "; look at the indentation, brackets and quotes here and below"
	case strings.Contains(message, "unexpected end of stream"):
		message += "; a quote or bracket before it is not closed"
	}
	return line, "not YAML: " + message
}

func indentedByTab(data []byte, line int) bool {
	lines := bytes.SplitN(data, []byte("\n"), line+1)
	if len(lines) < line {
		return false
	}
	text := lines[line-1]
	return bytes.ContainsRune(text[:len(text)-len(bytes.TrimLeft(text, " \t"))], '\t')
}
