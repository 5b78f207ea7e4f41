package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// version is the version of the provider in the mirror.
const version = "0.0.1"

// root is the root of the repository.
const root = "../../.."

// built is the directory of the programs that the tests have built. TestMain removes it.
var built string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "e2e-terraform-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	built = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// mirror makes a filesystem mirror with the provider, once, for Terraform and OpenTofu, and
// a configuration of them that knows no other source of providers. It returns the path of
// the configuration.
var mirror = sync.OnceValues(func() (config string, err error) {
	dir := filepath.Join(built, "mirror")
	platform := runtime.GOOS + "_" + runtime.GOARCH
	for _, opentofu := range []bool{false, true} {
		registry := testlab.Program{OpenTofu: opentofu}.Registry()
		program := filepath.Join(dir, registry, "gpuworker/gpuworker", version, platform, "terraform-provider-gpuworker_v"+version)
		if err := goBuild("..", program); err != nil {
			return "", err
		}
	}
	config = filepath.Join(built, "terraform.rc")
	text := fmt.Sprintf("disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", dir)
	return config, os.WriteFile(config, []byte(text), 0o600)
})

// goBuild builds the program of a package of this or the root module.
func goBuild(dir, program string) error {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("the tests build the programs that they test: %w", err)
	}
	program, err = filepath.Abs(program)
	if err != nil {
		return err
	}
	build := exec.Command(goTool, "build", "-o", program, ".")
	build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOPROXY=off")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build in %s: %w\n%s", dir, err, out)
	}
	return nil
}

// workspace is a directory with a configuration of Terraform.
type workspace struct {
	t         *testing.T
	terraform string
	dir       string
	env       []string
}

// login is the environment that people who begin with gpuworker have.
func login(l *testlab.Lab) []string {
	return []string{"GPUWORKER_ENDPOINT=" + l.Endpoint, "GPUWORKER_FINGERPRINT=" + l.Fingerprint, "GPUWORKER_TOKEN=" + l.Tokens["engine"]}
}

// loginOfTelmate is the environment that users of the provider Telmate/proxmox have.
func loginOfTelmate(l *testlab.Lab) []string {
	id, secret, _ := strings.Cut(l.Tokens["engine"], "=")
	return []string{"PM_API_URL=" + l.Endpoint + "/api2/json", "PM_API_TOKEN_ID=" + id, "PM_API_TOKEN_SECRET=" + secret, "PM_TLS_INSECURE=true"}
}

// newWorkspace copies the modules and the directory from, which is a path below the root of
// the repository, so that paths between them are the same. The environment has only what
// terraform needs, and env.
func newWorkspace(t *testing.T, from string, env []string) *workspace {
	t.Helper()
	dir := t.TempDir()
	for _, one := range []string{"terraform/modules", from} {
		if _, err := os.Stat(filepath.Join(dir, one)); errors.Is(err, fs.ErrNotExist) {
			must(t, os.CopyFS(filepath.Join(dir, one), os.DirFS(filepath.Join(root, one))))
		}
	}
	return workspaceIn(t, filepath.Join(dir, from), env)
}

