package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/fault"
)

// standardFile is read when nobody names a file.
const standardFile = "gpuworker.yaml"

// documents reads, completes and validates what -f names. Warnings go to
// standard error; problems come back all at once.
func (a *app) documents() (*v1alpha1.Documents, error) {
	files, err := a.readFiles()
	if err != nil {
		return nil, err
	}
	documents, warnings, err := v1alpha1.Load(files...)
	for _, warning := range warnings {
		a.warn(warning.String())
	}
	if err != nil {
		return nil, &fault.Error{Kind: fault.Invalid, Cause: err}
	}
	return documents, nil
}

// readFiles reads everything that -f, or its defaults, name.
func (a *app) readFiles() ([]v1alpha1.File, error) {
	names, err := a.fileNames()
	if err != nil {
		return nil, err
	}
	var files []v1alpha1.File
	for _, name := range names {
		data, err := a.readFile(name)
		if err != nil {
			return nil, unreadable(name, err)
		}
		if name == "-" {
			name = "<stdin>"
		}
		files = append(files, v1alpha1.File{Name: name, Data: data})
	}
	return files, nil
}

func (a *app) readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(a.In)
	}
	return os.ReadFile(name)
}

// fileNames are the files to read, directories opened up.
func (a *app) fileNames() ([]string, error) {
	named := a.files
	if len(named) == 0 {
		named = filepath.SplitList(a.getenv("GPUWORKER_FILE"))
	}
	if len(named) == 0 {
		if _, err := os.Stat(standardFile); err != nil {
			return nil, &fault.Error{
				Kind: fault.Invalid,
				Why:  "no documents: -f names no file, GPUWORKER_FILE is not set, and there is no ./" + standardFile,
				Fix:  "give a file with -f FILE, or see how it goes without one: gpuworker demo",
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

// expand opens a directory up into the YAML files in it.
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
		return nil, &fault.Error{Kind: fault.Invalid, Why: "the directory " + name + " holds no *.yaml or *.yml", Fix: "name the file itself with -f"}
	}
	slices.Sort(inside)
	return inside, nil
}

func unreadable(name string, err error) error {
	why := err.Error()
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		why = pathError.Err.Error()
	}
	return &fault.Error{Kind: fault.Invalid, Doing: "read " + name, Why: why, Fix: "check the name given with -f"}
}
