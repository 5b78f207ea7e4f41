package v1alpha1

import "github.com/gpuworker/gpuworker/internal/phrase"

// Problem is one error in a set of documents.
type Problem struct {
	Field   Field
	Message string // what is wrong and what to write instead
	// See is another field that conflicts with this one; nil for none.
	See *Field
	// NotFound reports whether the problem is a missing document. It may be a
	// document of the set that could not be read.
	NotFound bool
}

// String returns the problem in one line.
func (p Problem) String() string {
	text := ObjectName(p.Field.Kind, p.Field.Name) + ": "
	if p.Field.Path != "" {
		text += p.Field.Path + ": "
	}
	text += p.Message
	if p.See != nil {
		text += "; see " + p.See.String()
	}
	return text
}

// Field is a field of one document of a set.
type Field struct {
	Kind  string
	Index int    // of the document in the list of its kind
	Name  string // of the document
	Path  string // "spec.gpus[0].bdf"; "" is the whole document
}

// String is the name of the field in a message about another field.
func (f Field) String() string {
	text := ObjectName(f.Kind, f.Name)
	if f.Path != "" {
		text += " " + f.Path
	}
	return text
}

// ObjectName is the name of a document in messages: "WorkerPool/gpu-workers".
func ObjectName(kind, name string) string {
	if kind == "" || name == "" {
		return phrase.Plain(kind + name)
	}
	return phrase.Plain(kind) + "/" + phrase.Plain(name)
}
