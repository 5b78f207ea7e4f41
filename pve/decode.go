package pve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// decode reads JSON into a value as tolerantly as Proxmox VE writes it: a
// number may come as a string ("memory": "256" beside "cores": 1), a boolean
// as 0 and 1, a missing list as null. Struct fields are matched by their json
// tag only; a field that is missing or null takes the text of its default tag,
// if it has one.
func decode(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return err
	}
	return assign(reflect.ValueOf(into).Elem(), v, "data")
}

// assign puts a decoded JSON value into a Go value; at names it in errors.
func assign(dst reflect.Value, v any, at string) error {
	if v == nil {
		return nil
	}
	switch dst.Kind() {
	case reflect.Pointer:
		dst.Set(reflect.New(dst.Type().Elem()))
		return assign(dst.Elem(), v, at)
	case reflect.Interface:
		dst.Set(reflect.ValueOf(v))
		return nil
	case reflect.Struct:
		return assignStruct(dst, v, at)
	case reflect.Slice:
		return assignSlice(dst, v, at)
	case reflect.Map:
		return assignMap(dst, v, at)
	default:
		return assignScalar(dst, v, at)
	}
}

func assignStruct(dst reflect.Value, v any, at string) error {
	if dst.Type() == reflect.TypeFor[UPID]() {
		s, _ := v.(string)
		u, err := ParseUPID(s)
		dst.Set(reflect.ValueOf(u))
		return err
	}
	object, ok := v.(map[string]any)
	if !ok {
		return mismatch(at, "an object", v)
	}
	for i := range dst.NumField() {
		field := dst.Type().Field(i)
		name, tagged := field.Tag.Lookup("json")
		if !tagged || name == "-" {
			continue
		}
		value := object[name]
		if def, ok := field.Tag.Lookup("default"); ok && value == nil {
			value = def
		}
		if err := assign(dst.Field(i), value, at+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func assignSlice(dst reflect.Value, v any, at string) error {
	list, ok := v.([]any)
	if !ok {
		return mismatch(at, "a list", v)
	}
	dst.Set(reflect.MakeSlice(dst.Type(), len(list), len(list)))
	for i, item := range list {
		if err := assign(dst.Index(i), item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
			return err
		}
	}
	return nil
}

func assignMap(dst reflect.Value, v any, at string) error {
	object, ok := v.(map[string]any)
	if !ok {
		if list, ok := v.([]any); ok && len(list) == 0 {
			object = map[string]any{} // Perl's empty list and empty hash look alike
		} else {
			return mismatch(at, "an object", v)
		}
	}
	dst.Set(reflect.MakeMapWithSize(dst.Type(), len(object)))
	for key, item := range object {
		element := reflect.New(dst.Type().Elem()).Elem()
		if err := assign(element, item, at+"."+key); err != nil {
			return err
		}
		dst.SetMapIndex(reflect.ValueOf(key), element)
	}
	return nil
}

func assignScalar(dst reflect.Value, v any, at string) error {
	text, ok := scalarText(v)
	if !ok {
		return mismatch(at, "a "+dst.Kind().String(), v)
	}
	switch dst.Kind() {
	case reflect.String:
		dst.SetString(text)
		return nil
	case reflect.Bool:
		b, ok := parseBool(text)
		if !ok {
			return mismatch(at, "a boolean", v)
		}
		dst.SetBool(b)
		return nil
	case reflect.Int, reflect.Int64:
		n, err := parseInt(text)
		if err != nil || dst.OverflowInt(n) {
			return mismatch(at, "an integer", v)
		}
		dst.SetInt(n)
		return nil
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return mismatch(at, "a number", v)
		}
		dst.SetFloat(f)
		return nil
	default:
		return fmt.Errorf("%s: cannot decode into %s", at, dst.Type())
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

func mismatch(at, want string, got any) error {
	return fmt.Errorf("%s should be %s, but is %s", at, want, clip(fmt.Sprintf("%#v", got), 60))
}
