package hostbind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// WriteVerb is the hidden command by which the program starts itself to write one
// attribute: WriteVerb ROOT NAME DATA.
const WriteVerb = "__write-attribute"

// Child writes to sysfs from a child process, so that a write that never returns
// leaves this process free. It implements Kernel.
type Child struct {
	Program string // this program
	Root    string // "/" on a live host
}

// grace is how long a killed child may take to be gone. One that waits in the
// kernel is not to be killed.
const grace = time.Second

// Write implements Kernel.
func (c Child) Write(ctx context.Context, name string, data []byte) error {
	var answer, complaint bytes.Buffer
	child := exec.Command(c.Program, WriteVerb, c.Root, name, string(data)) // not CommandContext: its Wait would wait for a child that cannot die
	child.Stdout, child.Stderr = &answer, &complaint
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the parent; what began goes to its end
	if err := child.Start(); err != nil {
		return fmt.Errorf("start %s to write: %w", c.Program, err)
	}
	done := make(chan error, 1)
	go func() { done <- child.Wait() }()
	select {
	case err := <-done:
		return verdict(answer.String(), complaint.String(), err)
	case <-ctx.Done():
	}
	_ = child.Process.Kill()
	select {
	case err := <-done:
		// It may have answered in the last moment.
		if text := answer.String(); text != "" {
			return verdict(text, complaint.String(), err)
		}
	case <-time.After(grace):
	}
	return ctx.Err()
}

// verdict reads the child's answer: "ok", or the number of the error.
func verdict(answer, complaint string, err error) error {
	answer = strings.TrimSpace(answer)
	if answer == "ok" {
		return nil
	}
	if number, is := strings.CutPrefix(answer, "errno "); is {
		if n, err := strconv.Atoi(number); err == nil && n > 0 {
			return syscall.Errno(n)
		}
	}
	return fmt.Errorf("the process that writes gave no answer: %w; %s", errors.Join(err, errors.New(strings.TrimSpace(answer))), strings.TrimSpace(complaint))
}

// WriteAttribute is what the child does: it writes once to a file that exists
// and says how that went.
func WriteAttribute(answer io.Writer, root, name, data string) error {
	err := writeAttribute(root, name, data)
	var number syscall.Errno
	switch {
	case err == nil:
		fmt.Fprintln(answer, "ok")
	case errors.As(err, &number):
		fmt.Fprintln(answer, "errno", int(number))
	default:
		return err
	}
	return nil
}

func writeAttribute(root, name, data string) (err error) {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	f, err := dir.OpenFile(name, os.O_WRONLY, 0) // never creates
	if err != nil {
		return err
	}
	n, err := f.Write([]byte(data)) // sysfs takes one write or none
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	return errors.Join(err, f.Close())
}

// Commands runs commands of the host. It implements Runner.
type Commands struct{}

// safePath is where commands are looked for, whatever the environment says.
const safePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Run implements Runner.
func (Commands) Run(ctx context.Context, show io.Writer, argv ...string) (string, error) {
	program, err := findProgram(argv[0])
	if err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, program, argv[1:]...)
	command.Env = []string{"PATH=" + safePath, "LC_ALL=C", "HOME=/root"}
	command.WaitDelay = grace
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if show != nil {
		both := io.MultiWriter(&output, show)
		command.Stdout, command.Stderr = both, both
	}
	err = command.Run()
	return output.String(), err
}

func findProgram(name string) (string, error) {
	for _, dir := range strings.Split(safePath, ":") {
		file := dir + "/" + name
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s: %w in %s", name, fs.ErrNotExist, safePath)
}
