package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gpuworker/gpuworker/internal/fault"
)

// seedFile is a file that render writes.
type seedFile struct {
	name string
	mode fs.FileMode
	data []byte
}

// writeSeeds writes files and their directories. Existing files are replaced only with
// force; without it, nothing is written when one exists.
func writeSeeds(files []seedFile, force bool) error {
	for _, f := range files {
		_, err := os.Lstat(f.name)
		if err == nil && !force {
			return &fault.Error{Kind: fault.Exists, Doing: "write " + f.name, Why: "it exists already, and nothing was written", Fix: "name another directory with --cloud-init, or replace the files with --force"}
		}
	}
	for _, f := range files {
		if err := writeSeed(f); err != nil {
			return &fault.Error{Kind: fault.Failed, Doing: "write " + f.name, Why: reasonOf(err), Fix: "name a directory that can be written with --cloud-init, then run the same command again with --force"}
		}
	}
	return nil
}

// writeSeed writes a new file beside its name and renames it: a reader never sees a part,
// and a link with that name is replaced, not followed.
func writeSeed(f seedFile) error {
	if err := os.MkdirAll(filepath.Dir(f.name), 0o755); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(f.name), ".gpuworker-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = temporary.Write(f.data)
	if err = errors.Join(err, temporary.Chmod(f.mode), temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), f.name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}
