package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/sim/pvesim/capture"
)

// cluster serves the homelab cluster, and returns the environment for a capture.
func cluster(t *testing.T) func(string) string {
	t.Helper()
	data, err := os.ReadFile(homelab)
	if err != nil {
		t.Fatal(err)
	}
	world, err := pvesim.LoadWorld(data)
	if err != nil {
		t.Fatal(err)
	}
	sim, err := pvesim.New(world, pvesim.WithLog(func(string, ...any) {}))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(sim)
	t.Cleanup(func() {
		sim.Close()
		server.Close()
	})
	sum := sha256.Sum256(server.Certificate().Raw)
	environment := map[string]string{"PVE_ENDPOINT": server.URL, "PVE_FINGERPRINT": hex.EncodeToString(sum[:]),
		"PVE_TOKEN": "gpuworker@pve!audit=33333333-3333-4333-8333-333333333333"}
	return func(name string) string { return environment[name] }
}

func TestACaptureIsWrittenForItsOwnerAndOverwritesNothing(t *testing.T) {
	environment := cluster(t)
	path := filepath.Join(t.TempDir(), "world.yaml")
	run := func(args ...string) (stderr string, err error) {
		var out bytes.Buffer
		err = captureCluster(t.Context(), append([]string{"-o", path}, args...), environment, io.Discard, &out)
		return out.String(), err
	}
	stderr, err := run()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"captured 3 hosts, 6 VMs, 2 storages, 1 PCI mapping\n", "assumed: ", "host1 is pve1", "pvesim -world " + path} {
		if !strings.Contains(stderr, want) {
			t.Errorf("stderr does not say %q:\n%s", want, stderr)
		}
	}
	file := written(t, path)
	if _, err := run(); err == nil || !strings.Contains(err.Error(), "-force") {
		t.Errorf("a second capture: %v", err)
	}
	if err := os.WriteFile(path, []byte("something else"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := run("-force"); err != nil {
		t.Fatal(err)
	}
	if again := written(t, path); again != file {
		t.Error("the same cluster gave two files")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
		t.Errorf("there are files left: %v", left)
	}
}

// written returns the content of a file, and checks that only its owner may read it.
func written(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.FileMode(0o600) {
		t.Errorf("the file has mode %v", info.Mode())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestACaptureForStandardOutputIsTheWorldAlone(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if err := captureCluster(t.Context(), []string{"-o", "-", "-keep-names"}, cluster(t), &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	world, err := pvesim.LoadWorld(stdout.Bytes())
	if err != nil || len(world.VMs) != 6 || world.Hosts[0].Name != "pve1" {
		t.Errorf("%v, %d VMs\n%s", err, len(world.VMs), stdout.String())
	}
	if strings.Contains(stderr.String(), " is pve1") || strings.Contains(stderr.String(), "wrote") {
		t.Errorf("stderr speaks of names or files that there are not:\n%s", stderr.String())
	}
}

func TestAFailedCaptureLeavesNoFile(t *testing.T) {
	environment := cluster(t)
	path := filepath.Join(t.TempDir(), "world.yaml")
	err := captureCluster(t.Context(), []string{"-o", path, "-fingerprint", strings.Repeat("0", 64)}, environment, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("there is a file")
	}
}

func TestAnInterruptedCaptureLeavesNoFile(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path := filepath.Join(t.TempDir(), "world.yaml")
	err := captureCluster(ctx, []string{"-o", path}, cluster(t), io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "interrupted; nothing was written") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("there is a file")
	}
}

func TestWrongCommandLinesOfCaptureSayWhatToDo(t *testing.T) {
	folder := t.TempDir()
	full := map[string]string{"PVE_ENDPOINT": "https://pve1.example.org:8006", "PVE_TOKEN": "a@pve!b=the-secret"}
	output := filepath.Join(folder, "world.yaml")
	tests := map[string]struct {
		args  []string
		unset string
		want  []string
	}{
		"no endpoint":              {[]string{"-o", output}, "PVE_ENDPOINT", []string{"no endpoint", "-endpoint https://HOST:8006"}},
		"no token":                 {[]string{"-o", output}, "PVE_TOKEN", []string{"PVE_TOKEN is empty", "user@realm!name=secret", "PVEAuditor"}},
		"no token of another name": {[]string{"-o", output, "-token-env", "MINE"}, "", []string{"variable MINE is empty"}},
		"no file":                  {nil, "", []string{"-o FILE", "-o -"}},
		"an argument too many":     {[]string{"-o", output, "extra"}, "", []string{`unexpected argument "extra"`, "pvesim capture -help"}},
		"a fingerprint and a CA":   {[]string{"-o", output, "-fingerprint", "a", "-ca", "b"}, "", []string{"give one"}},
		"a CA that is not there":   {[]string{"-o", output, "-ca", filepath.Join(folder, "no.pem")}, "", []string{"read the CA", "no.pem"}},
		"no time to wait":          {[]string{"-o", output, "-timeout", "0s"}, "", []string{"timeout 0s", "40s"}},
		"a token as an argument":   {[]string{"-o", output, "-token", "x"}, "", []string{"-token"}},
		"a file that exists":       {[]string{"-o", folder}, "", []string{folder + " exists", "-force"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			getenv := func(name string) string {
				if name == test.unset {
					return ""
				}
				return full[name]
			}
			err := captureCluster(t.Context(), test.args, getenv, io.Discard, io.Discard)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error %q does not contain %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "the-secret") {
				t.Errorf("the error has the secret in it: %v", err)
			}
		})
	}
}

func TestProgressIsShownOnceItTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var out bytes.Buffer
		p := watch(ctx, &out)
		p.note(capture.Progress{What: "VMs", Done: 1, Total: 500})
		<-time.After(1900 * time.Millisecond)
		synctest.Wait()
		if out.Len() > 0 {
			t.Errorf("shown before two seconds: %q", out.String())
		}
		p.note(capture.Progress{What: "VMs", Done: 120, Total: 500})
		<-time.After(200 * time.Millisecond)
		synctest.Wait()
		p.stop()
		if got, want := out.String(), "reading VMs: 120 of 500 answers\n"; got != want {
			t.Errorf("shown %q, want %q", got, want)
		}
	})
}
