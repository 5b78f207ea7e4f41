package tree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const small = `A card behind a port.
-- proc/iomem (denied) --
-- sys/bus/pci/devices/0000:01:00.0 -> ../../../devices/pci0000:00/0000:00:01.0/0000:01:00.0 --
-- sys/class/iommu/ --
-- sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/class --
0x030200
-- sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/config (hex) --
de10b81e
`

// trees are the same tree, captured and on disk.
func trees(t *testing.T) map[string]Reader {
	t.Helper()
	archive, err := Parse([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	device := filepath.Join(root, "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0")
	for _, err := range []error{
		os.MkdirAll(device, 0o755), os.MkdirAll(filepath.Join(root, "sys/bus/pci/devices"), 0o755), os.MkdirAll(filepath.Join(root, "sys/class/iommu"), 0o755),
		os.WriteFile(filepath.Join(device, "class"), []byte("0x030200\n"), 0o600),
		os.WriteFile(filepath.Join(device, "config"), []byte{0xde, 0x10, 0xb8, 0x1e}, 0o600),
		os.Symlink("../../../devices/pci0000:00/0000:00:01.0/0000:01:00.0", filepath.Join(root, "sys/bus/pci/devices/0000:01:00.0")),
		os.Symlink("/etc", filepath.Join(root, "sys/out")), os.Symlink("../../../../../../../etc", filepath.Join(root, "sys/far")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	archive.Symlink("sys/out", "/etc")
	archive.Symlink("sys/far", "../../../../../../../etc")
	dir, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return map[string]Reader{"captured": archive, "on disk": dir}
}

func TestATreeReadsTheSameCapturedAndOnDisk(t *testing.T) {
	for name, tree := range trees(t) {
		t.Run(name, func(t *testing.T) {
			if data, err := tree.ReadFile("sys/bus/pci/devices/0000:01:00.0/class"); err != nil || string(data) != "0x030200\n" {
				t.Errorf("through a link: %q, %v", data, err)
			}
			if data, err := tree.ReadFile("sys/bus/pci/devices/0000:01:00.0/config"); err != nil || len(data) != 4 {
				t.Errorf("binary: %x, %v", data, err)
			}
			if names, err := tree.ReadDir("sys/bus/pci/devices/0000:01:00.0"); err != nil || !slices.Equal(names, []string{"class", "config"}) {
				t.Errorf("list: %v, %v", names, err)
			}
			if names, err := tree.ReadDir("sys/class/iommu"); err != nil || len(names) != 0 {
				t.Errorf("an empty directory: %v, %v", names, err)
			}
			if target, err := tree.Readlink("sys/bus/pci/devices/0000:01:00.0"); err != nil || filepath.Base(target) != "0000:01:00.0" {
				t.Errorf("link: %q, %v", target, err)
			}
			for _, gone := range []string{"sys/nothing", "sys/out/passwd", "sys/far/passwd", "../etc/passwd", "sys/bus/pci/devices/0000:01:00.0/class/x"} {
				if data, err := tree.ReadFile(gone); err == nil {
					t.Errorf("%s was read: %q", gone, data)
				}
			}
			if _, err := tree.ReadFile("sys/nothing"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("what is not there: %v", err)
			}
			if _, err := tree.ReadFile("sys/out/passwd"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("what is outside: %v", err)
			}
		})
	}
}

func TestUnreadableIsNotMissing(t *testing.T) {
	archive, err := Parse([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := archive.ReadFile("proc/iomem"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
}

func TestATreeCanBeChanged(t *testing.T) {
	archive, err := Parse([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	archive.Symlink("sys/bus/pci/devices/0000:01:00.0/driver", "../../../../bus/pci/drivers/vfio-pci")
	if target, err := archive.Readlink("sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/driver"); err != nil || filepath.Base(target) != "vfio-pci" {
		t.Errorf("written through a link: %q, %v", target, err)
	}
	archive.WriteFile("sys/bus/pci/devices/0000:01:00.0/power/control", []byte("auto\n"))
	if data, err := archive.ReadFile("sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/power/control"); err != nil || string(data) != "auto\n" {
		t.Errorf("written into a new directory behind a link: %q, %v", data, err)
	}
	archive.Remove("sys/devices/pci0000:00")
	if _, err := archive.ReadFile("sys/bus/pci/devices/0000:01:00.0/class"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the device is gone: %v", err)
	}
}

func TestALoopOfLinksIsAnError(t *testing.T) {
	archive := NewArchive()
	archive.Symlink("a", "b")
	archive.Symlink("b", "a")
	if _, err := archive.ReadFile("a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// A FIFO that a process holds open without writing would block the reader.
func TestPipesAreNotRead(t *testing.T) {
	root := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	silent, err := os.OpenFile(filepath.Join(root, "pipe"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	dir, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	if data, err := dir.ReadFile("pipe"); !errors.Is(err, errNoFile) {
		t.Errorf("%q, %v", data, err)
	}
}

func TestALargeFileIsReadInPart(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "large"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(root, "large"), 1<<40); err != nil {
		t.Fatal(err)
	}
	dir, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	if data, err := dir.ReadFile("large"); err != nil || len(data) != MaxFile {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

// endless is a text without end.
type endless string

func (e endless) Read(data []byte) (int, error) {
	n := 0
	for n < len(data) {
		n += copy(data[n:], e)
	}
	return n, nil
}

func TestAnArchiveIsBounded(t *testing.T) {
	deep := strings.Repeat("a/", 3000)
	for name, text := range map[string]io.Reader{
		"a text without end":      endless("-- a --\n"),
		"too many entries":        strings.NewReader(entries(maxEntries + 1)),
		"a path that is too long": strings.NewReader("-- " + deep + "b --\n"),
		"a link that is too long": strings.NewReader("-- a -> " + deep + " --\n"),
	} {
		if _, err := ReadArchive(text); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if archive, err := ReadArchive(strings.NewReader(entries(1000))); err != nil || len(archive.entries) != 1001 {
		t.Errorf("%v", err)
	}
}

// entries is an archive with this number of entries.
func entries(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "-- f%d --\n", i)
	}
	return b.String()
}

func FuzzArchive(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte("-- a -- --\nx\n-- b (hex) --\n0g\n"))
	f.Add([]byte("-- a/ --\n-- a (denied) --\n-- ../x --\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		archive, err := Parse(text)
		if err != nil {
			return
		}
		once := archive.Format()
		again, err := Parse(once)
		if err != nil {
			t.Fatalf("our own text does not parse: %v\n%q", err, once)
		}
		if twice := again.Format(); string(once) != string(twice) {
			t.Fatalf("%q\nbecomes\n%q", once, twice)
		}
	})
}
