package bind

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
	left, err := await(ctx, ended(child), func() { _ = child.Process.Kill() })
	switch {
	case left:
	case ctx.Err() == nil || answer.Len() > 0: // it may have answered in the last moment
		return verdict(answer.String(), complaint.String(), err)
	}
	return ctx.Err()
}

// ended gets what became of a process when it is gone.
func ended(command *exec.Cmd) <-chan error {
	done := make(chan error, 1)
	go func() { done <- command.Wait() }()
	return done
}

// await waits for a process until the context ends, and kills it then. One that is
// not gone after that either, since it waits in the kernel, is left behind: its
// output must not be looked at.
func await(ctx context.Context, done <-chan error, kill func()) (left bool, err error) {
	select {
	case err := <-done:
		return false, err
	case <-ctx.Done():
	}
	kill()
	late := time.NewTimer(2 * grace) // one is for what still holds its output
	defer late.Stop()
	select {
	case err := <-done:
		return false, err
	case <-late.C:
		return true, nil
	}
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
	command, err := newCommand(argv)
	if err != nil {
		return "", err
	}
	// It stays in our process group: Ctrl-C is for what it changes, too.
	return run(ctx, command, show, func() { _ = command.Process.Kill() })
}

// Ask implements Runner.
func (Commands) Ask(ctx context.Context, argv ...string) (string, error) {
	command, err := newCommand(argv)
	if err != nil {
		return "", err
	}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that what it started is killed with it
	return run(ctx, command, nil, func() { _ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) })
}

func newCommand(argv []string) (*exec.Cmd, error) {
	program, err := findProgram(argv[0])
	if err != nil {
		return nil, err
	}
	command := exec.Command(program, argv[1:]...) // not CommandContext: its Wait would wait for what cannot die
	command.Env = []string{"PATH=" + safePath, "LC_ALL=C", "HOME=/root"}
	command.WaitDelay = grace
	return command, nil
}

// run runs a command until it or the context ends. Whoever holds the output of a
// command that ended well, such as a daemon that it started, is not waited for.
func run(ctx context.Context, command *exec.Cmd, show io.Writer, kill func()) (string, error) {
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if show != nil {
		both := io.MultiWriter(&output, show)
		command.Stdout, command.Stderr = both, both
	}
	began := time.Now()
	if err := command.Start(); err != nil {
		return "", err
	}
	left, err := await(ctx, ended(command), kill)
	waited := time.Since(began).Round(time.Second / 10)
	switch {
	case left:
		return "", &hungError{fmt.Sprintf("it did not end within %v and cannot be killed: it waits in the kernel. Process %d was left behind", waited, command.Process.Pid), ctx.Err()}
	case err != nil && ctx.Err() != nil:
		return output.String(), &hungError{fmt.Sprintf("it did not end within %v and was killed", waited), ctx.Err()}
	case errors.Is(err, exec.ErrWaitDelay):
		err = nil
	}
	return output.String(), err
}

// hungError is a command that did not end in time.
type hungError struct {
	text  string
	cause error // of the context
}

func (e *hungError) Error() string { return e.text }

func (e *hungError) Unwrap() error { return e.cause }

func findProgram(name string) (string, error) {
	for _, dir := range strings.Split(safePath, ":") {
		file := dir + "/" + name
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s: %w in %s", name, fs.ErrNotExist, safePath)
}
