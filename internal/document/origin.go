package document

import (
	"path/filepath"
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/fieldpath"
)

// set is the documents that are being read, and where each of them is written.
type set struct {
	documents v1alpha1.Documents
	origins   map[documentKey]*origin
	// incomplete: a document could not be recognized, so that a missing name may be
	// that of this document.
	incomplete bool
}

// documentKey identifies a document of a set: by its kind, and its index in the slice.
type documentKey struct {
	kind  string
	index int
}

// origin is where a document is written.
type origin struct {
	file  string
	line  int
	lines map[string]int // field path → line

	// suspects are the paths where reading found a problem. Problems of validation at
	// these paths follow from it and are not reported. "" means the whole document.
	suspects []string
}

// lineOf returns the line of a field, or of its nearest parent that is written.
func (o *origin) lineOf(path string) int {
	for ; path != ""; path = fieldpath.Parent(path) {
		if line, ok := o.lines[path]; ok {
			return line
		}
	}
	return o.line
}

// suspect reports whether reading found a problem at this path, below it or above it.
func (o *origin) suspect(path string) bool {
	return slices.ContainsFunc(o.suspects, func(bad string) bool {
		return fieldpath.Within(path, bad) || fieldpath.Within(bad, path)
	})
}

func (s *set) originOf(f v1alpha1.Field) *origin { return s.origins[documentKey{f.Kind, f.Index}] }

// located adds file and line to problems of validation, and leaves out those that follow
// from problems of reading.
func (s *set) located(found []v1alpha1.Problem) Problems {
	var problems Problems
	for _, p := range found {
		o := s.originOf(p.Field)
		if p.NotFound && s.incomplete || o.suspect(p.Field.Path) {
			continue
		}
		problem := Problem{
			File: o.file, Line: o.lineOf(p.Field.Path), Object: v1alpha1.ObjectName(p.Field.Kind, p.Field.Name),
			Path: p.Field.Path, Message: p.Message,
		}
		if p.See != nil {
			problem.Message += "; see " + p.See.String()
			if other := s.originOf(*p.See); other.file != "" {
				problem.Message += " (" + place(other.file, other.lineOf(p.See.Path)) + ")"
			}
		}
		problems = append(problems, problem)
	}
	return problems.sorted()
}

// absoluteFiles makes the file names in the documents absolute. They are relative to the
// folder of the document.
func (s *set) absoluteFiles() {
	for i := range s.documents.Hypervisors {
		p := s.documents.Hypervisors[i].Spec.Proxmox
		o := s.origins[documentKey{v1alpha1.KindHypervisor, i}]
		if p == nil {
			continue
		}
		o.absolute(&p.TLS.CAFile)
		o.absoluteSecret(p.Credentials.Token)
		o.absoluteSecret(p.Credentials.Password)
	}
	for i := range s.documents.KubeClusters {
		s.origins[documentKey{v1alpha1.KindKubeCluster, i}].absoluteSecret(s.documents.KubeClusters[i].Spec.JoinToken)
	}
}

func (o *origin) absoluteSecret(s *v1alpha1.SecretSource) {
	if s != nil {
		o.absolute(&s.File)
	}
}

func (o *origin) absolute(file *string) {
	if *file == "" || filepath.IsAbs(*file) {
		return
	}
	*file = filepath.Join(filepath.Dir(o.file), *file)
	if full, err := filepath.Abs(*file); err == nil { // fails only when the working directory is gone
		*file = full
	}
}
