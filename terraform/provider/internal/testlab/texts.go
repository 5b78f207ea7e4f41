package testlab

import (
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
)

// Error matches an error of Terraform in full: its summary, the line of the configuration
// that it points to, and its detail. Terraform breaks long lines.
func Error(address, summary, line, detail string) *regexp.Regexp {
	kind, name, _ := strings.Cut(address, ".")
	return regexp.MustCompile(`(?s)Error: ` + words(summary) + `\s+with ` + words(address) + `,\s+on \S+ line \d+, in resource ` +
		words(`"`+kind+`" "`+name+`":`) + `\s+\d+:\s+` + words(line) + `\s+` + words(detail) + `\s*$`)
}

// OnlyError matches the output of a command of Terraform that has exactly one error, in
// full, whatever it points to.
func OnlyError(summary, detail string) *regexp.Regexp {
	const place = `(?:\n(?:  [^\n]*)?)*?\n`
	return regexp.MustCompile(`^[^\n]*: exit status 1\n\s*Error: ` + words(summary) + `\n` + place + words(detail) + `\s*$`)
}

// words matches the words of a text with any space between them.
func words(text string) string {
	var quoted []string
	for _, word := range strings.Fields(text) {
		quoted = append(quoted, regexp.QuoteMeta(word))
	}
	return strings.Join(quoted, `\s+`)
}

// Forget is the last step of a test with a GPU worker, which Terraform may not destroy.
func Forget(addresses ...string) resource.TestStep {
	config := ""
	for _, address := range addresses {
		config += "removed {\n  from = " + address + "\n  lifecycle {\n    destroy = false\n  }\n}\n"
	}
	return resource.TestStep{Config: config}
}

// Text matches an error without a line of the configuration in full.
func Text(summary, detail string) *regexp.Regexp {
	return regexp.MustCompile(`(?s)Error: ` + words(summary) + `\s+` + words(detail) + `\s*$`)
}

// Says matches an output that has an error with this summary and detail, whatever it
// points to.
func Says(summary, detail string) *regexp.Regexp {
	return regexp.MustCompile(`(?s)Error: ` + words(summary) + `\n.*` + words(detail))
}

// Broken is a regular expression that matches any space where it has one: Terraform breaks
// long lines.
func Broken(form string) *regexp.Regexp {
	return regexp.MustCompile(strings.Join(strings.Fields(form), `\s+`))
}
