package cli

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/internal/fault"
)

// standardFile is read when no file is named.
const standardFile = "gpuworker.yaml"

// documents reads the documents of -f, sets defaults and validates them. Warnings are
// printed; all problems are returned in one error.
func (a *app) documents(ctx context.Context) (*v1alpha1.Documents, error) {
	files, err := a.readFiles(ctx)
	if err != nil {
		return nil, err
	}
	documents, warnings, err := document.Load(files...)
	for _, warning := range warnings {
		a.warn(warning.String())
	}
	if err != nil {
		return nil, &fault.Error{Kind: fault.Invalid, Cause: err, Fix: "correct the fields that are named, then run the same command again"}
	}
	return documents, nil
}

// readFiles reads all files of -f, or of its defaults.
func (a *app) readFiles(ctx context.Context) ([]document.File, error) {
	names, err := a.fileNames()
	if err != nil {
		return nil, err
	}
	var files []document.File
	left := maxDocuments
	for _, name := range names {
		data, err := a.readFile(ctx, name, left)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, unreadable(name, err)
		}
		left -= len(data)
		if name == "-" {
			name = "<stdin>"
		}
		files = append(files, document.File{Name: name, Data: data})
	}
	return files, nil
}

// maxDocuments is the limit of all documents together, in bytes. A pool of a thousand
// cards has a tenth of a MiB.
const maxDocuments = 16 << 20

var errTooLarge = errors.New("all files together are larger than 16 MiB, so some of them cannot be documents")

// readFile reads a file, or standard input, of at most left bytes. A pipe may never
// end: the context ends the read.
func (a *app) readFile(ctx context.Context, name string, left int) ([]byte, error) {
	type content struct {
		data []byte
		err  error
	}
	read := make(chan content, 1)
	go func() {
		data, err := a.readBounded(name, left)
		read <- content{data, err}
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case c := <-read:
		return c.data, c.err
	}
}

func (a *app) readBounded(name string, left int) ([]byte, error) {
	from := a.In
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		from = file
	}
	data, err := io.ReadAll(io.LimitReader(from, int64(left)+1))
	if err == nil && len(data) > left {
		err = errTooLarge
	}
	return data, err
}

// fileNames returns the files to read, with the files of directories.
func (a *app) fileNames() ([]string, error) {
	named := a.files
	if len(named) == 0 {
		named = filepath.SplitList(a.getenv("GPUWORKER_FILE"))
	}
	if len(named) == 0 {
		if _, err := os.Stat(standardFile); err != nil {
			return nil, &fault.Error{
				Kind: fault.Invalid,
				Why:  "no documents: there is no -f, GPUWORKER_FILE is not set, and ./" + standardFile + " does not exist",
				Fix:  "give a file with -f FILE, or try gpuworker without one: gpuworker demo",
			}
		}
		named = []string{standardFile}
	}
	var names []string
	for _, name := range named {
		inside, err := expand(name)
		if err != nil {
			return nil, err
		}
		names = append(names, inside...)
	}
	return names, nil
}

// expand returns the YAML files of a directory, or the file itself.
func expand(name string) ([]string, error) {
	if name == "-" {
		return []string{name}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, unreadable(name, err)
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	var inside []string
	for _, pattern := range []string{"*.yaml", "*.yml"} {
		found, _ := filepath.Glob(filepath.Join(name, pattern)) // fails only on a bad pattern
		inside = append(inside, found...)
	}
	if len(inside) == 0 {
		return nil, &fault.Error{Kind: fault.Invalid, Why: "the directory " + name + " has no *.yaml or *.yml", Fix: "name the file itself with -f"}
	}
	slices.Sort(inside)
	return inside, nil
}

func unreadable(name string, err error) error {
	return &fault.Error{Kind: fault.Invalid, Doing: "read " + name, Why: reasonOf(err), Fix: "check the name given with -f"}
}

// reasonOf returns the text of a file system error without the file name.
func reasonOf(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}
