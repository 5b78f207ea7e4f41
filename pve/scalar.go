package pve

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// unquoted returns the text of a JSON string.
func unquoted(raw []byte) string {
	inside := raw[1 : len(raw)-1]
	if bytes.IndexByte(inside, '\\') < 0 && utf8.Valid(inside) {
		return string(inside)
	}
	var text string
	_ = json.Unmarshal(raw, &text) // it is valid
	return text
}

// scalarText returns a string, number or boolean in the form of Proxmox's
// configuration files: booleans as 1 and 0.
func scalarText(raw []byte) (text string, ok bool) {
	switch raw[0] {
	case '"':
		return unquoted(raw), true
	case '{', '[':
		return "", false
	case 't':
		return "1", true
	case 'f':
		return "0", true
	}
	return string(raw), true
}

// assignText sets a Go value from the text of a string, number or boolean.
func assignText(dst reflect.Value, text string) error {
	switch dst.Kind() {
	case reflect.String:
		dst.SetString(text)
		return nil
	case reflect.Bool:
		b, ok := parseBool(text)
		if !ok {
			return mismatch("a boolean", strconv.Quote(text))
		}
		dst.SetBool(b)
		return nil
	case reflect.Int, reflect.Int64:
		n, err := parseInt(text)
		if err != nil || dst.OverflowInt(n) {
			return mismatch("an integer", strconv.Quote(text))
		}
		dst.SetInt(n)
		return nil
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return mismatch("a number", strconv.Quote(text))
		}
		dst.SetFloat(f)
		return nil
	default:
		return misfit{": cannot decode into " + dst.Type().String()}
	}
}

// parseBool accepts the spellings of PVE::JSONSchema::parse_boolean, and the empty
// string, which is Perl's false.
func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "1", "on", "yes", "true":
		return true, true
	case "0", "off", "no", "false", "":
		return false, true
	}
	return false, false
}

// parseInt accepts "1024", and also "1.5e9" and "2048.0", because Perl writes large or
// computed numbers so.
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
