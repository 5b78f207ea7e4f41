package guestbuild

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/bootstrap"
	"github.com/gpuworker/gpuworker/internal/buildinfo"
	"github.com/gpuworker/gpuworker/internal/fault"
)

// release makes a directory with the builds of a release, and the finder of its program.
func release(t *testing.T) (string, Finder) {
	t.Helper()
	f := Finder{beside: t.TempDir(), sums: map[string]string{}}
	for _, arch := range Archs {
		build := bootstrap.NewBuild(arch, []byte("program for "+arch))
		f.sums[arch] = build.SHA256
		write(t, f.beside, arch, build.Data)
	}
	return f.beside, f
}

func write(t *testing.T, dir, arch string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, bootstrap.Build{Arch: arch}.FileName()), data, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestTheBuildsOfTheReleaseAreBesideTheProgram(t *testing.T) {
	dir, f := release(t)
	found, err := f.Find()
	if err != nil || len(found.Builds) != 2 || string(found.Builds[1].Data) != "program for arm64" || !found.Release {
		t.Fatalf("%+v, %v", found, err)
	}
	if notes := strings.Join(found.Notes(), "\n"); strings.Count(notes, "of this release") != 2 || !strings.Contains(notes, dir) || !strings.Contains(notes, f.sums["amd64"]) {
		t.Errorf("%s", notes)
	}
}

func TestOtherBuildsAreUsedButNotCompared(t *testing.T) {
	_, f := release(t)
	f.Dir = t.TempDir()
	write(t, f.Dir, "arm64", standIn("arm64"))
	found, err := f.Find()
	if err != nil || len(found.Builds) != 1 || found.Builds[0].Arch != "arm64" || found.Release {
		t.Fatalf("%+v, %v", found, err)
	}
	if notes := found.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "not compared with a release") {
		t.Errorf("%q", notes)
	}
}

func TestWhatIsWrongAndWhatHelps(t *testing.T) {
	for _, test := range []struct {
		name     string
		change   func(t *testing.T, dir string, f *Finder)
		kind     fault.Kind
		why, fix string
	}{
		{"no checksums", func(_ *testing.T, _ string, f *Finder) { f.sums = nil }, fault.Invalid, "holds no checksums of gpuworker-guest", "make build"},
		{"a file is missing", func(_ *testing.T, dir string, _ *Finder) {
			os.Remove(filepath.Join(dir, "gpuworker-guest-linux-arm64"))
		}, fault.NotFound, "gpuworker-guest-linux-arm64 is missing", "make build"},
		{"another checksum", func(t *testing.T, dir string, _ *Finder) { write(t, dir, "amd64", []byte("Program for amd64")) }, fault.Refused, "of another release, or damaged", "&& sha256sum -c SHA256SUMS)"},
		{"a directory in its place", func(t *testing.T, dir string, _ *Finder) { replaceByDirectory(t, dir) }, fault.Failed, "is no regular file", "make build"},
		{"nothing in --guest-dir", func(t *testing.T, _ string, f *Finder) { f.Dir = t.TempDir() }, fault.NotFound, "has neither gpuworker-guest-linux-amd64 nor", "make build"},
		{"--guest-dir does not exist", func(_ *testing.T, dir string, f *Finder) { f.Dir = dir + "/none" }, fault.NotFound, "/none has neither", "--guest-dir DIR"},
		{"--guest-dir with a text", func(t *testing.T, _ string, f *Finder) {
			f.Dir = t.TempDir()
			write(t, f.Dir, "amd64", []byte("404 not found, and some more words"))
		}, fault.Invalid, "gpuworker-guest-linux-amd64 is no program for Linux on amd64", "make build"},
		{"--guest-dir with the program for another machine", func(t *testing.T, _ string, f *Finder) {
			f.Dir = t.TempDir()
			write(t, f.Dir, "amd64", standIn("arm64"))
		}, fault.Invalid, "is no program for Linux on amd64", "make build"},
		{"--guest-dir with an empty file", func(t *testing.T, _ string, f *Finder) {
			f.Dir = t.TempDir()
			write(t, f.Dir, "amd64", nil)
		}, fault.Invalid, "is no program", "make build"},
		{"--guest-dir with a huge file", func(t *testing.T, dir string, f *Finder) { f.Dir = dir; grow(t, dir) }, fault.Failed, "more than 64 MiB", "--guest-dir DIR"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, f := release(t)
			test.change(t, dir, &f)
			found, err := f.Find()
			if err == nil || fault.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.why) || !strings.Contains(fault.FixOf(err), test.fix) {
				t.Errorf("kind %s: %v\nfix: %s", fault.KindOf(err), err, fault.FixOf(err))
			}
			if len(found.Builds) > 0 {
				t.Error("there are builds")
			}
		})
	}
}

// The archive of a release has all files.
func TestAReleaseIsUnpackedAgain(t *testing.T) {
	buildinfo.Version = "v0.3.0"
	t.Cleanup(func() { buildinfo.Version = "" })
	dir, f := release(t)
	write(t, dir, "arm64", nil)
	_, err := f.Find()
	if err == nil || !strings.Contains(err.Error(), "that of gpuworker v0.3.0 has") || !strings.Contains(fault.FixOf(err), "unpack the archive of gpuworker v0.3.0 again") {
		t.Errorf("%v\n%s", err, fault.FixOf(err))
	}
}

func replaceByDirectory(t *testing.T, dir string) {
	t.Helper()
	name := filepath.Join(dir, "gpuworker-guest-linux-amd64")
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(name, 0o755); err != nil {
		t.Fatal(err)
	}
}

// grow makes a file that is too large, without its bytes on the disk.
func grow(t *testing.T, dir string) {
	t.Helper()
	if err := os.Truncate(filepath.Join(dir, "gpuworker-guest-linux-amd64"), mostBytes+1); err != nil {
		t.Fatal(err)
	}
}

func TestStandInsAreNoBuildsOfARelease(t *testing.T) {
	found := StandIn()
	if len(found.Builds) != len(Archs) || found.Release || bytes.Equal(found.Builds[0].Data, found.Builds[1].Data) {
		t.Errorf("%+v", found)
	}
}
