package testlab

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/semver"
)

// Program is the program under test: Terraform or OpenTofu.
type Program struct {
	Path     string
	OpenTofu bool
	version  string // v1.11.4
}

// program looks for the program once. The variable TF_ACC_TERRAFORM_PATH is the one that
// the library for acceptance tests reads too.
var program = sync.OnceValues(func() (Program, error) {
	path, err := exec.LookPath(os.Getenv("TF_ACC_TERRAFORM_PATH"))
	if err != nil {
		return Program{}, err
	}
	command := exec.Command(path, "version")
	command.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE=")
	text, err := command.Output()
	if err != nil {
		return Program{}, fmt.Errorf("%s version: %w", path, err)
	}
	var name, version string
	if n, _ := fmt.Sscan(string(text), &name, &version); n < 2 || !semver.IsValid(version) {
		return Program{}, fmt.Errorf("%s version: not a version of Terraform or OpenTofu: %q", path, text)
	}
	return Program{Path: path, OpenTofu: strings.Contains(name, "OpenTofu"), version: version}, nil
})

// Tested is the program that the environment variable TF_ACC_TERRAFORM_PATH names. Without
// it, the test is skipped: these tests take minutes.
func Tested(t *testing.T) Program {
	t.Helper()
	found, err := program()
	switch {
	case err != nil && os.Getenv("TF_ACC_TERRAFORM_PATH") != "":
		t.Fatalf("TF_ACC_TERRAFORM_PATH names no program for the tests: %v", err)
	case err != nil:
		t.Skip("not run: it needs the program terraform; make e2e-terraform finds or builds it")
	}
	return found
}

// Registry is the host that addresses of providers without a host are at.
func (p Program) Registry() string {
	if p.OpenTofu {
		return "registry.opentofu.org"
	}
	return "registry.terraform.io"
}

// NeedsTerraform skips the test with an older Terraform, and with OpenTofu, which does not
// have the feature.
func (p Program) NeedsTerraform(t *testing.T, version, feature string) {
	t.Helper()
	if p.OpenTofu || semver.Compare(p.version, version) < 0 {
		t.Skipf("not run: it needs Terraform %s or newer: %s", version, feature)
	}
}
