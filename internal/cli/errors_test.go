package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/golden"
)

func TestErrorsHavePlaceReasonAndFix(t *testing.T) {
	denied := &fault.Error{
		Kind: fault.Denied, Doing: "list mappings", Where: fault.Place{Hypervisor: "lab", Host: "pve1"},
		Why: "the token lacks Mapping.Audit on /mapping/pci", Fix: "gpuworker role -f lab.yaml prints the commands that grant it",
	}
	for name, args := range map[string][]string{"error.txt": nil, "error.json": {"-o", "json"}, "error.yaml": {"-o", "yaml"}} {
		c := (&typed{engine: &fakeEngine{err: denied}}).run(t, append([]string{"hosts", "-f", lab}, args...)...).wants(t, fault.ExitDenied)
		golden.Compare(t, "testdata/"+name, c.transcript())
	}
}

func TestErrorsOfSeveralHypervisorsAreAllPrinted(t *testing.T) {
	both := errors.Join(
		&fault.Error{Kind: fault.Unavailable, Where: fault.Place{Hypervisor: "a"}, Why: "no answer"},
		&fault.Error{Kind: fault.Denied, Where: fault.Place{Hypervisor: "b"}, Why: "login refused", Fix: "check the token"},
	)
	for name, args := range map[string][]string{"errors.txt": nil, "errors.json": {"-o", "json"}} {
		c := (&typed{engine: &fakeEngine{err: both}}).run(t, append([]string{"hosts", "-f", lab}, args...)...).wants(t, fault.ExitFailed)
		golden.Compare(t, "testdata/"+name, c.transcript())
	}
}

func TestErrorsOnTheCommandLine(t *testing.T) {
	cases := []struct {
		name string
		args []string
		says string
	}{
		{"an unknown command gets a suggestion", []string{"aply"}, "gpuworker apply"},
		{"an unknown command far from all", []string{"frobnicate"}, "gpuworker --help"},
		{"an unknown flag points to the help", []string{"plan", "--frob"}, "gpuworker plan --help"},
		{"too many words", []string{"plan", "lab.yaml"}, "gpuworker plan --help"},
		{"delete without a name", []string{"delete"}, "gpuworker delete NAME…"},
		{"an unknown output", []string{"plan", "-o", "xml"}, "write one of table, json, yaml"},
		{"an unknown colour", []string{"plan", "--color", "pink"}, "auto, always, never"},
		{"a file that is not there", []string{"plan", "-f", "nowhere.yaml"}, "read nowhere.yaml: no such file"},
		{"no file at all", []string{"plan"}, "gpuworker demo"},
		{"an unknown finding gets a suggestion", []string{"explain", "CARD-GRUOP-SHARED"}, "gpuworker explain CARD-GROUP-SHARED\n"},
		{"an unknown finding far from all", []string{"explain", "xyz"}, "gpuworker explain lists all findings"},
		{"an unknown version of Proxmox VE", []string{"role", "-f", lab, "--pve-version", "7"}, "write 8 or 9"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			command := (&typed{}).run(t, c.args...).wants(t, fault.ExitInvalid).asked(t)
			if !strings.Contains(command.err, c.says) || command.out != "" {
				t.Errorf("does not say %q:\nerr: %s\nout: %s", c.says, command.err, command.out)
			}
		})
	}
}

func TestProblemsOfDocumentsArePrintedAsEditorsReadThem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.yaml")
	text, err := os.ReadFile(lab)
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.NewReplacer("0000:03:00.0", "03", "hypervisor: lab", "hypervisor: lob").Replace(string(text))
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	c := (&typed{}).run(t, "apply", "--yes", "-f", file).wants(t, fault.ExitInvalid).asked(t)
	if !strings.HasPrefix(c.err, file+":") || !strings.HasSuffix(c.err, "2 problems, nothing was changed.\n") {
		t.Errorf("standard error:\n%s", c.err)
	}
	c = (&typed{}).run(t, "apply", "--yes", "-f", file, "-o", "json").wants(t, fault.ExitInvalid).asked(t)
	if !strings.Contains(c.err, `"path": "spec.gpus[0].bdf"`) {
		t.Errorf("standard error:\n%s", c.err)
	}
}

func TestWhereDocumentsComeFrom(t *testing.T) {
	text, err := os.ReadFile(lab)
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	for name, part := range map[string]string{"a.yaml": string(text), "b.yml": "---\n", "notes.txt": "not YAML: at: all"} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(part), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := &fakeEngine{world: homelab()}
	t.Run("a directory is every YAML file in it", func(t *testing.T) {
		(&typed{engine: f}).run(t, "hosts", "-f", directory).wants(t, fault.ExitOK)
	})
	t.Run("a directory without YAML says so", func(t *testing.T) {
		c := (&typed{}).run(t, "hosts", "-f", t.TempDir()).wants(t, fault.ExitInvalid)
		if !strings.Contains(c.err, "has no *.yaml") {
			t.Errorf("err: %s", c.err)
		}
	})
	t.Run("a dash is standard input", func(t *testing.T) {
		(&typed{engine: f, in: string(text)}).run(t, "hosts", "-f", "-").wants(t, fault.ExitOK)
	})
	t.Run("problems on standard input have a place", func(t *testing.T) {
		c := (&typed{in: "kind: Nothing"}).run(t, "hosts", "-f", "-").wants(t, fault.ExitInvalid)
		if !strings.HasPrefix(c.err, "<stdin>:1:") {
			t.Errorf("err: %s", c.err)
		}
	})
	t.Run("GPUWORKER_FILE names files", func(t *testing.T) {
		(&typed{engine: f, env: map[string]string{"GPUWORKER_FILE": directory}}).run(t, "hosts").wants(t, fault.ExitOK)
	})
	t.Run("gpuworker.yaml of the working directory is the last resort", func(t *testing.T) {
		t.Chdir(directory)
		if err := os.Rename("a.yaml", "gpuworker.yaml"); err != nil {
			t.Fatal(err)
		}
		(&typed{engine: f}).run(t, "hosts").wants(t, fault.ExitOK)
	})
}
