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

// processes looks at what each process has open (proc_pid_fd(5)) and has mapped
// (proc_pid_maps(5)), which goes on when the file is closed.
func (r *holderReader) processes() {
	names, err := r.tree.ReadDir("proc")
	if err != nil {
		r.found.unseen("/proc", err)
		return
	}
	if hosttree.InPIDNamespace(r.tree) {
		r.found.unseen("the processes of the host", errHidden)
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if err := errors.Join(r.files(pid), r.maps(pid)); err != nil {
			r.found.unseen("what process "+name+" has open", err)
		}
	}
}

// ended tells the errors for a process that is gone; a thread of the kernel has no
// files either.
func ended(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

// files notes the device files that a process has open. Its threads may have other
// files than its first one: when they were told to (unshare(2), CLONE_FILES), and when
// the first one has ended, which then shows none. A list of the same numbers is
// taken for the same files.
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
	errHidden   = errors.New("this is a PID namespace of its own, as in a container")
	errMapsLong = errors.New("its list of what it has mapped is too long to be read")
	errMapsLate = errors.New("its list of what it has mapped could not be read in time: it waits in the kernel")
)

// impatience is how long a process' memory is waited for when others took all
// patience; it takes a millisecond.
const impatience = 50 * time.Millisecond

// maps notes the device files that a process has mapped. To read them takes the lock
// of its memory, which a process that hangs may keep for ever.
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

// mapped are the device files in the lines of maps:
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
