package v1alpha1

import (
	"fmt"
	"strconv"
	"strings"
)

// A field path is text such as spec.gpus[0].bdf or spec.labels["zone"]. These
// functions make longer ones and cut them back.

// under is the path of a field of the object at path.
func under(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// item is the path of the n-th entry of the list at path.
func item(path string, n int) string { return path + "[" + strconv.Itoa(n) + "]" }

// entry is the path of one key of the map at path.
func entry(path, key string) string { return path + "[" + strconv.Quote(key) + "]" }

// parent is the path one level up; "" above the first level.
func parent(path string) string {
	if strings.HasSuffix(path, `"]`) {
		// A quote inside a key is written \", so [" begins the key.
		if at := strings.LastIndex(path, `["`); at >= 0 {
			return path[:at]
		}
	}
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// within reports whether inner is outer or lies below it.
func within(inner, outer string) bool {
	rest, found := strings.CutPrefix(inner, outer)
	return found && (outer == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// clip quotes text of the operator for a message, shortened to what helps to
// recognise it.
func clip(text string) string {
	const most = 64
	if short := []rune(text); len(short) > most {
		return fmt.Sprintf("%q…", string(short[:most]))
	}
	return strconv.Quote(text)
}
