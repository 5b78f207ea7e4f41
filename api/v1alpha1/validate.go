package v1alpha1

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gpuworker/gpuworker/internal/closest"
	"github.com/gpuworker/gpuworker/internal/fieldpath"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// Validate checks the documents without any hypervisor, and returns all problems at once.
// SetDefaults must be called first. Warnings do not stop a command.
func (d *Documents) Validate() (warnings, problems []Problem) {
	v := &validator{docs: d}
	v.hypervisors()
	v.kubeClusters()
	v.pools()
	v.workerNumbers()
	return v.warnings, v.problems
}

// validator collects the problems of a set of documents.
type validator struct {
	docs               *Documents
	problems, warnings []Problem
}

// object is a validator for one document.
type object struct {
	*validator
	document Field
}

func (v *validator) object(kind string, index int, name string) *object {
	return &object{v, Field{Kind: kind, Index: index, Name: name}}
}

// field returns a field of the document.
func (o *object) field(path string) *Field {
	f := o.document
	f.Path = path
	return &f
}

func (o *object) errorf(path, format string, args ...any) { o.conflict(path, nil, format, args...) }

// conflict is errorf for a field that conflicts with another one; nil for none.
func (o *object) conflict(path string, with *Field, format string, args ...any) {
	o.problems = append(o.problems, Problem{Field: *o.field(path), Message: fmt.Sprintf(format, args...), See: with})
}

func (o *object) warnf(path, format string, args ...any) {
	o.warnings = append(o.warnings, Problem{Field: *o.field(path), Message: fmt.Sprintf(format, args...)})
}

// uniqueNames are the documents of one kind by name. A second document with the same name
// is a problem.
type uniqueNames map[string]*object

func (seen uniqueNames) check(o *object, name string) {
	o.label("metadata.name", name)
	if first, twice := seen[name]; twice && name != "" {
		o.conflict("metadata.name", first.field("metadata.name"), "two documents have this name")
		return
	}
	seen[name] = o
}

// label requires a DNS label: names become host names, tags and parts of other names.
func (o *object) label(path, name string) {
	if name == "" {
		o.errorf(path, "is missing")
		return
	}
	if len(name) > validation.DNS1123LabelMaxLength {
		o.errorf(path, "%s has %d characters, but the limit is %d", phrase.Quote(name), len(name), validation.DNS1123LabelMaxLength)
		return
	}
	if len(validation.IsDNS1123Label(name)) > 0 {
		hint := ""
		if plain := LabelFrom(name); plain != "" {
			hint = fmt.Sprintf("; for example %q", plain)
		}
		o.errorf(path, "%s is not a valid name; use lower-case letters, digits, and hyphens inside%s", phrase.Quote(name), hint)
	}
}

// LabelFrom converts a text to a similar DNS label, "" when there is none.
func LabelFrom(text string) string {
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

// oneOf requires one of the values of an enumeration, or an empty value.
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
	if now, old := OldSpelling(path, string(value)); old {
		o.errorf(path, "%s is not allowed any more; %s", phrase.Quote(string(value)), now)
		return
	}
	if near := closest.To(string(value), words); near != "" {
		o.errorf(path, "%s is not allowed; did you mean %s? (%s)", phrase.Quote(string(value)), near, phrase.Or(words))
		return
	}
	o.errorf(path, "%s is not allowed; write %s", phrase.Quote(string(value)), phrase.Or(words))
}

// reference requires the name of a document of the set.
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
	hint := "; these files have no document of this kind"
	if near := closest.To(name, known); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	} else if len(known) > 0 {
		hint = "; there is " + phrase.Several(known)
	}
	o.problems = append(o.problems, Problem{
		Field: *o.field(path), NotFound: true, Message: fmt.Sprintf("there is no %s document %s%s", kind, phrase.Quote(name), hint),
	})
}

// distinct requires a list of valid texts without repetition. form says what is wrong
// with a text, or returns "".
func (o *object) distinct(path string, list []string, form func(string) string) {
	first := make(map[string]int, len(list))
	for i, text := range list {
		if wrong := form(text); wrong != "" {
			o.errorf(fieldpath.Item(path, i), "%s", wrong)
			continue
		}
		if at, twice := first[text]; twice {
			o.errorf(fieldpath.Item(path, i), "%s is written twice, first in %s", phrase.Quote(text), fieldpath.Item(path, at))
			continue
		}
		first[text] = i
	}
}
