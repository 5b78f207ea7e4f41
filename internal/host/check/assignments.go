package check

import (
	"regexp"
	"strings"
)

// assignments reads files of the form KEY=value with the quotes of a shell:
// os-release(5), /etc/default/grub. What a later line says counts, and $KEY
// stands for what came before, as in GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX x".
// Other shell code is not understood and left out.
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

// expand puts values in the place of variables, up to a little more than a value
// may have.
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

// maxAssigned bounds a value: one that doubles itself in each line would not
// end. The command line of the kernel has 4 KiB at most.
const maxAssigned = 8 << 10

var (
	assignment = regexp.MustCompile(`^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)(\+?)=(.*)$`)
	variable   = regexp.MustCompile(`\$(?:[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\})`)
)

// unquote takes the quotes off a value, and a comment behind it; literal tells
// single quotes, in which $ stands for itself.
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
