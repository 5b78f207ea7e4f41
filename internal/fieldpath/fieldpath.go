// Package fieldpath builds and takes apart the paths of fields in documents, such as
// spec.gpus[0].bdf or spec.labels["zone"].
package fieldpath

import (
	"strconv"
	"strings"
)

// Under is the path of a field of the object at path.
func Under(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// Item is the path of the n-th entry, from 0, of the list at path.
func Item(path string, n int) string { return path + "[" + strconv.Itoa(n) + "]" }

// Entry is the path of one key of the map at path.
func Entry(path, key string) string { return path + "[" + strconv.Quote(key) + "]" }

// Parent is the path one level up; "" for the first level.
func Parent(path string) string {
	if strings.HasSuffix(path, `"]`) {
		// A quote inside a key is written \", so [" begins the key.
		if at := strings.LastIndex(path, `["`); at >= 0 {
			return path[:at]
		}
	}
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// Within reports whether inner is outer or lies below it.
func Within(inner, outer string) bool {
	rest, found := strings.CutPrefix(inner, outer)
	return found && (outer == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}
