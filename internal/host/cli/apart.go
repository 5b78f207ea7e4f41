package cli

import (
	"errors"
	"io"
	"os"
	"os/exec"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// apartVerb is the hidden command with which the program starts itself as the helper
// of hosttree.Apart, which reads files that may hang.
const apartVerb = "read-apart"

// apart returns a tree of this machine in which a helper reads the files that may hang.
func apart(dir *hosttree.Dir, root string) *hosttree.Apart {
	return hosttree.NewApart(dir, func() (io.ReadWriteCloser, error) { return startHelper(root) })
}

// helperProcess is a running helper. After Close it ends as soon as it can; nobody
// waits for it.
type helperProcess struct {
	io.Reader
	io.WriteCloser
}

func startHelper(root string) (io.ReadWriteCloser, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, apartVerb, root)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return helperProcess{out, in}, cmd.Start()
}

// serveApart is the helper's own main function.
func (t *Tool) serveApart(args []string) error {
	if len(args) != 1 {
		return usage("%s is for internal use by gpuworker-host", apartVerb)
	}
	dir, err := hosttree.Open(args[0])
	if err != nil {
		return err
	}
	// Sets the name of this process to that of the device (proc(5), comm), so that a
	// later run sees which device this one hangs on, and does not start another.
	call := func(device string) { _ = os.WriteFile("/proc/self/comm", []byte(device), 0) }
	return errors.Join(hosttree.Serve(stdio{os.Stdin, os.Stdout}, dir, call), dir.Close())
}

type stdio struct {
	io.Reader
	io.Writer
}
