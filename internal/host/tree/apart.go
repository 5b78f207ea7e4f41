package tree

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// errStuck says that reading an attribute timed out in the kernel.
var errStuck = errors.New("the kernel does not answer: the device is locked, for example by an unbind that never returned")

// Patience is the timeout for reading one attribute. This takes a microsecond when the
// device is not locked.
const Patience = 2 * time.Second

// waiting are the attributes of a device that the kernel reads under the device's
// lock (driver_override_show, sriov_numvfs_show, uevent_show; product_show of USB).
// While an unbind hangs, a process that reads one of them hangs too, and cannot be
// killed, not even by SIGKILL.
var waiting = []string{"driver_override", "sriov_numvfs", "uevent", "product"}

// Apart reads a live tree without ever hanging. Attributes that may hang are read by a
// helper, which is a separate process. A helper that hangs is left behind. The
// attributes of its device are then not read again: not in this run, and not in a
// later run while that helper still exists.
type Apart struct {
	Reader
	start func() (io.ReadWriteCloser, error)

	mu     sync.Mutex
	helper *helper         // nil before the first request and after one that hung
	stuck  map[string]bool // devices; nil before helpers of earlier runs were searched for
}

// NewApart reads a tree with helpers that start starts. A helper runs Serve, and its
// process has the name of the device that it reads.
func NewApart(tree Reader, start func() (io.ReadWriteCloser, error)) *Apart {
	return &Apart{Reader: tree, start: start}
}

// helper is a started helper.
type helper struct {
	conn io.ReadWriteCloser
	in   *json.Decoder
	out  *json.Encoder
}

// answer is the result of a helper for one file.
type answer struct {
	Data    []byte `json:"data,omitempty"`
	Missing bool   `json:"missing,omitempty"`
	Denied  bool   `json:"denied,omitempty"`
	Error   string `json:"error,omitempty"`
}

// deviceOf is the name of the device that a file belongs to.
func deviceOf(name string) string { return path.Base(path.Dir(name)) }

// ReadFile implements Reader.
func (a *Apart) ReadFile(name string) ([]byte, error) {
	if !slices.Contains(waiting, path.Base(name)) {
		return a.Reader.ReadFile(name)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stuck == nil {
		a.stuck = leftBehind(a.Reader)
	}
	device := deviceOf(name)
	if a.stuck[device] {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errStuck}
	}
	got, err := a.ask(name)
	switch {
	case errors.Is(err, errStuck):
		a.stuck[device] = true
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	case err != nil:
		return nil, fmt.Errorf("read %s in a separate process: %w", name, err)
	}
	return got.result(name)
}

// ask lets the helper read a file.
func (a *Apart) ask(name string) (answer, error) {
	if a.helper == nil {
		conn, err := a.start()
		if err != nil {
			return answer{}, err
		}
		a.helper = &helper{conn: conn, in: json.NewDecoder(conn), out: json.NewEncoder(conn)}
	}
	h := a.helper
	var got answer
	done := make(chan error, 1)
	go func() {
		if err := h.out.Encode(name); err != nil {
			done <- err
			return
		}
		done <- h.in.Decode(&got)
	}()
	late := time.NewTimer(Patience)
	defer late.Stop()
	select {
	case err := <-done:
		return got, err
	case <-late.C:
		a.helper = nil
		_ = h.conn.Close() // the helper hangs
		return answer{}, errStuck
	}
}

// Close ends the helper.
func (a *Apart) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.helper == nil {
		return nil
	}
	h := a.helper
	a.helper = nil
	return h.conn.Close()
}

func (got answer) result(name string) ([]byte, error) {
	switch {
	case got.Missing:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case got.Denied:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	case got.Error != "":
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New(got.Error)}
	}
	return got.Data, nil
}

// Serve runs a helper: it reads the requested files until the connection is closed.
// Before each file it sets its process name to that of the device (call), so that
// the name of a helper that hangs shows the device.
func Serve(conn io.ReadWriter, tree Reader, call func(device string)) error {
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	for {
		var name string
		switch err := in.Decode(&name); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		call(deviceOf(name))
		data, err := tree.ReadFile(name)
		got := answer{Data: data, Missing: errors.Is(err, fs.ErrNotExist), Denied: errors.Is(err, fs.ErrPermission)}
		if err != nil {
			got.Error = err.Error()
		}
		if err := out.Encode(got); err != nil {
			return err
		}
	}
}

// leftBehind returns the devices that helpers of earlier runs still hang on: the names
// of processes in state D, uninterruptible sleep (proc(5), stat).
func leftBehind(tree Reader) map[string]bool {
	devices := map[string]bool{}
	names, _ := tree.ReadDir("proc") // if it cannot be read, no helper is known
	for _, pid := range names {
		if strings.Trim(pid, "0123456789") != "" {
			continue
		}
		stat, err := tree.ReadFile(path.Join("proc", pid, "stat"))
		if err != nil {
			continue // it ended
		}
		_, rest, _ := strings.Cut(string(stat), "(")
		if end := strings.LastIndex(rest, ") D"); end > 0 {
			devices[rest[:end]] = true
		}
	}
	return devices
}
