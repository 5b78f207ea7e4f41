package document

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one error in a document, and where it is.
type Problem struct {
	File    string `json:"file,omitempty"`   // as the operator named it; "" for a document that was not read from a file
	Line    int    `json:"line,omitempty"`   // from 1; 0 when not known
	Object  string `json:"object,omitempty"` // "WorkerPool/gpu-workers"
	Path    string `json:"path,omitempty"`   // "spec.gpus[0].bdf"
	Message string `json:"message"`          // what is wrong and what to write instead
}

// String writes the problem in the format of compilers, so that editors can jump to it:
// "lab.yaml:14: WorkerPool/gpu-workers: spec.gpus[0].bdf: message".
func (p Problem) String() string {
	var parts []string
	for _, part := range []string{place(p.File, p.Line), p.Object, p.Path, p.Message} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// place is a line of a file in the format of compilers.
func place(file string, line int) string {
	if file == "" || line == 0 {
		return file
	}
	return file + ":" + strconv.Itoa(line)
}

// Problems are all problems of a set of documents. Its Error has one line for each
// problem, and a last line with their number.
type Problems []Problem

// Error implements error.
func (ps Problems) Error() string {
	var b strings.Builder
	for _, p := range ps {
		b.WriteString(p.String() + "\n")
	}
	noun := "problems"
	if len(ps) == 1 {
		noun = "problem"
	}
	fmt.Fprintf(&b, "%d %s, nothing was changed.", len(ps), noun)
	return b.String()
}

// sorted returns the problems sorted by file and line. Problems of one line stay in the
// order in which they were found.
func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return ps
}

// orNil returns the sorted problems as an error, or nil when there are none.
func (ps Problems) orNil() error {
	if len(ps) == 0 {
		return nil
	}
	return ps.sorted()
}
