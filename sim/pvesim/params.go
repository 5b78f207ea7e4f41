package pvesim

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// arg is one parameter of a request: a form or query value, or a JSON value.
type arg struct {
	values []string
	array  bool // several values, or a JSON array
	null   bool // JSON null
}

type args map[string]arg

// get is the value of a parameter, "" when it was not given.
func (a args) get(name string) string {
	if v := a[name]; len(v.values) > 0 {
		return v.values[0]
	}
	return ""
}

func (a args) has(name string) bool { _, ok := a[name]; return ok }

func (a args) flag(name string) bool { return a.get(name) == "1" }

// number is the value of a valid integer parameter.
func (a args) number(name string, otherwise int) int {
	n, err := strconv.Atoi(a.get(name))
	if err != nil {
		return otherwise
	}
	return n
}

// spec describes the valid values of a parameter. The texts of errors are the recorded
// ones of PVE::JSONSchema.
type spec struct {
	kind     string // string, integer, number, boolean, array
	required bool
	enum     []string
	min, max *float64
	minLen   int
	maxLen   int
	pattern  *regexp.Regexp
	// format returns the error for a value, "" if it is valid. name is the name of the
	// parameter in nested errors.
	format func(name, value string) string
	// list joins repeated values with commas.
	list     bool
	requires string
}

type specs map[string]spec

func text() spec             { return spec{kind: "string"} }
func boolean() spec          { return spec{kind: "boolean"} }
func integer() spec          { return spec{kind: "integer"} }
func numeric() spec          { return spec{kind: "number"} }
func oneOf(v ...string) spec { return spec{kind: "string", enum: v} }
func array(of func(name, value string) string) spec {
	return spec{kind: "array", format: of}
}
func formatted(f func(name, value string) string) spec {
	return spec{kind: "string", format: f}
}
func matching(re string) spec {
	return spec{kind: "string", pattern: regexp.MustCompile("^(?:" + re + ")$")}
}

func (s spec) req() spec           { s.required = true; return s }
func (s spec) atLeast(n int) spec  { v := float64(n); s.min = &v; return s }
func (s spec) atMost(n int) spec   { v := float64(n); s.max = &v; return s }
func (s spec) upTo(n int) spec     { s.maxLen = n; return s }
func (s spec) from(n int) spec     { s.minLen = n; return s }
func (s spec) asList() spec        { s.list = true; return s }
func (s spec) with(o string) spec  { s.requires = o; return s }
func (s spec) numberInJSON() bool  { return s.kind == "integer" || s.kind == "boolean" }
func vmidSpec() spec               { s := integer(); s.format = vmidFormat; return s }
func storageSpec() spec            { return formatted(storageFormat) }
func configIDSpec() spec           { return formatted(configIDFormat) }
func nodeSpec() spec               { return formatted(nodeFormat) }
func (s specs) and(o specs) specs  { return merge(s, o) }
func (s specs) check(a args) error { return checkArgs(s, a) }

func merge[M ~map[string]V, V any](a, b M) M {
	out := M{}
	for k, v := range a {
		out[k] = v
	}
	for k, v := range b {
		out[k] = v
	}
	return out
}

const unknownProperty = "property is not defined in schema and the schema does not allow additional properties"

// checkArgs verifies the parameters of a call and normalizes lists. The error is a 400
// with the errors of all parameters.
func checkArgs(schema specs, given args) error {
	complaints := map[string]string{}
	for name, a := range given {
		s, known := schema[name]
		if !known {
			complaints[name] = unknownProperty
			continue
		}
		if a.null {
			continue
		}
		if s.requires != "" && !given.has(s.requires) {
			complaints[s.requires] = fmt.Sprintf("missing property required by '%s'", name)
		}
		checkArg(s, name, a, complaints)
		if s.list && a.array {
			given[name] = arg{values: []string{strings.Join(a.values, ",")}}
		}
	}
	for name, s := range schema {
		if s.required && !given.has(name) {
			complaints[name] = "property is missing and it is not optional"
		}
	}
	if len(complaints) > 0 {
		return badParams(complaints)
	}
	return nil
}

func checkArg(s spec, name string, a arg, complaints map[string]string) {
	switch {
	case s.kind == "array" && !a.array && a.get0() == "":
		complaints[name] = "type check ('array') failed"
	case s.kind == "array":
		for i, v := range a.values {
			key := fmt.Sprintf("%s[%d]", name, i)
			if text := s.check(key, v); text != "" {
				complaints[key] = text
			}
		}
	case a.array && !s.list:
		complaints[name] = fmt.Sprintf("type check ('%s') failed - got ARRAY", s.kind)
	default:
		for _, v := range a.values {
			if text := s.check(name, v); text != "" {
				complaints[name] = text
			}
		}
	}
}

var (
	integerForm = regexp.MustCompile(`^[+-]?\d+$`)
	numberForm  = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([Ee][+-]?\d+)?$`)
)

// check returns the error for one value, "" if it is valid.
func (s spec) check(name, value string) string {
	if text := s.checkKind(value); text != "" {
		return text
	}
	if s.format != nil {
		if text := s.format(name, value); text != "" {
			return "invalid format - " + text + "\n"
		}
	}
	if s.pattern != nil && !s.pattern.MatchString(value) {
		return "value does not match the regex pattern"
	}
	if s.maxLen > 0 && len(value) > s.maxLen {
		return fmt.Sprintf("value may only be %d characters long", s.maxLen)
	}
	if utf8.RuneCountInString(value) < s.minLen {
		return fmt.Sprintf("value must be at least %d characters long", s.minLen)
	}
	if s.min != nil || s.max != nil {
		if text := s.checkRange(value); text != "" {
			return text
		}
	}
	if len(s.enum) > 0 && !slices.Contains(s.enum, value) {
		return fmt.Sprintf("value '%s' does not have a value in the enumeration '%s'", value, strings.Join(s.enum, ", "))
	}
	return ""
}

func (s spec) checkKind(value string) string {
	ok := true
	switch s.kind {
	case "integer":
		ok = integerForm.MatchString(value)
	case "number":
		ok = numberForm.MatchString(value)
	case "boolean":
		ok = value == "0" || value == "1"
	}
	if !ok {
		return fmt.Sprintf("type check ('%s') failed - got '%s'", s.kind, value)
	}
	return ""
}

func (s spec) checkRange(value string) string {
	n, err := strconv.ParseFloat(value, 64)
	if err != nil {
		n = math.Inf(1)
	}
	if s.min != nil && n < *s.min {
		return fmt.Sprintf("value must have a minimum value of %g", *s.min)
	}
	if s.max != nil && n > *s.max {
		return "value must have a maximum value of " + strconv.FormatFloat(*s.max, 'f', -1, 64)
	}
	return ""
}
