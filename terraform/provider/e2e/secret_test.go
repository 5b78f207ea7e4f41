package e2e

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// TestTheSecretIsNowhere applies, fails and destroys with the most detailed log, and looks
// for the secret of the token in all that Terraform writes and prints.
func TestTheSecretIsNowhere(t *testing.T) {
	t.Parallel()
	l := testlab.Start(t)
	token := l.Tokens["engine"]
	_, secret, _ := strings.Cut(token, "=")
	log := filepath.Join(t.TempDir(), "trace.log")
	w := newWorkspace(t, "terraform/provider/e2e/testdata/secret", []string{
		"GPUWORKER_ENDPOINT=" + l.Endpoint, "GPUWORKER_FINGERPRINT=" + l.Fingerprint, "TF_VAR_token=" + token, "TF_LOG=TRACE", "TF_LOG_PATH=" + log,
	})
	var printed strings.Builder
	run := func(code int, args ...string) {
		t.Helper()
		printed.WriteString(w.ends(code, args...))
	}
	run(0, "init", "-no-color", "-input=false")
	must(t, l.Sim.Inject(pvesim.Fault{Method: "POST", Path: "/status/start$", Effect: pvesim.TaskFails, Text: "start failed: boom"}))
	run(1, "apply", "-no-color", "-input=false", "-auto-approve")
	l.Sim.ClearFaults()
	run(0, "plan", "-no-color", "-input=false", "-out=saved.plan")
	run(0, "apply", "-no-color", "-input=false", "saved.plan")
	run(0, "show", "-no-color", "-json")
	run(1, "destroy", "-no-color", "-input=false", "-auto-approve")
	w.env = append(w.env, "TF_VAR_token="+strings.Replace(token, "!engine", "!nobody", 1)) // the login fails
	run(1, "plan", "-no-color", "-input=false")

	for name, text := range map[string][]byte{"what terraform prints": []byte(printed.String()), "its log": read(t, log)} {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("the secret is in %s", name)
		}
	}
	if !bytes.Contains(read(t, log), []byte("call POST /cluster/mapping/pci")) {
		t.Error("the log does not have the calls of the provider, so the test sees too little")
	}
	files := 0
	must(t, filepath.WalkDir(w.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		files++
		for name, text := range unpacked(t, path) {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("the secret is in %s", name)
			}
		}
		return nil
	}))
	if state := read(t, filepath.Join(w.dir, "terraform.tfstate")); !bytes.Contains(state, []byte("gpuworker_vm")) || files < 3 {
		t.Errorf("there are only %d files, or no state", files)
	}
}

// unpacked is a file, or the files in it: a saved plan is a ZIP archive.
func unpacked(t *testing.T, path string) map[string][]byte {
	t.Helper()
	archive, err := zip.OpenReader(path)
	if err != nil {
		return map[string][]byte{path: read(t, path)}
	}
	files := map[string][]byte{}
	for _, file := range archive.File {
		text, err := fs.ReadFile(archive, file.Name)
		must(t, err)
		files[path+" "+file.Name] = text
	}
	must(t, archive.Close())
	return files
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return text
}
