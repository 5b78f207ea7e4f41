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

// WriteVerb is the hidden command with which the program starts itself to write
// one attribute: WriteVerb ROOT NAME DATA.
const WriteVerb = "__write-attribute"

// Child writes to sysfs from a child process, so that a write that never returns
// does not block this process. It implements Kernel.
type Child struct {
	Program string // this program
	Root    string // "/" on a live host
}

// grace is how long a killed child may take to end. A child that waits in the
// kernel cannot be killed.
const grace = time.Second

// Write implements Kernel.
func (c Child) Write(ctx context.Context, name string, data []byte) error {
	var answer, stderr bytes.Buffer
	child := exec.Command(c.Program, WriteVerb, c.Root, name, string(data)) // not CommandContext: its Wait would block on a child that cannot be killed
	child.Stdout, child.Stderr = &answer, &stderr
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches the parent only; a write that began is completed
	if err := child.Start(); err != nil {
		return fmt.Errorf("start %s to write: %w", c.Program, err)
	}
	left, err := await(ctx, ended(child), func() { _ = child.Process.Kill() })
	switch {
	case left:
	case ctx.Err() == nil || answer.Len() > 0: // it may have answered just before the deadline
		return parseAnswer(answer.String(), stderr.String(), err)
	}
	return ctx.Err()
}

// ended returns a channel that receives the result of a process when it ends.
func ended(command *exec.Cmd) <-chan error {
	done := make(chan error, 1)
	go func() { done <- command.Wait() }()
	return done
}

// await waits for a process until the context ends, and then kills it. A process
// that does not end even then, because it waits in the kernel, is left behind: its
// output must not be read.
func await(ctx context.Context, done <-chan error, kill func()) (left bool, err error) {
	select {
	case err := <-done:
		return false, err
	case <-ctx.Done():
	}
	kill()
	late := time.NewTimer(2 * grace) // one grace for the process, one for children that hold its output
	defer late.Stop()
	select {
	case err := <-done:
		return false, err
	case <-late.C:
		return true, nil
	}
}

// parseAnswer reads the child's answer: "ok", or the number of the error.
func parseAnswer(answer, stderr string, err error) error {
	answer = strings.TrimSpace(answer)
	if answer == "ok" {
		return nil
	}
	if number, is := strings.CutPrefix(answer, "errno "); is {
		if n, err := strconv.Atoi(number); err == nil && n > 0 {
			return syscall.Errno(n)
		}
	}
	return fmt.Errorf("the process that writes gave no answer: %w; %s", errors.Join(err, errors.New(strings.TrimSpace(answer))), strings.TrimSpace(stderr))
}

// WriteAttribute runs in the child: it writes once to an existing file and prints
// the result.
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
	n, err := f.Write([]byte(data)) // sysfs needs the whole value in one write
	if err == nil && n < len(data) {
		err = io.ErrShortWrite
	}
	return errors.Join(err, f.Close())
}

// Commands runs commands of the host. It implements Runner.
type Commands struct{}

// safePath is the search path for commands; PATH of the environment is ignored.
const safePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Run implements Runner.
func (Commands) Run(ctx context.Context, show io.Writer, argv ...string) (string, error) {
	command, err := newCommand(argv)
	if err != nil {
		return "", err
	}
	// It stays in our process group, so that Ctrl-C reaches it too.
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
	command := exec.Command(program, argv[1:]...) // not CommandContext: its Wait would block on a process that cannot be killed
	command.Env = []string{"PATH=" + safePath, "LC_ALL=C", "HOME=/root"}
	command.WaitDelay = grace
	return command, nil
}

// run runs a command until it or the context ends. It does not wait for children,
// such as a daemon, that keep the output open after the command itself ended.
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

// hungError says that a command did not end in time.
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
