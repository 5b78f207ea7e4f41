package pvesim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// apiError is a refusal: the reason is the HTTP reason phrase and, in the
// JSON body, the message.
type apiError struct {
	status int
	reason string
	fields map[string]string // of a 400
	// bare is set for answers without body and content type.
	bare bool
}

func (e *apiError) Error() string {
	if e.status == 500 {
		return e.reason
	}
	text := fmt.Sprintf("%d %s", e.status, e.reason)
	keys := make([]string, 0, len(e.fields))
	for key := range e.fields {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		text += fmt.Sprintf("\n%s: %s", key, strings.TrimSpace(e.fields[key]))
	}
	return text
}

// die is like Perl's die: 500 with the text, or the end of a task with it.
func die(format string, args ...any) error {
	return &apiError{status: 500, reason: fmt.Sprintf(format, args...)}
}

// notSimulated is the error for features of the real server that are not simulated.
func notSimulated(format string, args ...any) error {
	return &apiError{status: 501, reason: "simulator: " + fmt.Sprintf(format, args...) + " is not simulated"}
}

// forbidden is a 403.
func forbidden(format string, args ...any) error {
	return &apiError{status: 403, reason: fmt.Sprintf(format, args...)}
}

// badParams is the 400 for invalid parameters.
func badParams(fields map[string]string) error {
	return &apiError{status: 400, reason: "Parameter verification failed.", fields: fields}
}

func badParam(name, format string, args ...any) error {
	return badParams(map[string]string{name: fmt.Sprintf(format, args...)})
}

// asAPIError converts any error to an apiError.
func asAPIError(err error) *apiError {
	var refused *apiError
	if errors.As(err, &refused) {
		return refused
	}
	return &apiError{status: 500, reason: err.Error()}
}

// firstLine is the part of a text that is used as reason phrase.
func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
