package pve

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// maxEntries is the maximum number of entries of all lists and objects in one answer.
// The longest real answer, the list of resources of a large cluster, has about ten
// thousand. Without a limit, 32 MiB of "{}," would become gigabytes.
const maxEntries = 100_000

// errTooMany is the error for an answer with more entries.
var errTooMany = fmt.Errorf("the answer has more than %d entries", maxEntries)

// decode reads a JSON document into a value. It accepts the variants that Proxmox VE
// writes: a number as a string ("memory": "256" beside "cores": 1), a boolean as 0 or
// 1, a missing list as null. Struct fields are matched by their json tag only. A field
// that is missing or null gets the text of its default tag, if it has one. A field
// with the tag required must be present and not empty, because an entry without its
// name or number would be mistaken for another.
//
// The document is decoded directly into the value, without an intermediate tree. So
// its memory is limited by the value's types, maxEntries and the length of the text.
// The value is changed only if the whole document could be read.
func decode(data []byte, into any) error {
	return wholly(into, func(dst reflect.Value) error {
		r, err := newReader(data)
		if err != nil {
			return err
		}
		return below("data", r.value(dst))
	})
}

// wholly changes a value only if read returns no error. For nil, the data is read and
// dropped.
func wholly(into any, read func(dst reflect.Value) error) error {
	if into == nil {
		return read(reflect.Value{})
	}
	dst := reflect.ValueOf(into).Elem()
	renewed := reflect.New(dst.Type()).Elem()
	renewed.Set(dst)
	if err := read(renewed); err != nil {
		return err
	}
	dst.Set(renewed)
	return nil
}

// misfit is the error for a value of the wrong type. Its text begins with the path:
// "[3].vmid should be an integer, …".
type misfit struct{ text string }

func (m misfit) Error() string { return m.text }

// below adds a step of the path to a misfit. Other errors concern the whole document
// and are returned unchanged.
func below(step string, err error) error {
	var m misfit
	if errors.As(err, &m) {
		return misfit{step + m.text}
	}
	return err
}

func mismatch(expected, got string) error {
	return misfit{fmt.Sprintf(" should be %s, but is %s", expected, clip(got, 60))}
}

// rawJSON is a value that is decoded later.
type rawJSON []byte

// reader reads one valid JSON document. Because it is valid, separators can be
// skipped without checking them.
type reader struct {
	data []byte
	at   int
	left int // entries that may still come
}

// newReader checks that the text is exactly one valid JSON document.
func newReader(data []byte) (*reader, error) {
	return &reader{data: data, left: maxEntries}, json.Unmarshal(data, &skipped{})
}

// skipped accepts any JSON value and stores nothing.
type skipped struct{}

func (*skipped) UnmarshalJSON([]byte) error { return nil }

// next skips separators and returns the first byte of the next token.
func (r *reader) next() byte {
	for strings.IndexByte(" \t\r\n,:", r.data[r.at]) >= 0 {
		r.at++
	}
	return r.data[r.at]
}

// raw reads the next value as text.
func (r *reader) raw() []byte {
	r.next()
	start, depth := r.at, 0
	for {
		switch r.data[r.at] {
		case '"':
			r.passText()
		case '{', '[':
			r.at++
			depth++
		case '}', ']':
			r.at++
			depth--
		case ' ', '\t', '\r', '\n', ',', ':':
			r.at++
		default:
			for r.at < len(r.data) && strings.IndexByte(" \t\r\n,:}]", r.data[r.at]) < 0 {
				r.at++
			}
		}
		if depth == 0 {
			return r.data[start:r.at]
		}
	}
}

// passText skips a string.
func (r *reader) passText() {
	for r.at++; r.data[r.at] != '"'; r.at++ {
		if r.data[r.at] == '\\' {
			r.at++
		}
	}
	r.at++
}

// more reports whether a list or object has another entry. Otherwise it skips the end.
func (r *reader) more() bool {
	if c := r.next(); c != '}' && c != ']' {
		return true
	}
	r.at++
	return false
}

// count counts one entry against maxEntries.
func (r *reader) count() error {
	if r.left--; r.left < 0 {
		return errTooMany
	}
	return nil
}

// value reads the next value. null leaves the destination as it is.
func (r *reader) value(dst reflect.Value) error {
	switch {
	case dst.Type() == reflect.TypeFor[UPID]():
		return r.upid(dst)
	case dst.Type() == reflect.TypeFor[rawJSON]():
		dst.SetBytes(r.raw())
		return nil
	case dst.Kind() == reflect.Struct:
		return r.structure(dst)
	case dst.Kind() == reflect.Slice:
		return r.list(dst)
	case dst.Kind() == reflect.Map:
		return r.object(dst)
	default:
		return r.scalar(dst)
	}
}

