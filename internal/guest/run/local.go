package run

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// SystemDirs are the directories of a system's programs. The PATH of the caller is not
// used: gpuworker-guest runs as root.
var SystemDirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// Local runs commands on this machine.
type Local struct {
	Dirs []string // of the programs; nil means SystemDirs
}

// Run implements Runner.
func (l Local) Run(ctx context.Context, c Command) Result {
	dirs := l.Dirs
	if dirs == nil {
		dirs = SystemDirs
	}
	program := find(dirs, c.Name)
	if program == "" {
		return Result{State: NotFound}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var out tail
	cmd := exec.CommandContext(ctx, program, c.Args...)
	cmd.Env = slices.Concat([]string{"PATH=" + strings.Join(dirs, ":"), "LC_ALL=C", "HOME=/root"}, proxies(os.Environ()), c.Env)
	cmd.Stdout, cmd.Stderr = &out, &out
	// The whole process group is killed at the timeout: apt-get starts others.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second // for programs in the background that keep the output open
	err := cmd.Run()
	result := Result{State: Ended, Output: out.String()}
	var exit *exec.ExitError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		result.State = TimedOut
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
	case errors.As(err, &exit) && exit.Exited():
		result.Code = exit.ExitCode()
	default:
		result.State, result.Why = Broken, err.Error()
	}
	return result
}

// proxies are the variables with which the unit names proxies for package managers. They
// may have a password, so they are never logged.
func proxies(environment []string) []string {
	return slices.DeleteFunc(environment, func(variable string) bool {
		name, _, _ := strings.Cut(strings.ToLower(variable), "=")
		return !slices.Contains([]string{"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"}, name)
	})
}

// find returns the file of a program; "" when there is none.
func find(dirs []string, name string) string {
	for _, dir := range dirs {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			continue
		}
	}
	return ""
}

// tail keeps the last MaxOutput bytes that are written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

// Write implements io.Writer.
func (t *tail) Write(data []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, data...)
	if more := len(t.data) - MaxOutput; more > 0 {
		t.data = append(t.data[:0], t.data[more:]...)
	}
	return len(data), nil
}

// String is what was kept, as valid text.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(string(t.data), "\uFFFD")
}
