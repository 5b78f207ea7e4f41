package term

import (
	"fmt"
	"io"
	"reflect"
)

// Sprintf is fmt.Sprintf for output to people. The format is our own text. Arguments are
// cleaned as values of one line, unless they are Text or numbers.
func Sprintf(format string, args ...any) Text {
	return Text(fmt.Sprintf(format, cleaned(args)...))
}

// Fprintf writes the result of Sprintf. Writer keeps write errors.
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

// Cell returns a value for a table cell: Text as it is, everything else cleaned and cut
// to MaxCell.
func Cell(value any) Text {
	if text, ok := value.(Text); ok {
		return text
	}
	return clean(fmt.Sprint(value), MaxCell)
}
