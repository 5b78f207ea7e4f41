package v1alpha1

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Validate says what is wrong with the documents without looking at anything
// else. It expects SetDefaults to have been called. Warnings do not stop
// anything; the error is of type Problems and holds all problems at once.
func (d *Documents) Validate() (warnings Problems, err error) {
	warnings, problems := d.validate()
	return warnings, problems.orNil()
}

func (d *Documents) validate() (warnings, problems Problems) {
	v := &validator{docs: d}
	v.hypervisors()
	v.kubeClusters()
	v.pools()
	v.workerNumbers()
	return v.warnings.sorted(), v.problems.sorted()
}

// validator collects what is wrong in a set of documents.
type validator struct {
	docs               *Documents
	problems, warnings Problems
}

// object is a validator for one document.
type object struct {
	*validator
	key    documentKey
	name   string
	origin *origin // nil when the document was not read from a file
}

func (v *validator) object(kind string, index int, name string) *object {
	key := documentKey{kind, index}
	return &object{v, key, objectName(kind, name), v.docs.origins[key]}
}

// isSuspect reports whether Decode spoke about this path already.
func (o *object) isSuspect(path string) bool { return o.origin != nil && o.origin.suspect(path) }

func (o *object) errorf(path, format string, args ...any) {
	if o.isSuspect(path) {
		return
	}
	o.problems = append(o.problems, o.problem(path, format, args...))
}

func (o *object) warnf(path, format string, args ...any) {
	if o.isSuspect(path) {
		return
	}
	o.warnings = append(o.warnings, o.problem(path, format, args...))
}

func (o *object) problem(path, format string, args ...any) Problem {
	p := Problem{Object: o.name, Path: path, Message: fmt.Sprintf(format, args...)}
	if o.origin != nil {
		p.File, p.Line = o.origin.file, o.origin.lineOf(path)
	}
	return p
}

// place names a field for a message about another one.
func (o *object) place(path string) string {
	text := o.name
	if path != "" {
		text += " " + path
	}
	if o.origin != nil {
		text += fmt.Sprintf(" (%s:%d)", o.origin.file, o.origin.lineOf(path))
	}
	return text
}

// uniqueNames is for the documents of one kind: the second of two that share a
// name is a problem.
type uniqueNames map[string]*object

func (seen uniqueNames) check(o *object, name string) {
	o.label("metadata.name", name)
	if first, twice := seen[name]; twice && name != "" {
		o.errorf("metadata.name", "there are two of this name, see %s", first.place("metadata.name"))
		return
	}
	seen[name] = o
}

// label wants a DNS label: names become host names, tags and parts of other
// names.
func (o *object) label(path, name string) {
	if name == "" {
		o.errorf(path, "is missing")
		return
	}
	if len(name) > validation.DNS1123LabelMaxLength {
		o.errorf(path, "%s has %d characters, and %d is the limit", clip(name), len(name), validation.DNS1123LabelMaxLength)
		return
	}
	if len(validation.IsDNS1123Label(name)) > 0 {
		hint := ""
		if plain := labelFrom(name); plain != "" {
			hint = fmt.Sprintf("; for example %q", plain)
		}
		o.errorf(path, "%s is not a name; use lower-case letters, digits and hyphens inside%s", clip(name), hint)
	}
}

// labelFrom makes the nearest DNS label of a text, "" when there is none.
func labelFrom(text string) string {
	plain := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r == '_', r == '.', r == ' ', r == '-':
			return '-'
		}
		return -1
	}, strings.ToLower(text)), "-")
	if len(validation.IsDNS1123Label(plain)) > 0 {
		return ""
	}
	return plain
}

// oneOf wants one of the values of an enumeration, or nothing.
func oneOf[T ~string](o *object, path string, value T, allowed ...T) {
	if value == "" {
		return
	}
	words := make([]string, len(allowed))
	for i, a := range allowed {
		if a == value {
			return
		}
		words[i] = string(a)
	}
	if near := nearest(string(value), words); near != "" {
		o.errorf(path, "%s is not allowed; did you mean %s? (%s)", clip(string(value)), near, orList(words))
		return
	}
	o.errorf(path, "%s is not allowed; write %s", clip(string(value)), orList(words))
}

// reference wants the name of a document of the set.
func (o *object) reference(path, kind, name string, known []string) {
	if name == "" {
		o.errorf(path, "is missing; write the name of a %s document", kind)
		return
	}
	for _, k := range known {
		if k == name {
			return
		}
	}
	if o.docs.incomplete {
		return // it may be the document that could not be read
	}
	hint := "; there is none in these files"
	if near := nearest(name, known); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	} else if len(known) > 0 {
		hint = "; there is " + some(known)
	}
	o.errorf(path, "there is no %s document %s%s", kind, clip(name), hint)
}

// distinct wants a list of well-formed texts without repetition. form says
// what is wrong with one, "" when nothing is.
func (o *object) distinct(path string, list []string, form func(string) string) {
	first := make(map[string]int, len(list))
	for i, text := range list {
		if wrong := form(text); wrong != "" {
			o.errorf(item(path, i), "%s", wrong)
			continue
		}
		if at, twice := first[text]; twice {
			o.errorf(item(path, i), "%s is there already as %s", clip(text), item(path, at))
			continue
		}
		first[text] = i
	}
}
