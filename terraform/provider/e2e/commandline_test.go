package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/terraform/provider/internal/testlab"
)

// TestTheCommandLineBesideTerraform follows the section of docs/terraform.md, with a worker
// of a KubeCluster, which login.yaml does not have.
func TestTheCommandLineBesideTerraform(t *testing.T) {
	t.Parallel()
	l := testlab.Start(t)
	w := workspaceIn(t, t.TempDir(), login(l))
	p := readPage(t)
	w.write(strings.Replace(p.block("main.tf"), `"gpu-1"`, "\"gpu-1\"\n  kube_cluster = \"prod\"", 1))
	w.start()
	w.apply()

	file := strings.NewReplacer("https://127.0.0.1:8006", l.Endpoint, "caFile: pve-root-ca.pem", `fingerprint: "`+l.Fingerprint+`"`).Replace(p.block("login.yaml"))
	must(t, os.WriteFile(filepath.Join(w.dir, "login.yaml"), []byte(file), 0o600))
	must(t, goBuild(filepath.Join(root, "cmd/gpuworker"), filepath.Join(w.dir, "gpuworker")))
	section := regexp.MustCompile(`(?s)## The command line beside.*?\n## `).FindString(p.text)
	var said strings.Builder
	for _, command := range regexp.MustCompile(`(?m)^gpuworker .*`).FindAllString(section, -1) {
		shell := exec.CommandContext(t.Context(), "sh", "-c", command)
		shell.Dir, shell.Env = w.dir, slices.Concat(w.env, []string{"PATH=" + w.dir + ":" + os.Getenv("PATH")})
		out, err := shell.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
		said.Write(out)
	}
	for _, want := range []string{"gpu-1   pve1", "- gpu-1  pve1", "± gpu-1  pve1"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("the commands do not say %q:\n%s", want, said.String())
		}
	}
	w.empty()
}
