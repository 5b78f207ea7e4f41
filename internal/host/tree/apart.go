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

// errStuck says that the kernel did not answer: something holds the device that
// the file belongs to.
var errStuck = errors.New("the kernel does not answer: the device is locked, as by an unbind that never returned")

// Patience is how long the kernel may take for one attribute, which is a
// microsecond when nobody holds the device.
const Patience = 2 * time.Second

// waiting are the attributes of a device that the kernel reads under the
// device's lock (driver_override_show, sriov_numvfs_show, uevent_show; product_show of
// USB). While an
// unbind hangs, reading one of them hangs too, and nothing ends who reads it,
// not even SIGKILL.
var waiting = []string{"driver_override", "sriov_numvfs", "uevent", "product"}

// Apart reads a live tree so that the reader ends whatever the kernel does: what
// may hang is read by a helper, a process of its own, which is left behind when
// it hangs. The devices that hung are not asked again, in this run or, as long
// as the helper is there, in a later one.
type Apart struct {
	Reader
	start func() (io.ReadWriteCloser, error)

	mu     sync.Mutex
	helper *helper         // nil before the first question and after one that hung
	stuck  map[string]bool // devices; nil before the helpers of earlier runs were looked for
}

// NewApart reads a tree with the help of helpers, each of which start starts. A
// helper does what Serve does, and bears the name of the device that it reads.
func NewApart(tree Reader, start func() (io.ReadWriteCloser, error)) *Apart {
	return &Apart{Reader: tree, start: start}
}

// helper is one that was started.
type helper struct {
	conn io.ReadWriteCloser
	in   *json.Decoder
	out  *json.Encoder
}

// answer is what a helper read.
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
		return nil, fmt.Errorf("read %s in a process of its own: %w", name, err)
	}
	return got.result(name)
}

// ask has the helper read a file.
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
		_ = h.conn.Close() // it is of no more use
		return answer{}, errStuck
	}
}

// Close sends the helper away.
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

// Serve is a helper: it reads what it is asked for until nobody asks any more.
// Before each file it calls itself by the name of the device, so that one that
// hangs can be told by its name.
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

// leftBehind are the devices after which processes are named that wait in the
// kernel and cannot be ended: helpers of earlier runs, by proc(5), stat.
func leftBehind(tree Reader) map[string]bool {
	devices := map[string]bool{}
	names, _ := tree.ReadDir("proc") // where it cannot be read, nothing is known
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
