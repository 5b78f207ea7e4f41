package check

import (
	"regexp"
	"strings"
)

// assignments reads files of the form KEY=value with shell quotes: os-release(5),
// /etc/default/grub. A later line replaces an earlier one, and $KEY stands for the
// earlier value, as in GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX x". Other shell code
// is ignored.
func assignments(before map[string]string, body string) map[string]string {
	values := map[string]string{}
	for key, value := range before {
		values[key] = value
	}
	for line := range strings.Lines(body) {
		match := assignment.FindStringSubmatch(strings.TrimSpace(line))
		if match == nil {
			continue
		}
		key, add, value := match[1], match[2] == "+", match[3]
		value, literal := unquote(value)
		if !literal {
			value = expand(value, values)
		}
		if add {
			value = values[key] + value
		}
		if len(value) <= maxAssigned {
			values[key] = value
		}
	}
	return values
}

// expand replaces variables by their values, and stops when the result is longer
// than maxAssigned.
func expand(value string, values map[string]string) string {
	var b strings.Builder
	for b.Len() <= maxAssigned {
		at := variable.FindStringIndex(value)
		if at == nil {
			break
		}
		b.WriteString(value[:at[0]])
		b.WriteString(values[strings.Trim(value[at[0]:at[1]], "${}")])
		value = value[at[1]:]
	}
	return b.String() + value
}

// maxAssigned limits the length of a value, because one that doubles in each line
// would not end. The kernel's command line has at most 4 KiB.
const maxAssigned = 8 << 10

var (
	assignment = regexp.MustCompile(`^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)(\+?)=(.*)$`)
	variable   = regexp.MustCompile(`\$(?:[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\})`)
)

// unquote removes the quotes of a value and a comment after it. literal is true for
// single quotes, in which $ has no meaning.
func unquote(value string) (plain string, literal bool) {
	if value == "" {
		return "", false
	}
	if quote := value[0]; quote == '"' || quote == '\'' {
		if end := strings.IndexByte(value[1:], quote); end >= 0 {
			return value[1 : 1+end], quote == '\''
		}
		return value[1:], quote == '\''
	}
	word, _, _ := strings.Cut(value, " ")
	return word, false
}
