//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gpuworker/gpuworker/e2e/host/call"
)

// patience is the timeout of a program or a write. On an emulated and busy machine,
// even a program that does nothing takes a quarter of a second.
const patience = 60 * time.Second

func patienceFor(r call.Request) time.Duration {
	if r.Patience > 0 {
		return time.Duration(r.Patience) * time.Millisecond
	}
	return patience
}

// hands carries out requests.
type hands struct {
	held map[string][]*os.File // by path
}

func (h *hands) do(r call.Request) call.Reply {
	began := time.Now()
	done := make(chan call.Reply, 1)
	go func() { done <- h.one(r) }()
	var reply call.Reply
	select {
	case reply = <-done:
	case <-time.After(patienceFor(r) + time.Second): // one more second for killing a program
		reply = call.Reply{Stuck: true}
	}
	reply.Micros = int(time.Since(began).Microseconds())
	return reply
}

func (h *hands) one(r call.Request) call.Reply {
	switch r.Op {
	case call.Run:
		return run(r)
	case call.Read:
		data, err := os.ReadFile(r.Path)
		return reply(string(data), err)
	case call.Write:
		return reply("", write(r.Path, r.Text))
	case call.Create:
		if err := os.MkdirAll(filepath.Dir(r.Path), 0o755); err != nil {
			return reply("", err)
		}
		return reply("", os.WriteFile(r.Path, []byte(r.Text), 0o755))
	case call.Remove:
		return reply("", os.RemoveAll(r.Path))
	case call.Readlink:
		target, err := os.Readlink(r.Path)
		return reply(target, err)
	case call.List:
		return list(r.Path)
	case call.Await:
		return reply("", await(r.Path, patienceFor(r)))
	case call.Hold:
		return reply("", h.hold(r.Path, r.Text))
	case call.Hide:
		return reply("", h.hide(r.Path))
	case call.Release:
		return reply("", h.release(r.Path))
	case call.Off:
	}
	return call.Reply{Error: "there is no operation " + string(r.Op)}
}

func reply(text string, err error) call.Reply {
	r := call.Reply{Text: text}
	if err != nil {
		r.Error = err.Error()
		errors.As(err, &r.Errno)
	}
	return r
}

// write writes like a shell's echo to an existing file, in one write.
func write(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = f.Write([]byte(text))
	return err
}

// await waits for a file that the kernel creates asynchronously.
func await(path string, most time.Duration) error {
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		if _, err := os.Lstat(path); err == nil || time.Since(began) > most {
			return err
		}
	}
}

func list(path string) call.Reply {
	entries, err := os.ReadDir(path)
	r := reply("", err)
	for _, e := range entries {
		r.Names = append(r.Names, e.Name())
	}
	return r
}

// run runs a program in a process group of its own, so that all of it can be
// killed.
func run(r call.Request) call.Reply {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(r.Argv[0], r.Argv[1:]...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = []string{"PATH=/bin", "HOME=/root"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// Do not wait for the output of a child that outlives the program.
	cmd.WaitDelay = time.Second
	before := ""
	if r.Kill != nil {
		before, _ = os.Readlink(r.Kill.Link)
	}
	if err := cmd.Start(); err != nil {
		return reply("", err)
	}
	ended := make(chan struct{})
	stuck := make(chan bool, 1)
	go func() { stuck <- watch(cmd.Process.Pid, r, before, ended) }()
	_ = cmd.Wait() // the exit code is used instead
	close(ended)
	return call.Reply{Text: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode(), Stuck: <-stuck}
}

// watch kills a process group at the requested moment or after the timeout, and
// reports whether it was the timeout.
func watch(pid int, r call.Request, before string, ended <-chan struct{}) (stuck bool) {
	kill := r.Kill
	late := time.After(patienceFor(r))
	var soon <-chan time.Time
	// A link is read in a busy loop, because the time between two writes is short.
	var look <-chan struct{}
	if kill != nil && kill.After > 0 {
		soon = time.After(time.Duration(kill.After) * time.Microsecond)
	}
	if kill != nil && kill.Link != "" {
		always := make(chan struct{})
		close(always)
		look = always
	}
	for {
		select {
		case <-ended:
			return false
		case <-late:
			stuck = true
		case <-soon:
		case <-look:
			if now, _ := os.Readlink(kill.Link); now == before {
				continue
			}
		}
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		return stuck
	}
}
