package host

import (
	"bytes"
	"fmt"
	"os"
	"path"
)

// archive builds an initial file system in the format "newc"
// (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel).
type archive struct {
	out   bytes.Buffer
	inode int
	dirs  map[string]bool
}

const (
	cpioDir  = 0o040755
	cpioFile = 0o100755
)

// copy adds a file of this machine.
func (a *archive) copy(name, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	a.add(name, data)
	return nil
}

// add adds a file, and the directories above it.
func (a *archive) add(name string, data []byte) {
	a.addDir(path.Dir(name))
	a.entry(name, cpioFile, data)
}

func (a *archive) addDir(dir string) {
	if dir == "." || a.dirs[dir] {
		return
	}
	a.addDir(path.Dir(dir))
	if a.dirs == nil {
		a.dirs = map[string]bool{}
	}
	a.dirs[dir] = true
	a.entry(dir, cpioDir, nil)
}

func (a *archive) entry(name string, mode int, data []byte) {
	a.inode++
	fmt.Fprintf(&a.out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	a.out.WriteString(name + "\x00")
	a.pad()
	a.out.Write(data)
	a.pad()
}

// pad fills up to the next word.
func (a *archive) pad() {
	for a.out.Len()%4 != 0 {
		a.out.WriteByte(0)
	}
}

// bytes ends the archive.
func (a *archive) bytes() []byte {
	a.entry("TRAILER!!!", 0, nil)
	return a.out.Bytes()
}
