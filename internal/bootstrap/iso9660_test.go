package bootstrap

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// image returns the ISO image of a worker, and a file with it.
func image(t *testing.T, clean bool) (Seed, []byte, string) {
	t.Helper()
	w := worker(t, driver.Packages, "two", driver.Ubuntu2404)
	w.Program.Builds = append(w.Program.Builds, NewBuild("arm64", bytes.Repeat([]byte("gpuworker"), 100_000)))
	seed := mustRender(t, w)
	if clean {
		seed = mustClean(t, w)
	}
	data, err := seed.ISO()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), inventory.SeedName(uuid, clean))
	write(t, file, data)
	return seed, data, file
}

func TestTheImageDependsOnNothingButTheFiles(t *testing.T) {
	_, first, _ := image(t, false)
	_, second, _ := image(t, false)
	if !bytes.Equal(first, second) {
		t.Error("two images of one seed differ")
	}
	if len(first)%sectorSize != 0 || !bytes.Contains(first[:20*sectorSize], []byte("cidata")) {
		t.Errorf("%d bytes", len(first))
	}
}

func TestAnImageTakesOnlyAFewFilesWithNames(t *testing.T) {
	many := make([]File, 17)
	for i := range many {
		many[i].Name = strings.Repeat("x", i+1)
	}
	long := make([]File, 16)
	for i := range long {
		long[i].Name = strings.Repeat("x", 80) + string(rune('a'+i))
	}
	for name, files := range map[string][]File{
		"none": nil, "too many": many, "long names": long, "no name": {{}}, "a path": {{Name: "a/b"}}, "a long name": {{Name: strings.Repeat("x", 101)}},
	} {
		if _, err := iso9660(VolumeLabel, files); err == nil {
			t.Errorf("%s: there is an image", name)
		}
	}
}

// isoinfo is a program that we did not write.
func TestIsoinfoReadsTheImage(t *testing.T) {
	if _, err := exec.LookPath("isoinfo"); err != nil {
		t.Skip("NOT TESTED: the image with isoinfo; apt-get install genisoimage")
	}
	for _, clean := range []bool{false, true} {
		seed, _, file := image(t, clean)
		describe := output(t, "isoinfo", "-d", "-i", file)
		if !strings.Contains(describe, "Volume id: cidata\n") || !strings.Contains(describe, "Rock Ridge signatures version 1 found") {
			t.Errorf("%s", describe)
		}
		names := strings.Fields(output(t, "isoinfo", "-R", "-f", "-i", file))
		if len(names) != len(seed.Files()) {
			t.Errorf("files %q", names)
		}
		for _, f := range seed.Files() {
			if got := output(t, "isoinfo", "-R", "-x", "/"+f.Name, "-i", file); got != string(f.Data) {
				t.Errorf("%s is read as %.100q", f.Name, got)
			}
		}
	}
}

// No guest takes a blank image for its seed, and it has nothing of one.
func TestABlankImageIsNoSeed(t *testing.T) {
	blank := Blank()
	for _, part := range []string{VolumeLabel, UserDataFile, MetaDataFile, "instance-id"} {
		if bytes.Contains(bytes.ToLower(blank), []byte(part)) {
			t.Errorf("a blank image has %q", part)
		}
	}
	if len(blank) > 25*sectorSize || !bytes.Equal(blank, Blank()) {
		t.Errorf("%d bytes, or two that differ", len(blank))
	}
	if _, err := exec.LookPath("isoinfo"); err != nil {
		t.Skip("NOT TESTED: the blank image with isoinfo; apt-get install genisoimage")
	}
	file := filepath.Join(t.TempDir(), "blank.iso")
	write(t, file, blank)
	if describe := output(t, "isoinfo", "-d", "-i", file); !strings.Contains(describe, "Volume id: gpuworker\n") {
		t.Errorf("%s", describe)
	}
	if got := output(t, "isoinfo", "-R", "-x", "/README", "-i", file); got != blankText {
		t.Errorf("%q", got)
	}
}

func output(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).Output()
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return string(out)
}

func TestTheKernelMountsTheImage(t *testing.T) {
	seed, _, file := image(t, false)
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "iso9660", "-o", "ro,loop", file, dir).CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED: the image mounted by the kernel; it needs root and loop devices: %v %s", err, out)
	}
	defer func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("%v %s", err, out)
		}
	}()
	for _, f := range seed.Files() {
		data, err := os.ReadFile(filepath.Join(dir, f.Name))
		if err != nil || !bytes.Equal(data, f.Data) {
			t.Errorf("%s: %v", f.Name, err)
		}
		if info, err := os.Stat(filepath.Join(dir, f.Name)); err != nil || uint32(info.Mode().Perm()) != f.Mode {
			t.Errorf("%s: mode %v, %v", f.Name, info.Mode(), err)
		}
	}
}
