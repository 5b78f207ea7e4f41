package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
)

// Only regular files are replaced by -o: the program runs as root, and the directory
// may belong to another user.
func TestOutputGoesIntoAFileAndNothingElse(t *testing.T) {
	for _, verb := range []string{"metrics", "capture"} {
		dir := t.TempDir()
		victim, pipe := filepath.Join(dir, "victim"), filepath.Join(dir, "pipe")
		for _, err := range []error{
			os.WriteFile(victim, []byte("precious\n"), 0o600), syscall.Mkfifo(pipe, 0o600), os.Mkdir(filepath.Join(dir, "dir"), 0o700),
			os.Symlink(victim, filepath.Join(dir, "link")), os.Symlink(os.DevNull, filepath.Join(dir, "device")), os.Symlink("nowhere", filepath.Join(dir, "dangling")),
			os.Symlink(pipe, filepath.Join(dir, "to-pipe")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		reader, err := syscall.Open(pipe, syscall.O_RDWR|syscall.O_NONBLOCK, 0) // so that a write to it is seen and does not block
		if err != nil {
			t.Fatal(err)
		}
		before := listing(t, dir)
		for _, name := range []string{"link", "device", "dangling", "pipe", "to-pipe", "dir", "pipe/x.prom", "nowhere/x.prom", "dir/", "dir/.."} {
			code, out, complaint := run(t, "", verb, "-o", dir+"/"+name, "--root", fixture(t, ""))
			if code == fault.ExitOK || out != "" || !strings.Contains(complaint, name) {
				t.Errorf("%s -o %s: exit %d, %q, %q", verb, name, code, out, complaint)
			}
		}
		if after := listing(t, dir); after != before {
			t.Errorf("%s: the directory was\n%s\nand is\n%s", verb, before, after)
		}
		if data, err := os.ReadFile(victim); err != nil || string(data) != "precious\n" {
			t.Errorf("%s: behind the link is %q, %v", verb, data, err)
		}
		n, err := syscall.Read(reader, make([]byte, 1))
		if n > 0 {
			t.Errorf("%s: something was written into the pipe", verb)
		}
		if err := errors.Join(err, syscall.Close(reader)); !errors.Is(err, syscall.EAGAIN) {
			t.Error(err)
		}
	}
}

// listing lists a directory with the kinds of its files.
func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, entry := range entries {
		lines = append(lines, entry.Type().String()+" "+entry.Name())
	}
	return strings.Join(lines, "\n")
}

func TestMetricsReplaceTheFileAtOnce(t *testing.T) {
	dir := t.TempDir()
	file, other := filepath.Join(dir, "gpu.prom"), filepath.Join(dir, "other")
	if err := os.WriteFile(file, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(file, other); err != nil { // a program that has the old file open still reads it
		t.Fatal(err)
	}
	host, err := filepath.Abs(fixture(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if code, _, complaint := run(t, "", "metrics", "-o", "gpu.prom", "--root", host); code != fault.ExitOK {
		t.Fatalf("exit %d: %s", code, complaint)
	}
	data, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(data), "# HELP") {
		t.Errorf("%q, %v", data, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if data, err := os.ReadFile(other); err != nil || string(data) != "old\n" {
		t.Errorf("the old file was written to: %q, %v", data, err)
	}
	if names := listing(t, dir); strings.Count(names, "\n") != 1 {
		t.Errorf("something is left behind:\n%s", names)
	}
}