// open enters a list or object of one of the allowed kinds; opened is false for null.
func (r *reader) open(expected, allowed string) (opened bool, err error) {
	c := r.next()
	switch {
	case c == 'n':
		r.raw()
		return false, nil
	case strings.IndexByte(allowed, c) < 0:
		return false, mismatch(expected, string(r.raw()))
	}
	r.at++
	return true, nil
}

func (r *reader) structure(dst reflect.Value) error {
	fields := fields(dst.Type())
	for _, f := range fields {
		if f.fallback != "" {
			if err := assignText(dst.Field(f.index), f.fallback); err != nil {
				return err
			}
		}
	}
	opened, err := r.open("an object", "{")
	if err == nil && opened {
		err = r.entries(dst, fields)
	}
	if err != nil {
		return err
	}
	for _, f := range fields {
		if f.required && dst.Field(f.index).IsZero() {
			return misfit{fmt.Sprintf(" has no %q, which Proxmox VE always sends", f.name)}
		}
	}
	return nil
}

// entries reads the entries of an object into the fields of a struct.
func (r *reader) entries(dst reflect.Value, fields []field) error {
	for r.more() {
		key := unquoted(r.raw())
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == key })
		if i < 0 {
			r.raw()
		} else if err := r.value(dst.Field(fields[i].index)); err != nil {
			return below("."+key, err)
		}
	}
	return nil
}

func (r *reader) list(dst reflect.Value) error {
	opened, err := r.open("a list", "[")
	if err != nil || !opened {
		return err
	}
	dst.Set(reflect.MakeSlice(dst.Type(), 0, 0))
	for n := 0; r.more(); n++ {
		if err := r.count(); err != nil {
			return err
		}
		if n == dst.Cap() {
			dst.Grow(max(4, n/2))
		}
		dst.SetLen(n + 1)
		if err := r.value(dst.Index(n)); err != nil {
			return below("["+strconv.Itoa(n)+"]", err)
		}
	}
	return nil
}

func (r *reader) object(dst reflect.Value) error {
	opened, err := r.open("an object", "{[")
	if err != nil || !opened {
		return err
	}
	inList := r.data[r.at-1] == '['
	dst.Set(reflect.MakeMap(dst.Type()))
	for r.more() {
		if inList { // only an empty list may stand for an empty object, because of Perl
			return mismatch("an object", "a list")
		}
		if err := r.count(); err != nil {
			return err
		}
		key := unquoted(r.raw())
		element := reflect.New(dst.Type().Elem()).Elem()
		if err := r.value(element); err != nil {
			return below("."+key, err)
		}
		dst.SetMapIndex(reflect.ValueOf(key), element)
	}
	return nil
}

// field is a struct field that JSON is read into.
type field struct {
	index    int
	name     string
	fallback string // "" without a default tag
	required bool
}

var fieldsOf sync.Map // of reflect.Type: []field

// fields returns the fields of a struct type with their tags, from a cache.
func fields(t reflect.Type) []field {
	if known, ok := fieldsOf.Load(t); ok {
		return known.([]field) //nolint:forcetypeassert // nothing else is stored
	}
	var list []field
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		name, tagged := tag.Lookup("json")
		if !tagged || name == "-" {
			continue
		}
		_, required := tag.Lookup("required")
		list = append(list, field{index: i, name: name, fallback: tag.Get("default"), required: required})
	}
	fieldsOf.Store(t, list)
	return list
}

func (r *reader) scalar(dst reflect.Value) error {
	raw := r.raw()
	if raw[0] == 'n' {
		return nil
	}
	if dst.Kind() == reflect.Pointer {
		dst.Set(reflect.New(dst.Type().Elem()))
		dst = dst.Elem()
	}
	text, ok := scalarText(raw)
	if !ok {
		return mismatch("a "+dst.Kind().String(), string(raw))
	}
	return assignText(dst, text)
}

func (r *reader) upid(dst reflect.Value) error {
	raw := r.raw()
	if raw[0] == 'n' {
		return nil
	}
	text, _ := scalarText(raw)
	u, err := ParseUPID(text)
	dst.Set(reflect.ValueOf(u))
	if err != nil {
		return misfit{": " + err.Error()}
	}
	return nil
}
