package pci

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// holdersOf reads who holds the card of turing.
func holdersOf(t *testing.T, tree hosttree.Reader) ([]Holder, *Holders) {
	t.Helper()
	h, err := Read(tree)
	if err != nil {
		t.Fatal(err)
	}
	found := ReadHolders(tree, h)
	return found.Of(pci.MustBDF("0000:01:00.0").Slot), found
}

// nvidia is a host whose card the NVIDIA driver has, as /dev/nvidia0.
func nvidia() machine {
	m := turing()
	m.WriteFile("proc/driver/nvidia/gpus/0000:01:00.0/information", []byte("Device Minor: \t 0\n"))
	m.WriteFile("proc/90/comm", []byte("python3\n"))
	m.Mkdir("proc/90/fd")
	return m
}

func TestHoldersWithoutAnOpenFile(t *testing.T) {
	const library = "7f0000000000-7f0000001000 r-xp 00000000 fd:01 1234                       /usr/lib/libcuda.so.1\n"
	for name, test := range map[string]struct {
		host func(machine)
		held bool
	}{
		"it has nothing": {host: func(m machine) { m.WriteFile("proc/90/maps", []byte(library)) }},
		"it has mapped the card, and closed the file": {held: true, host: func(m machine) {
			m.WriteFile("proc/90/maps", []byte(library+"7f0000001000-7f0000002000 rw-s 00000000 00:06 545                        /dev/nvidia0\n"))
		}},
		"the file that it has mapped was removed": {held: true, host: func(m machine) {
			m.WriteFile("proc/90/maps", []byte("7f0000001000-7f0000002000 rw-s 00000000 00:06 545                        /dev/nvidia0 (deleted)\n"))
		}},
		"it has mapped the other card": {host: func(m machine) {
			m.WriteFile("proc/90/maps", []byte("7f0000001000-7f0000002000 rw-s 00000000 00:06 546                        /dev/nvidia01\n"))
		}},
		"a thread has files of its own": {held: true, host: func(m machine) {
			m.Symlink("proc/90/fd/0", "/dev/null")
			m.Symlink("proc/90/task/90/fd/0", "/dev/null")
			m.Symlink("proc/90/task/91/fd/0", "/dev/null")
			m.Symlink("proc/90/task/91/fd/7", "/dev/nvidia0")
		}},
		"its first thread has ended": {held: true, host: func(m machine) {
			m.Mkdir("proc/90/task/90/fd")
			m.Symlink("proc/90/task/91/fd/7", "/dev/nvidia0")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m := nvidia()
			test.host(m)
			var want []Holder
			if test.held {
				want = []Holder{{PID: 90, Name: "python3", By: "/dev/nvidia0"}}
			}
			got, all := holdersOf(t, m)
			if diff := cmp.Diff(want, got); diff != "" || all.Blind() != "" {
				t.Errorf("unseen %q\n%s", all.Blind(), diff)
			}
		})
	}
}

func TestUsersOfDevicesOnTheCardHoldIt(t *testing.T) {
	const controller = "devices/pci0000:00/0000:00:01.0/0000:01:00.2/usb3/3-1"
	m := turing()
	m.WriteFile("proc/90/comm", []byte("upsd\n"))
	for link, target := range map[string]string{
		"sys/class/tty/ttyUSB0": "../../" + controller + "/3-1:1.0/ttyUSB0/tty/ttyUSB0", "sys/class/tty/ttyS0": "../../devices/pnp0/00:01/tty/ttyS0",
		"sys/class/hidraw/hidraw2": "../../" + controller + "/hidraw/hidraw2", "sys/class/usbmisc/hiddev0": "../../" + controller + "/usbmisc/hiddev0",
		"sys/bus/usb/devices/3-1": "../../../" + controller, "sys/bus/usb/devices/1-1": "../../../devices/pci0000:00/0000:00:14.0/usb1/1-1",
	} {
		m.Symlink(link, target)
	}
	for file, number := range map[string]string{controller + "/busnum": "3", controller + "/devnum": "12", "devices/pci0000:00/0000:00:14.0/usb1/1-1/busnum": "1", "devices/pci0000:00/0000:00:14.0/usb1/1-1/devnum": "12"} {
		m.WriteFile("sys/"+file, []byte(number+"\n"))
	}
	for i, file := range []string{"/dev/ttyUSB0", "/dev/ttyS0", "/dev/hidraw2", "/dev/usb/hiddev0", "/dev/bus/usb/003/012", "/dev/bus/usb/001/012"} {
		m.Symlink("proc/90/fd/"+string(rune('0'+i)), file)
	}
	got, _ := holdersOf(t, m)
	var files []string
	for _, h := range got {
		files = append(files, h.By)
	}
	slices.Sort(files)
	if diff := cmp.Diff([]string{"/dev/bus/usb/003/012", "/dev/hidraw2", "/dev/ttyUSB0", "/dev/usb/hiddev0"}, files); diff != "" {
		t.Error(diff)
	}
}

