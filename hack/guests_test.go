package hack

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// guests runs hack/guests of a copy of the repository, and returns its linker flags.
func guests(t *testing.T, root, into string) string {
	t.Helper()
	script := exec.Command(filepath.Join(root, "hack", "guests"), into)
	script.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "VERSION=v9.8.7")
	var problems bytes.Buffer
	script.Stderr = &problems
	flags, err := script.Output()
	if err != nil {
		t.Fatalf("hack/guests: %v\n%s", err, problems.String())
	}
	return strings.TrimSpace(string(flags))
}

// copySources copies what gpuworker-guest is built from.
func copySources(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum", "hack/guests"} {
		copyFile(t, "../"+name, filepath.Join(root, name))
	}
	for _, dir := range []string{"api", "cmd/gpuworker-guest", "internal"} {
		err := filepath.WalkDir("../"+dir, func(name string, entry fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(name, ".go") {
				copyFile(t, name, filepath.Join(root, strings.TrimPrefix(name, "../")))
			}
			if err == nil && entry.IsDir() && entry.Name() == "testdata" {
				return fs.SkipDir
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// A gpuworker that is built as a release is built finds its guest programs beside it, and
// refuses others. The guest programs have the same bytes wherever they are built.
func TestAReleaseHoldsTheChecksumsOfItsGuestPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED: the builds of a release, which take a minute")
	}
	bin, again := t.TempDir(), t.TempDir()
	flags := guests(t, "..", bin)
	if other := guests(t, copySources(t), again); other != flags {
		t.Errorf("two builds differ:\n%s\n%s", flags, other)
	}
	program := filepath.Join(bin, "gpuworker")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", program, "../cmd/gpuworker")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pool := filepath.Join(t.TempDir(), "pool.yaml")
	text := besides + "---\napiVersion: gpuworker.io/v1alpha1\nkind: WorkerPool\nmetadata: {name: plain}\n" +
		"spec: {hypervisor: lab, replicas: 1, template: {name: t}, bootstrap: {}}\n"
	if err := os.WriteFile(pool, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	render := func() string {
		out, err := exec.Command(program, "render", "plain", "--cloud-init", filepath.Join(bin, "seed"), "--force", "-f", pool).CombinedOutput()
		if err == nil {
			out = append(out, "exit 0"...)
		}
		return string(out)
	}
	if out := render(); !strings.Contains(out, "of this release") || !strings.Contains(out, "exit 0") {
		t.Fatalf("%s", out)
	}
	guest := filepath.Join(bin, "gpuworker-guest-linux-arm64")
	data, err := os.ReadFile(guest)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(guest, data, 0o755); err != nil {
		t.Fatal(err)
	}
	if out := render(); strings.Contains(out, "exit 0") || !strings.Contains(out, "but that of gpuworker v9.8.7 has") {
		t.Errorf("a changed program: %s", out)
	}
	check := exec.Command("sha256sum", "-c", "SHA256SUMS")
	check.Dir = bin
	if out, err := check.CombinedOutput(); err == nil || !strings.Contains(string(out), "gpuworker-guest-linux-arm64: FAILED") {
		t.Errorf("SHA256SUMS does not find it: %v %s", err, out)
	}
}