// workspaceIn is a workspace in a directory that is there.
func workspaceIn(t *testing.T, dir string, env []string) *workspace {
	t.Helper()
	program := testlab.Tested(t)
	config, err := mirror()
	must(t, err)
	base := []string{
		"HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir(), "TF_CLI_CONFIG_FILE=" + config, "TF_IN_AUTOMATION=1",
		"HTTPS_PROXY=http://127.0.0.1:9", "HTTP_PROXY=http://127.0.0.1:9", // nothing but the loopback interface can be reached
	}
	return &workspace{t, program.Path, dir, append(base, env...)}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run runs terraform and returns what it prints, and its exit code.
func (w *workspace) run(args ...string) (out string, code int) {
	w.t.Helper()
	command := exec.CommandContext(w.t.Context(), w.terraform, append([]string{"-chdir=" + w.dir}, args...)...)
	command.Env = w.env
	text, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return string(text), command.ProcessState.ExitCode()
}

// do runs terraform, which must succeed.
func (w *workspace) do(args ...string) string {
	w.t.Helper()
	return w.ends(0, args...)
}

// ends runs terraform, which must end with this exit code.
func (w *workspace) ends(code int, args ...string) string {
	w.t.Helper()
	out, got := w.run(args...)
	if got != code {
		w.t.Fatalf("terraform %s: exit code %d, want %d\n%s", strings.Join(args, " "), got, code, out)
	}
	return out
}

// start runs init and validate.
func (w *workspace) start() {
	w.t.Helper()
	w.do("init", "-no-color", "-input=false")
	w.do("validate", "-no-color")
}

// apply applies the configuration, and then requires an empty plan.
func (w *workspace) apply(args ...string) string {
	w.t.Helper()
	out := w.do(append([]string{"apply", "-no-color", "-input=false", "-auto-approve"}, args...)...)
	w.empty(args...)
	return out
}

// empty requires an empty plan.
func (w *workspace) empty(args ...string) {
	w.t.Helper()
	out := w.ends(0, append([]string{"plan", "-no-color", "-input=false", "-detailed-exitcode"}, args...)...)
	if !strings.Contains(out, "No changes.") {
		w.t.Fatalf("the plan is not empty:\n%s", out)
	}
}

// plan requires a plan that changes something, with this summary.
func (w *workspace) plan(summary string, args ...string) string {
	w.t.Helper()
	out := w.ends(2, append([]string{"plan", "-no-color", "-input=false", "-detailed-exitcode"}, args...)...)
	w.says(out, summary)
	return out
}

// refused requires that terraform refuses, with this text.
func (w *workspace) refused(text string, args ...string) {
	w.t.Helper()
	w.says(w.ends(1, args...), text)
}

// destroy destroys everything.
func (w *workspace) destroy(args ...string) string {
	w.t.Helper()
	out := w.do(append([]string{"destroy", "-no-color", "-input=false", "-auto-approve"}, args...)...)
	if state := w.do("state", "list"); state != "" {
		w.t.Errorf("this is still in the state after destroy:\n%s", state)
	}
	return out
}

// output reads an output into value.
func (w *workspace) output(name string, value any) {
	w.t.Helper()
	command := exec.CommandContext(w.t.Context(), w.terraform, "-chdir="+w.dir, "output", "-json", name)
	command.Env = w.env
	text, err := command.Output()
	must(w.t, err)
	must(w.t, json.Unmarshal(text, value))
}

// edit replaces a text that the file has exactly once.
func (w *workspace) edit(file, was, is string) {
	w.t.Helper()
	path := filepath.Join(w.dir, file)
	text, err := os.ReadFile(path)
	must(w.t, err)
	if n := bytes.Count(text, []byte(was)); n != 1 {
		w.t.Fatalf("%s has %q %d times", file, was, n)
	}
	must(w.t, os.WriteFile(path, bytes.Replace(text, []byte(was), []byte(is), 1), 0o600))
}

// says requires a text in the output. The boxes and line breaks of Terraform do not count,
// nor do the lines of the configuration that it shows with a message.
func (w *workspace) says(out, text string) {
	w.t.Helper()
	if !strings.Contains(flat(out), flat(text)) {
		w.t.Errorf("terraform does not say:\n%s\nbut:\n%s", text, out)
	}
}

var (
	border = regexp.MustCompile(`(?m)^[│╷╵]`)
	source = regexp.MustCompile(`(?m)^ *(with [^ ]*,|on [^ ]* line \d+.*:|\d+: .*)$`)
)

// flat writes all white space as one space.
func flat(out string) string {
	return strings.Join(strings.Fields(source.ReplaceAllString(border.ReplaceAllString(out, ""), "")), " ")
}
