package strangers

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"

	"github.com/gpuworker/gpuworker/internal/bootstrap"
)

// TestGoDiskfsReadsASeed: the image of a seed is readable for a library that we did not
// write, with the long names that cloud-init looks for.
func TestGoDiskfsReadsASeed(t *testing.T) {
	seed := bootstrap.Seed{
		UserData: []byte("#cloud-config\n"), MetaData: []byte("instance-id: x\n"), NetworkConfig: bytes.Repeat([]byte("version: 2\n"), 1000),
		Builds: []bootstrap.Build{bootstrap.NewBuild("amd64", []byte("amd")), bootstrap.NewBuild("arm64", nil)},
	}
	image, err := seed.ISO()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "seed.iso")
	if err := os.WriteFile(name, image, 0o600); err != nil {
		t.Fatal(err)
	}
	disk, err := file.OpenFromPath(name, true)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	volume, err := iso9660.Read(disk, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if label := volume.Label(); string(bytes.TrimSpace([]byte(label))) != bootstrap.VolumeLabel {
		t.Errorf("label %q", label)
	}
	for _, f := range seed.Files() {
		opened, err := volume.OpenFile("/"+f.Name, os.O_RDONLY)
		if err != nil {
			t.Errorf("%s: %v", f.Name, err)
			continue
		}
		data, err := io.ReadAll(opened)
		if err != nil || !bytes.Equal(data, f.Data) {
			t.Errorf("%s: %d bytes, want %d: %v", f.Name, len(data), len(f.Data), err)
		}
	}
}
