package hack

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/examples"
	"github.com/gpuworker/gpuworker/internal/cli"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/golden"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/proxmox"
	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/testdata/worlds"
)

// shown matches one output in README.md: the command and its block.
var shown = regexp.MustCompile("(?s)<!-- run: ([^\n]+) -->\n```console\n(.*?)```\n<!-- end -->")

// Each output in README.md is exactly what the program prints for the demo's cluster.
func TestTheReadmeShowsWhatTheProgramPrints(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !shown.Match(text) {
		t.Fatal("README.md shows no output")
	}
	fresh := shown.ReplaceAllFunc(text, func(block []byte) []byte {
		line := string(shown.FindSubmatch(block)[1])
		return []byte("<!-- run: " + line + " -->\n```console\n$ gpuworker " + line + "\n" + run(t, line) + "```\n<!-- end -->")
	})
	if bytes.Equal(fresh, text) {
		return
	}
	if *golden.Update {
		if err := os.WriteFile("../README.md", fresh, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("README.md shows something else, run `go test ./hack -update` (-README +program):\n%s", cmp.Diff(string(text), string(fresh)))
}

// run runs a command on the demo's cluster and returns its output at a width of 100
// columns.
func run(t *testing.T, line string) string {
	var out, complaints bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		world, err := pvesim.LoadWorld(worlds.Homelab)
		if err != nil {
			t.Fatal(err)
		}
		sim, err := pvesim.New(world, pvesim.WithLog(t.Logf))
		if err != nil {
			t.Fatal(err)
		}
		defer sim.Close()
		t.Chdir(t.TempDir())
		if err := os.WriteFile(filepath.Join(".", "homelab.yaml"), examples.Homelab, 0o600); err != nil {
			t.Fatal(err)
		}
		size := func() (int, int) { return 100, 0 }
		program := cli.Program{
			Streams: cli.Streams{
				Out: cli.Stream{Writer: &out, Size: size},
				Err: cli.Stream{Writer: &complaints, Size: size},
			},
			NewEngine: func(cli.EngineRequest) cli.Engine { return engineOn(sim, tokenOf(t, world)) },
		}
		program.Run(context.Background(), strings.Fields(line))
	})
	if complaints.Len() > 0 {
		t.Errorf("gpuworker %s complains: %s", line, complaints.String())
	}
	if out.Len() == 0 {
		t.Errorf("gpuworker %s prints nothing", line)
	}
	return out.String()
}

func engineOn(sim *pvesim.Sim, token string) cli.Engine {
	return engine.New(engine.Options{
		By: "operator@desk",
		Open: func(_ context.Context, _ *v1alpha1.Documents, document *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
			return proxmox.Open(document, proxmox.Login{Token: token, Transport: sim.Transport()})
		},
	})
}

func tokenOf(t *testing.T, world pvesim.World) string {
	for _, token := range world.Tokens {
		if token.ID == "gpuworker@pve!engine" {
			return token.ID + "=" + token.Secret
		}
	}
	t.Fatal("the demo's world has no token gpuworker@pve!engine")
	return ""
}
