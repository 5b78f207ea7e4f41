package v1alpha1

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gpuworker/gpuworker/internal/closest"
	"github.com/gpuworker/gpuworker/internal/fieldpath"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// Validate says what is wrong with the documents without looking at anything
// else, all of it at once. It expects SetDefaults to have been called. Warnings do
// not stop anything.
func (d *Documents) Validate() (warnings, problems []Problem) {
	v := &validator{docs: d}
	v.hypervisors()
	v.kubeClusters()
	v.pools()
	v.workerNumbers()
	return v.warnings, v.problems
}

// validator collects what is wrong in a set of documents.
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

// field is a field of the document.
func (o *object) field(path string) *Field {
	f := o.document
	f.Path = path
	return &f
}

func (o *object) errorf(path, format string, args ...any) { o.clash(path, nil, format, args...) }

// clash is errorf for a field that another one excludes; nil when there is none.
func (o *object) clash(path string, with *Field, format string, args ...any) {
	o.problems = append(o.problems, Problem{Field: *o.field(path), Message: fmt.Sprintf(format, args...), See: with})
}

func (o *object) warnf(path, format string, args ...any) {
	o.warnings = append(o.warnings, Problem{Field: *o.field(path), Message: fmt.Sprintf(format, args...)})
}

// uniqueNames is for the documents of one kind: the second of two that share a
// name is a problem.
type uniqueNames map[string]*object

func (seen uniqueNames) check(o *object, name string) {
	o.label("metadata.name", name)
	if first, twice := seen[name]; twice && name != "" {
		o.clash("metadata.name", first.field("metadata.name"), "there are two of this name")
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
		o.errorf(path, "%s has %d characters, and %d is the limit", phrase.Quote(name), len(name), validation.DNS1123LabelMaxLength)
		return
	}
	if len(validation.IsDNS1123Label(name)) > 0 {
		hint := ""
		if plain := labelFrom(name); plain != "" {
			hint = fmt.Sprintf("; for example %q", plain)
		}
		o.errorf(path, "%s is not a name; use lower-case letters, digits and hyphens inside%s", phrase.Quote(name), hint)
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
	hint := "; there is none in these files"
	if near := closest.To(name, known); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	} else if len(known) > 0 {
		hint = "; there is " + phrase.Few(known)
	}
	o.problems = append(o.problems, Problem{
		Field: *o.field(path), NotFound: true, Message: fmt.Sprintf("there is no %s document %s%s", kind, phrase.Quote(name), hint),
	})
}

// distinct wants a list of well-formed texts without repetition. form says
// what is wrong with one, "" when nothing is.
func (o *object) distinct(path string, list []string, form func(string) string) {
	first := make(map[string]int, len(list))
	for i, text := range list {
		if wrong := form(text); wrong != "" {
			o.errorf(fieldpath.Item(path, i), "%s", wrong)
			continue
		}
		if at, twice := first[text]; twice {
			o.errorf(fieldpath.Item(path, i), "%s is there already as %s", phrase.Quote(text), fieldpath.Item(path, at))
			continue
		}
		first[text] = i
	}
}
