// Package golden compares what a test got with a file. With -update the file is
// written instead.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Update reports whether the tests write their golden files.
var Update = flag.Bool("update", false, "write the golden files")

// Compare fails the test if the text differs from the content of the file.
func Compare(t testing.TB, file, got string) {
	t.Helper()
	if *Update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	expected, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(expected), got); diff != "" {
		t.Errorf("%s differs (-want +got); if that is intended, run the test with -update:\n%s", file, diff)
	}
}
