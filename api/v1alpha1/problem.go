package v1alpha1

import "github.com/gpuworker/gpuworker/internal/phrase"

// Problem is one thing that is wrong in a set of documents.
type Problem struct {
	Field   Field
	Message string // what is wrong and what to write instead
	// See is another field that this one clashes with; nil for none.
	See *Field
	// NotFound reports whether the problem is that another document is not in the
	// set, which proves nothing when a document of the set could not be read.
	NotFound bool
}

// String is the problem on one line.
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

// String is how a message about another field names this one.
func (f Field) String() string {
	text := ObjectName(f.Kind, f.Name)
	if f.Path != "" {
		text += " " + f.Path
	}
	return text
}

// ObjectName is how problems name a document: "WorkerPool/gpu-workers".
func ObjectName(kind, name string) string {
	if kind == "" || name == "" {
		return phrase.Plain(kind + name)
	}
	return phrase.Plain(kind) + "/" + phrase.Plain(name)
}
