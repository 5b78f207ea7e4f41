package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
)

// List is documents as JSON: a list of objects. They contain no secrets, only the
// places of secrets.
type List struct{ *v1alpha1.Documents }

// MarshalJSON writes the documents.
func (l List) MarshalJSON() ([]byte, error) {
	if l.Documents == nil {
		return []byte("null"), nil
	}
	list, err := logins(l.Documents)
	for i := range l.WorkerPools {
		text, e := written(l.WorkerPools[i])
		list, err = append(list, text), errors.Join(err, e)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(list)
}

// logins returns the documents that say where secrets are and where they are sent.
func logins(d *v1alpha1.Documents) (list []json.RawMessage, err error) {
	list = []json.RawMessage{}
	for i := range d.Hypervisors {
		text, e := written(d.Hypervisors[i])
		list, err = append(list, text), errors.Join(err, e)
	}
	for i := range d.KubeClusters {
		text, e := written(d.KubeClusters[i])
		list, err = append(list, text), errors.Join(err, e)
	}
	return list, err
}

// written returns one document as JSON, without the field that only the API server sets.
func written(document any) (json.RawMessage, error) {
	text, err := json.Marshal(document)
	return bytes.ReplaceAll(text, []byte(`"creationTimestamp":null,`), nil), err
}

// UnmarshalJSON reads the output of MarshalJSON as strictly as Load reads files: unknown
// fields and invalid values are errors.
func (l *List) UnmarshalJSON(data []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("documents are a list of objects: %w", err)
	}
	var text bytes.Buffer
	for _, document := range list {
		fmt.Fprintf(&text, "---\n%s\n", asYAML(document))
	}
	read, _, err := Load(File{Data: text.Bytes()})
	if err != nil {
		return fmt.Errorf("the documents in it are not valid: %s", firstOf(err))
	}
	l.Documents = read
	return nil
}

// firstOf returns the first problem. Its file and line are removed: they are those of
// text that no person wrote.
func firstOf(err error) string {
	var problems Problems
	if !errors.As(err, &problems) || len(problems) == 0 {
		return err.Error()
	}
	first := problems[0]
	first.File, first.Line = "", 0
	if len(problems) == 1 {
		return first.String()
	}
	return fmt.Sprintf("%s (and %d more)", first, len(problems)-1)
}

// escape matches one escape in a JSON text: a surrogate pair (a character beyond 16
// bits), or any other.
var escape = regexp.MustCompile(`\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|.)`)

// asYAML changes JSON so that a YAML parser can read it: YAML has no surrogate pairs and
// no escaped slash.
func asYAML(text []byte) []byte {
	return escape.ReplaceAllFunc(text, func(found []byte) []byte {
		var whole string
		switch {
		case string(found) == `\/`:
			return []byte("/")
		case len(found) > 2 && json.Unmarshal([]byte(`"`+string(found)+`"`), &whole) == nil:
			r, _ := utf8.DecodeRuneInString(whole)
			return fmt.Appendf(nil, `\U%08x`, r)
		}
		return found
	})
}

// SameLogins reports whether two sets have the same Hypervisors and KubeClusters, so
// that the same secrets are sent to the same places.
func SameLogins(a, b *v1alpha1.Documents) bool {
	first, err := logins(a)
	second, otherErr := logins(b)
	if err != nil || otherErr != nil {
		return false
	}
	order := func(a, b json.RawMessage) int { return bytes.Compare(a, b) }
	slices.SortFunc(first, order)
	slices.SortFunc(second, order)
	return slices.EqualFunc(first, second, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })
}
