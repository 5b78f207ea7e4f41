package document

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/closest"
	"github.com/gpuworker/gpuworker/internal/fieldpath"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// field is one field of a document's type.
type field struct {
	name     string // in YAML
	index    []int  // for reflect.Value.FieldByIndex
	typ      reflect.Type
	optional bool
}

// metadataFields are the fields of metadata that a person writes. The API server
// writes the others.
var metadataFields = []string{"name", "namespace", "labels", "annotations"}

// fieldsOf lists the fields of a type by their names in YAML.
func (r *reader) fieldsOf(t reflect.Type) []field {
	if known, ok := r.fields[t]; ok {
		return known
	}
	fields := typeFields(t)
	r.fields[t] = fields
	return fields
}

func typeFields(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case name == "" && f.Anonymous:
			for _, inner := range typeFields(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				fields = append(fields, inner)
			}
		default:
			fields = append(fields, field{name, []int{i}, f.Type, strings.Contains(options, "omit")})
		}
	}
	return fields
}

// plainName matches names of fields that a message may repeat. Any other name may be
// text that was pasted by mistake.
var plainName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./-]{0,62}$`)

// secretFields are field names that people try to write in a secret's source. They are
// not secrets, so a message may repeat them.
var secretFields = []string{"value", "valueFrom", "secret", "secretRef", "secretKeyRef", "token", "password",
	"username", "user", "name", "key", "path", "data", "text", "literal", "environment", "var", "env", "file", "Env", "File"}

// fieldPath returns the path of an unknown field for a message, or the path of its
// parent when the name of the field may be a secret.
func (r *reader) fieldPath(path, name string) string {
	if !plainName.MatchString(name) || r.quiet > 0 && !slices.Contains(secretFields, name) {
		return path
	}
	return fieldpath.Under(path, name)
}

// entryNumber is the number of an entry of a list in a path.
var entryNumber = regexp.MustCompile(`\[[0-9]+\]`)

// unknownField reports an unknown field, and suggests a field with a similar name here,
// or with the same name elsewhere in the document.
func (r *reader) unknownField(t reflect.Type, fields []field, e keyValue, path string) {
	var names []string
	for _, f := range fields {
		if t != objectMetaType || slices.Contains(metadataFields, f.name) {
			names = append(names, f.name)
		}
	}
	at, message := r.fieldPath(path, e.name), "there is no such field"
	if at == path {
		message = "a field here has an unknown name"
	}
	now, old := v1alpha1.OldSpelling(entryNumber.ReplaceAllString(at, "[]"), "")
	switch near := closest.To(e.name, names); {
	case old && r.quiet == 0:
		message += "; " + now
		if path == "spec.template" { // required: do not also report it as missing
			r.suspects = append(r.suspects, path)
		}
	case t == secretType && e.name == "value":
		message += "; a secret is never written in a document: write env or file. If this was a real secret, make a new one"
	case r.quiet > 0:
		message += "; there are " + phrase.And(names)
	case near != "":
		message += fmt.Sprintf("; did you mean %q?", near)
		r.suspects = append(r.suspects, fieldpath.Under(path, near))
	default:
		if places := otherPlaces(r.root, "", e.name, 0); len(places) == 1 {
			message += "; did you mean " + places[0] + "?"
			r.suspects = append(r.suspects, places[0])
		} else {
			message += "; there are " + phrase.And(names)
		}
	}
	r.wrong(e.key, at, "%s", message)
}

// otherPlaces finds the paths of all fields of that name.
func otherPlaces(t reflect.Type, path, name string, depth int) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		if t.Kind() == reflect.Slice {
			path += "[]"
		}
		t = t.Elem()
	}
	const deepest = 6
	if t.Kind() != reflect.Struct || t == quantityType || t == objectMetaType || depth > deepest {
		return nil
	}
	var found []string
	for _, f := range typeFields(t) {
		at := fieldpath.Under(path, f.name)
		if closest.Bare(f.name) == closest.Bare(name) {
			found = append(found, at)
		}
		found = append(found, otherPlaces(f.typ, at, name, depth+1)...)
	}
	return found
}
