// Package guestbuild finds the builds of gpuworker-guest that guests get: those of the
// release to which this gpuworker belongs, or, in development, others that the operator
// names.
package guestbuild

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gpuworker/gpuworker/internal/bootstrap"
	"github.com/gpuworker/gpuworker/internal/buildinfo"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/shell"
)

// The SHA-256 checksums of gpuworker-guest of the same release, set by the linker.
// hack/guests prints its flags; make build and make release use it.
var amd64, arm64 string

// Archs are the architectures of guests, as Go names them.
var Archs = []string{"amd64", "arm64"}

// mostBytes is the limit of one build. It has a few MB.
const mostBytes = 64 << 20

// Finder finds the builds. The zero value finds those of this release.
type Finder struct {
	// Dir is a directory with other builds, for development: --guest-dir. They are not
	// compared with a release. "" is the directory of the running program, whose builds must
	// have the checksums that this program holds.
	Dir string

	// For tests: the directory of the running program, and the checksums that it holds, by
	// architecture.
	beside string
	sums   map[string]string
}

// Found are the builds and where they come from.
type Found struct {
	Builds []bootstrap.Build
	Dir    string
	// Release: they are those of the release of this program.
	Release bool
}

// Notes say which builds the guests get, one line for each.
func (f Found) Notes() []string {
	origin := "of this release"
	if !f.Release {
		origin = "not compared with a release"
	}
	var notes []string
	for _, b := range f.Builds {
		notes = append(notes, fmt.Sprintf("%s from %s, SHA-256 %s; %s", b.FileName(), f.Dir, b.SHA256, origin))
	}
	return notes
}

// Find reads the builds, a few MB, and compares them. An engine does it before it changes
// anything, so that a missing program is no surprise in the middle.
func (f Finder) Find() (Found, error) {
	if f.Dir != "" {
		return f.named()
	}
	return f.released()
}

// released returns the builds of the release, of all architectures.
func (f Finder) released() (Found, error) {
	sums, dir, err := f.sums, f.beside, error(nil)
	if sums == nil {
		sums = map[string]string{"amd64": amd64, "arm64": arm64}
	}
	if dir == "" {
		if dir, err = programDir(); err != nil {
			return Found{}, problem(fault.Failed, "it is not known where this program is", "name the directory of the builds with --guest-dir", err)
		}
	}
	found := Found{Dir: dir, Release: true}
	for _, arch := range Archs {
		build, err := releasedBuild(dir, arch, sums[arch])
		if err != nil {
			return Found{}, err
		}
		found.Builds = append(found.Builds, build)
	}
	return found, nil
}

func releasedBuild(dir, arch, sum string) (bootstrap.Build, error) {
	name := filepath.Join(dir, bootstrap.Build{Arch: arch}.FileName())
	version := buildinfo.This().Version
	unpack := "unpack the archive of gpuworker " + version + " again, so that its files are in one directory"
	if buildinfo.Version == "" { // it is not of a release
		unpack = "in the source directory run: make build"
	}
	if sum == "" {
		return bootstrap.Build{}, problem(fault.Invalid, "this gpuworker "+version+" holds no checksums of gpuworker-guest, because it was built without them",
			"in the source directory run: make build, and use bin/gpuworker; or name a directory with your own builds: --guest-dir DIR", nil)
	}
	data, err := read(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return bootstrap.Build{}, problem(fault.NotFound, name+" is missing; a release has it beside gpuworker", unpack+"; or name the directory that has it: --guest-dir DIR", nil)
	case err != nil:
		return bootstrap.Build{}, problem(fault.Failed, "", unpack, err)
	}
	build := bootstrap.NewBuild(arch, data)
	if build.SHA256 != sum {
		return bootstrap.Build{}, problem(fault.Refused, fmt.Sprintf("%s has SHA-256 %s, but that of gpuworker %s has %s: it is of another release, or damaged", name, build.SHA256, version, sum),
			shell.Command("see which files differ: (cd %s && sha256sum -c SHA256SUMS); then ", dir)+unpack+shell.Command(". To use it as it is: --guest-dir %s", dir), nil)
	}
	return build, nil
}

// named returns the builds in the directory that the operator names: for one architecture
// at least.
func (f Finder) named() (Found, error) {
	found := Found{Dir: f.Dir}
	for _, arch := range Archs {
		data, err := read(filepath.Join(f.Dir, bootstrap.Build{Arch: arch}.FileName()))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return Found{}, problem(fault.Failed, "", "name a directory with your own builds: --guest-dir DIR", err)
		case !isProgram(arch, data):
			return Found{}, problem(fault.Invalid, fmt.Sprintf("%s is no program for Linux on %s", filepath.Join(f.Dir, bootstrap.Build{Arch: arch}.FileName()), arch),
				"build it in the source directory with: make build, and name its directory bin: --guest-dir DIR", nil)
		default:
			found.Builds = append(found.Builds, bootstrap.NewBuild(arch, data))
		}
	}
	if len(found.Builds) == 0 {
		return Found{}, problem(fault.NotFound, f.Dir+" has neither gpuworker-guest-linux-amd64 nor gpuworker-guest-linux-arm64",
			"build them in the source directory with: make build, and name its directory bin: --guest-dir DIR", nil)
	}
	return found, nil
}

// programDir is the directory of the running program, behind symbolic links.
func programDir() (string, error) {
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	return filepath.Dir(program), err
}

// read reads a regular file of a bounded size.
func read(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, mostBytes+1))
	if err == nil && len(data) > mostBytes {
		err = fmt.Errorf("%s has more than %d MiB, so it is not gpuworker-guest", name, mostBytes>>20)
	}
	return data, err
}

// machines are the architectures in the header of a program. Source: elf.h, EM_X86_64 and
// EM_AARCH64.
var machines = map[string]byte{"amd64": 62, "arm64": 183}

// isProgram reports whether the data begins like a 64-bit program for the architecture. A
// guest would find out only after its VM was made.
func isProgram(arch string, data []byte) bool {
	const header, machine = "\x7fELF\x02\x01", 18
	return len(data) > machine+1 && string(data[:len(header)]) == header && data[machine] == machines[arch] && data[machine+1] == 0
}

func problem(kind fault.Kind, why, fix string, cause error) error {
	return &fault.Error{Kind: kind, Doing: "find gpuworker-guest", Why: why, Fix: fix, Cause: cause}
}

// standIn begins like a program for the architecture, and is none.
func standIn(arch string) []byte {
	const header = 64
	data := make([]byte, header)
	copy(data, "\x7fELF\x02\x01\x01")
	data[18] = machines[arch]
	return data
}

// StandIn are builds that do nothing, for the demo and for tests with simulated guests,
// which run no program.
func StandIn() Found {
	found := Found{Dir: "nowhere"}
	for _, arch := range Archs {
		found.Builds = append(found.Builds, bootstrap.NewBuild(arch, standIn(arch)))
	}
	return found
}
