package term

import "reflect"

// CleanAll returns a copy of a value in which every string in exported fields, lists and
// maps is clean. It is for code that prints a large value in parts.
func CleanAll[T any](value T) T {
	v := reflect.New(reflect.TypeFor[T]()).Elem()
	v.Set(cleanCopy(reflect.ValueOf(&value).Elem()))
	return v.Interface().(T)
}

func cleanCopy(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch v.Kind() {
	case reflect.String:
		out.SetString(string(Clean(v.String())))
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out.Field(i).Set(cleanCopy(v.Field(i)))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(cleanCopy(v.Elem()))
		}
	case reflect.Interface:
		if !v.IsNil() {
			out.Set(cleanCopy(v.Elem()))
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(cleanCopy(v.Index(i)))
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			out.Index(i).Set(cleanCopy(v.Index(i)))
		}
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
			for entries := v.MapRange(); entries.Next(); {
				out.SetMapIndex(cleanCopy(entries.Key()), cleanCopy(entries.Value()))
			}
		}
	}
	return out
}