func TestUnreadableProcessesAreReported(t *testing.T) {
	for name, test := range map[string]struct {
		host func(machine)
		says string
	}{
		"everything was seen":        {func(machine) {}, ""},
		"the files of a process":     {func(m machine) { m.Remove("proc/90/fd"); m.Deny("proc/90/fd") }, "open files of process 90: permission denied"},
		"what it has mapped":         {func(m machine) { m.Deny("proc/90/maps") }, "open files of process 90: permission denied"},
		"more is mapped than we see": {func(m machine) { m.WriteFile("proc/90/maps", make([]byte, hosttree.MaxFile)) }, "too long to be read"},
		"the files of a thread": {func(m machine) {
			m.Mkdir("proc/90/task/90/fd")
			m.Deny("proc/90/task/91/fd")
		}, "open files of process 90: permission denied"},
		"there are processes that a container hides": {func(m machine) { m.Symlink("proc/self/ns/pid", "pid:[4026532201]") }, "as in a container"},
		"it is no container":                         {func(m machine) { m.Symlink("proc/self/ns/pid", "pid:[4026531836]") }, ""},
		"Proxmox's reservations":                     {func(m machine) { m.Deny(Reservations) }, "/" + Reservations + ": permission denied"},
		"the same, and a process": {func(m machine) { m.Deny(Reservations); m.Deny("proc/90/maps") },
			"open files of process 90: permission denied, and 1 more"},
	} {
		t.Run(name, func(t *testing.T) {
			m := nvidia()
			test.host(m)
			_, all := holdersOf(t, m)
			if says := all.Blind(); (says == "") != (test.says == "") || !strings.HasSuffix(says, test.says) || (all.Unseen > 0) != (test.says != "") {
				t.Errorf("%d: %q", all.Unseen, says)
			}
		})
	}
}

// hanging is a host on which the memory of some processes is locked forever.
type hanging struct {
	machine
	names []string
	never chan struct{}
}

// ReadFile implements hosttree.Reader.
func (h hanging) ReadFile(name string) ([]byte, error) {
	if slices.Contains(h.names, name) {
		<-h.never
		return nil, fs.ErrClosed
	}
	return h.machine.ReadFile(name)
}

func TestProcessesThatHangDoNotBlockTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := nvidia()
		h := hanging{machine: m, names: []string{"proc/80/maps", "proc/81/maps", "proc/82/maps"}, never: make(chan struct{})}
		defer close(h.never)
		for _, pid := range []string{"80", "81", "82"} {
			m.Mkdir("proc/" + pid + "/fd")
		}
		m.Symlink("proc/90/fd/4", "/dev/nvidia0")
		m.WriteFile("proc/90/maps", nil)
		began := time.Now()
		got, all := holdersOf(t, h)
		if took := time.Since(began); took > hosttree.Patience+time.Second {
			t.Errorf("it took %v", took)
		}
		if len(got) != 1 || all.Unseen != 3 || !strings.Contains(all.Blind(), "open files of process 80: the list of its mapped files could not be read in time") {
			t.Errorf("holders %v, %d unseen: %s", got, all.Unseen, all.Blind())
		}
	})
}

func FuzzMaps(f *testing.F) {
	f.Add("7f0000001000-7f0000002000 rw-s 00000000 00:06 545                        /dev/nvidia0 (deleted)\n")
	f.Add("7f0000001000-7f0000002000 rw-s 00000000 00:06 545")
	f.Fuzz(func(t *testing.T, maps string) {
		for _, file := range mapped(maps) {
			if !strings.HasPrefix(file, "/dev/") || !strings.Contains(maps, file) {
				t.Errorf("%q", file)
			}
		}
	})
}
