package tree

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

const lockedCard = `
-- proc/1/stat --
1 (systemd) S 0
-- proc/77/stat --
77 (0000:03:00.0) D 1
-- proc/78/stat --
78 (0000:01:00.0) S 1
-- sys/bus/pci/devices/0000:01:00.0/driver_override --
vfio-pci
-- sys/bus/pci/devices/0000:02:00.0/driver_override --
(null)
-- sys/bus/pci/devices/0000:02:00.0/class --
0x030200
-- sys/bus/pci/devices/0000:03:00.0/driver_override --
(null)
`

// locked is a tree in which reading the files of a device never returns.
type locked struct {
	Reader
	device string
	ended  chan struct{}
}

func (l locked) ReadFile(name string) ([]byte, error) {
	if deviceOf(name) == l.device {
		<-l.ended
	}
	return l.Reader.ReadFile(name)
}

// apart is a tree in which 0000:02:00.0 is locked. Its helpers are counted.
func apart(t *testing.T) (a *Apart, helpers *int, called <-chan string) {
	t.Helper()
	archive, err := Parse([]byte(lockedCard))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	helpers = new(int)
	names := make(chan string, 9)
	a = NewApart(archive, func() (io.ReadWriteCloser, error) {
		*helpers++
		ours, its := net.Pipe()
		go Serve(its, locked{archive, "0000:02:00.0", ended}, func(device string) { names <- device })
		return ours, nil
	})
	t.Cleanup(func() { close(ended); a.Close() })
	return a, helpers, names
}

func override(bdf string) string { return "sys/bus/pci/devices/" + bdf + "/driver_override" }

func TestALockedDeviceDoesNotHoldTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, helpers, called := apart(t)
		began := time.Now()
		if _, err := a.ReadFile(override("0000:02:00.0")); !errors.Is(err, errStuck) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != Patience {
			t.Errorf("it took %v", took)
		}
		if text, err := a.ReadFile(override("0000:01:00.0")); err != nil || string(text) != "vfio-pci\n" {
			t.Errorf("the next device: %q, %v", text, err)
		}
		if _, err := a.ReadFile(override("0000:02:00.0")); !errors.Is(err, errStuck) || time.Since(began) != Patience {
			t.Errorf("asked a second time: %v after %v", err, time.Since(began))
		}
		if first, second := <-called, <-called; *helpers != 2 || first != "0000:02:00.0" || second != "0000:01:00.0" {
			t.Errorf("%d helpers called themselves %s and %s", *helpers, first, second)
		}
	})
}

func TestADeviceOnWhichAnEarlierHelperHangsIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, helpers, _ := apart(t)
		if _, err := a.ReadFile(override("0000:03:00.0")); !errors.Is(err, errStuck) || *helpers != 0 {
			t.Errorf("got %v, %d helpers", err, *helpers)
		}
	})
}

func TestOtherFilesAreReadWithoutAHelper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, helpers, _ := apart(t)
		if text, err := a.ReadFile("sys/bus/pci/devices/0000:02:00.0/class"); err != nil || string(text) != "0x030200\n" || *helpers != 0 {
			t.Errorf("got %q, %v, %d helpers", text, err, *helpers)
		}
		if _, err := a.ReadFile(override("0000:09:00.0")); !errors.Is(err, fs.ErrNotExist) || *helpers != 1 {
			t.Errorf("what is not there: %v, %d helpers", err, *helpers)
		}
	})
}
