package pci

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// processes reads the open files (proc_pid_fd(5)) and the mappings (proc_pid_maps(5))
// of each process. A mapping stays when its file is closed.
func (r *holderReader) processes() {
	names, err := r.tree.ReadDir("proc")
	if err != nil {
		r.found.unseen("/proc", err)
		return
	}
	if hosttree.InPIDNamespace(r.tree) {
		r.found.unseen("processes of the host", errHidden)
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if err := errors.Join(r.files(pid), r.maps(pid)); err != nil {
			r.found.unseen("open files of process "+name, err)
		}
	}
}

// ended reports whether an error means that the process has ended. Kernel threads
// have no files and give the same errors.
func ended(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

// files records the device files that a process has open. Its threads may have other
// files than the main thread: after unshare(2) with CLONE_FILES, or when the main
// thread has ended and so has none. The links of a thread are read only if its list
// of numbers differs from that of the main thread.
func (r *holderReader) files(pid int) error {
	dir := path.Join("proc", strconv.Itoa(pid))
	first, err := r.tree.ReadDir(path.Join(dir, "fd"))
	if err != nil {
		if ended(err) {
			return nil
		}
		return err
	}
	r.links(pid, path.Join(dir, "fd"), first)
	threads, _ := r.tree.ReadDir(path.Join(dir, "task"))
	if len(threads) < 2 {
		return nil
	}
	for _, thread := range threads {
		fd := path.Join(dir, "task", thread, "fd")
		names, err := r.tree.ReadDir(fd)
		switch {
		case err != nil && !ended(err):
			return err
		case err == nil && !slices.Equal(names, first):
			r.links(pid, fd, names)
		}
	}
	return nil
}

func (r *holderReader) links(pid int, dir string, names []string) {
	for _, name := range names {
		if target, err := r.tree.Readlink(path.Join(dir, name)); err == nil && strings.HasPrefix(target, "/dev/") {
			r.open(pid, target)
		}
	}
}

var (
	errHidden   = errors.New("this program runs in a PID namespace of its own, as in a container")
	errMapsLong = errors.New("the list of its mapped files is too long to be read")
	errMapsLate = errors.New("the list of its mapped files could not be read in time: the process hangs in the kernel")
)

// impatience is the timeout for each process after another one has used up the
// patience. Reading the mappings usually takes a millisecond.
const impatience = 50 * time.Millisecond

// maps records the device files that a process has mapped. Reading them needs the
// lock of its memory, which a process that hangs may hold forever.
func (r *holderReader) maps(pid int) error {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := r.tree.ReadFile(path.Join("proc", strconv.Itoa(pid), "maps"))
		done <- result{data, err}
	}()
	var got result
	late := time.NewTimer(max(r.patience, impatience))
	defer late.Stop()
	select {
	case got = <-done:
	case <-late.C:
		r.patience = 0
		return errMapsLate
	}
	switch {
	case ended(got.err):
		return nil
	case got.err != nil:
		return got.err
	case len(got.data) >= hosttree.MaxFile:
		return errMapsLong
	}
	for _, file := range mapped(string(got.data)) {
		r.open(pid, file)
	}
	return nil
}

// mapped returns the device files in the lines of maps:
// "7f10-7f20 rw-s 00000000 00:06 545    /dev/nvidia0".
func mapped(maps string) []string {
	var files []string
	last := ""
	for line := range strings.Lines(maps) {
		_, name, found := strings.Cut(line, " /dev/")
		if !found {
			continue
		}
		name = "/dev/" + strings.TrimSuffix(strings.TrimRight(name, "\n"), " (deleted)")
		if name != last { // a device is often mapped many times in a row
			files = append(files, name)
		}
		last = name
	}
	return files
}
