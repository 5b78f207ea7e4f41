package pve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// readJSON reads one JSON document; numbers stay as they are written.
func readJSON(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the JSON document")
	}
	return v, nil
}

// decode reads a JSON document into a value.
func decode(data []byte, into any) error {
	v, err := readJSON(data)
	if err != nil {
		return err
	}
	return fill(v, into)
}

// fill puts the data of an answer into a value, as tolerantly as Proxmox VE
// writes it: a number may come as a string ("memory": "256" beside "cores": 1),
// a boolean as 0 and 1, a missing list as null. Struct fields are matched by
// their json tag only; a field that is missing or null takes the text of its
// default tag, if it has one.
func fill(v, into any) error {
	if err := assign(reflect.ValueOf(into).Elem(), v); err != nil {
		return fmt.Errorf("data%w", err)
	}
	return nil
}

// assign puts a decoded JSON value into a Go value. Its errors begin with the
// path to what did not fit: "[3].vmid should be …".
func assign(dst reflect.Value, v any) error {
	if v == nil {
		return nil
	}
	switch dst.Kind() {
	case reflect.Pointer:
		dst.Set(reflect.New(dst.Type().Elem()))
		return assign(dst.Elem(), v)
	case reflect.Interface:
		dst.Set(reflect.ValueOf(v))
		return nil
	case reflect.Struct:
		return assignStruct(dst, v)
	case reflect.Slice:
		return assignSlice(dst, v)
	case reflect.Map:
		return assignMap(dst, v)
	default:
		return assignScalar(dst, v)
	}
}

// field is a struct field that JSON is read into.
type field struct {
	index    int
	name     string
	fallback any // nil without a default tag
}

var fieldsOf sync.Map // of reflect.Type: []field

// fields reads the tags of a struct type, once.
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
		f := field{index: i, name: name}
		if text, ok := tag.Lookup("default"); ok {
			f.fallback = text
		}
		list = append(list, f)
	}
	fieldsOf.Store(t, list)
	return list
}

func assignStruct(dst reflect.Value, v any) error {
	if dst.Type() == reflect.TypeFor[UPID]() {
		s, _ := v.(string)
		u, err := ParseUPID(s)
		dst.Set(reflect.ValueOf(u))
		if err != nil {
			return fmt.Errorf(": %w", err)
		}
		return nil
	}
	object, ok := v.(map[string]any)
	if !ok {
		return mismatch("an object", v)
	}
	for _, f := range fields(dst.Type()) {
		value := object[f.name]
		if value == nil {
			value = f.fallback
		}
		if err := assign(dst.Field(f.index), value); err != nil {
			return fmt.Errorf(".%s%w", f.name, err)
		}
	}
	return nil
}

func assignSlice(dst reflect.Value, v any) error {
	list, ok := v.([]any)
	if !ok {
		return mismatch("a list", v)
	}
	dst.Set(reflect.MakeSlice(dst.Type(), len(list), len(list)))
	for i, item := range list {
		if err := assign(dst.Index(i), item); err != nil {
			return fmt.Errorf("[%d]%w", i, err)
		}
	}
	return nil
}

func assignMap(dst reflect.Value, v any) error {
	object, ok := v.(map[string]any)
	if !ok {
		if list, ok := v.([]any); ok && len(list) == 0 {
			object = map[string]any{} // Perl's empty list and empty hash look alike
		} else {
			return mismatch("an object", v)
		}
	}
	dst.Set(reflect.MakeMapWithSize(dst.Type(), len(object)))
	for key, item := range object {
		element := reflect.New(dst.Type().Elem()).Elem()
		if err := assign(element, item); err != nil {
			return fmt.Errorf(".%s%w", key, err)
		}
		dst.SetMapIndex(reflect.ValueOf(key), element)
	}
	return nil
}

func assignScalar(dst reflect.Value, v any) error {
	text, ok := scalarText(v)
	if !ok {
		return mismatch("a "+dst.Kind().String(), v)
	}
	switch dst.Kind() {
	case reflect.String:
		dst.SetString(text)
		return nil
	case reflect.Bool:
		b, ok := parseBool(text)
		if !ok {
			return mismatch("a boolean", v)
		}
		dst.SetBool(b)
		return nil
	case reflect.Int, reflect.Int64:
		n, err := parseInt(text)
		if err != nil || dst.OverflowInt(n) {
			return mismatch("an integer", v)
		}
		dst.SetInt(n)
		return nil
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return mismatch("a number", v)
		}
		dst.SetFloat(f)
		return nil
	default:
		return fmt.Errorf(": cannot decode into %s", dst.Type())
	}
}

// scalarText is the text of a string, number or boolean as Proxmox would write
// it in a configuration file: booleans as 1 and 0.
func scalarText(v any) (string, bool) {
	switch x := v.(type) {
	case string:
		return x, true
	case json.Number:
		return x.String(), true
	case bool:
		if x {
			return "1", true
		}
		return "0", true
	default:
		return "", false
	}
}

// parseBool knows the spellings of PVE::JSONSchema::parse_boolean; Perl's false
// is an empty string.
func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "1", "on", "yes", "true":
		return true, true
	case "0", "off", "no", "false", "":
		return false, true
	}
	return false, false
}

// parseInt takes "1024", and "1.5e9" or "2048.0" as Perl writes large or
// computed numbers.
func parseInt(s string) (int64, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, err
	}
	if math.IsNaN(f) || math.Abs(f) > 1<<62 {
		return 0, strconv.ErrRange
	}
	return int64(f), nil
}

func mismatch(want string, got any) error {
	return fmt.Errorf(" should be %s, but is %s", want, clip(fmt.Sprintf("%#v", got), 60))
}
