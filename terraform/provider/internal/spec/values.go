package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/gpuworker/gpuworker/internal/fieldpath"
)

// Document converts an object of Terraform into a part of a document. Attributes that
// are null or unknown are left out; unknown reports whether any was unknown. Attributes
// in except are left out too.
func Document(object tftypes.Value, except ...string) (fields map[string]any, unknown bool, err error) {
	attributes := map[string]tftypes.Value{}
	if err := object.As(&attributes); err != nil {
		return nil, false, err
	}
	attributes = maps.Clone(attributes) // As returns the map of the value itself
	for _, name := range except {
		delete(attributes, name)
	}
	fields, unknown = fieldsOf(attributes)
	return fields, unknown, nil
}

func fieldsOf(attributes map[string]tftypes.Value) (fields map[string]any, unknown bool) {
	fields = map[string]any{}
	for name, value := range attributes {
		field := camel()[name]
		converted, part := plain(value)
		unknown = unknown || part
		if converted != nil && field != "" {
			fields[field] = converted
		}
	}
	return fields, unknown
}

// plain converts a value; nil for one that is null or unknown.
func plain(value tftypes.Value) (converted any, unknown bool) {
	if !value.IsKnown() || value.IsNull() {
		return nil, !value.IsKnown()
	}
	switch {
	case value.Type().Is(tftypes.Object{}):
		var attributes map[string]tftypes.Value
		_ = value.As(&attributes) // the type was just checked; so in the other cases
		return fieldsOf(attributes)
	case value.Type().Is(tftypes.Map{}):
		var entries map[string]tftypes.Value
		_ = value.As(&entries)
		texts := map[string]any{}
		for key, entry := range entries {
			text, part := plain(entry)
			texts[key], unknown = text, unknown || part
		}
		return texts, unknown
	case value.Type().Is(tftypes.List{}):
		var items []tftypes.Value
		_ = value.As(&items)
		list := []any{}
		for _, item := range items {
			one, part := plain(item)
			list, unknown = append(list, one), unknown || part
		}
		return list, unknown
	case value.Type().Is(tftypes.Bool):
		var yes bool
		_ = value.As(&yes)
		return yes, false
	case value.Type().Is(tftypes.Number):
		var number big.Float
		_ = value.As(&number)
		return json.Number(number.Text('f', -1)), false
	}
	var text string
	_ = value.As(&text)
	return text, false
}

// Into reads fields into a type of the documents, strictly.
func Into(fields map[string]any, document any) error {
	text, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(document)
}

// Fields writes a type of the documents as fields.
func Fields(document any) (map[string]any, error) {
	text, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return fields, decoder.Decode(&fields)
}

// Value converts fields of a document into an object of Terraform. What is not in the
// fields is null.
func Value(fields map[string]any, object tftypes.Object) (tftypes.Value, error) {
	attributes := map[string]tftypes.Value{}
	for name, kind := range object.AttributeTypes {
		value, err := valueOf(fields[camel()[name]], kind)
		if err != nil {
			return tftypes.Value{}, fmt.Errorf("%s: %w", name, err)
		}
		attributes[name] = value
	}
	return tftypes.NewValue(object, attributes), nil
}

func valueOf(value any, kind tftypes.Type) (tftypes.Value, error) {
	switch v := value.(type) {
	case nil:
		return tftypes.NewValue(kind, nil), nil
	case map[string]any:
		if object, is := kind.(tftypes.Object); is {
			return Value(v, object)
		}
		return mapOf(v, kind)
	case []any:
		list, is := kind.(tftypes.List)
		if !is {
			return tftypes.Value{}, fmt.Errorf("%s is not a list", kind)
		}
		items := []tftypes.Value{}
		for _, one := range v {
			item, err := valueOf(one, list.ElementType)
			if err != nil {
				return tftypes.Value{}, err
			}
			items = append(items, item)
		}
		return tftypes.NewValue(kind, items), nil
	case json.Number:
		if kind.Is(tftypes.String) {
			return tftypes.NewValue(kind, v.String()), nil
		}
		number, _, err := big.ParseFloat(v.String(), 10, 512, big.ToNearestEven)
		return tftypes.NewValue(kind, number), err
	default:
		return tftypes.NewValue(kind, v), nil
	}
}

func mapOf(entries map[string]any, kind tftypes.Type) (tftypes.Value, error) {
	of, is := kind.(tftypes.Map)
	if !is {
		return tftypes.Value{}, fmt.Errorf("%s is not a map", kind)
	}
	values := map[string]tftypes.Value{}
	for key, entry := range entries {
		value, err := valueOf(entry, of.ElementType)
		if err != nil {
			return tftypes.Value{}, err
		}
		values[key] = value
	}
	return tftypes.NewValue(kind, values), nil
}

// Path converts the path of a field, `gpus[0].bdf` or `labels["zone"]`, to that of an
// attribute.
func Path(field string) path.Path {
	if field == "" {
		return path.Empty()
	}
	parent := fieldpath.Parent(field)
	at, last := Path(parent), field[len(parent):]
	key, isKey := strings.CutPrefix(last, "[")
	if !isKey {
		return at.AtName(Snake(strings.TrimPrefix(last, ".")))
	}
	key = strings.TrimSuffix(key, "]")
	if n, err := strconv.Atoi(key); err == nil {
		return at.AtListIndex(n)
	}
	if unquoted, err := strconv.Unquote(key); err == nil {
		key = unquoted
	}
	return at.AtMapKey(key)
}
