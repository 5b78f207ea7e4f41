package term

import (
	"fmt"
	"io"
	"reflect"
)

// Sprintf is fmt.Sprintf for people. The format is our own text; what is not
// Text or a number among the arguments is cleaned as a value of one line.
func Sprintf(format string, args ...any) Text {
	return Text(fmt.Sprintf(format, cleaned(args)...))
}

// Fprintf writes what Sprintf makes. Errors of writing are kept by Writer.
func Fprintf(w io.Writer, format string, args ...any) {
	_, _ = io.WriteString(w, string(Sprintf(format, args...)))
}

// Fprintln writes a line.
func Fprintln(w io.Writer, line Text) { _, _ = io.WriteString(w, string(line)+"\n") }

func cleaned(args []any) []any {
	clean := make([]any, len(args))
	for i, arg := range args {
		clean[i] = cleanArgument(arg)
	}
	return clean
}

func cleanArgument(arg any) any {
	switch a := arg.(type) {
	case nil:
		return nil
	case Text:
		return string(a)
	case string:
		return string(Clean(a))
	case error:
		return string(Clean(a.Error()))
	case fmt.Stringer:
		return string(Clean(a.String()))
	}
	switch v := reflect.ValueOf(arg); {
	case v.CanInt(), v.CanUint(), v.CanFloat(), v.Kind() == reflect.Bool:
		return arg
	case v.Kind() == reflect.String:
		return string(Clean(v.String()))
	}
	return string(Clean(fmt.Sprint(arg)))
}

// Cell is a value as it may stand in a table: Text as it is, everything else
// cleaned, and not longer than MaxCell.
func Cell(value any) Text {
	if text, ok := value.(Text); ok {
		return text
	}
	return clean(fmt.Sprint(value), MaxCell)
}
