package cli

import (
	"errors"
	"io"
	"os"
	"os/exec"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// apartVerb is how the program starts itself to read what may hang
// (hosttree.Apart). It is no command: nobody types it.
const apartVerb = "read-apart"

// apart is a tree of this machine, of which what may hang is read by a helper.
func apart(dir *hosttree.Dir, root string) *hosttree.Apart {
	return hosttree.NewApart(dir, func() (io.ReadWriteCloser, error) { return startHelper(root) })
}

// helperProcess is a helper. Closed, it has nothing more to read and ends, when it
// can; nobody waits for that.
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
		return usage("%s is for the program itself", apartVerb)
	}
	dir, err := hosttree.Open(args[0])
	if err != nil {
		return err
	}
	// The name of the first thread is that of the process, proc(5), comm. Without
	// it a later run cannot tell that this one hangs, and starts one more.
	call := func(device string) { _ = os.WriteFile("/proc/self/comm", []byte(device), 0) }
	return errors.Join(hosttree.Serve(stdio{os.Stdin, os.Stdout}, dir, call), dir.Close())
}

type stdio struct {
	io.Reader
	io.Writer
}
