package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/examples"
	"github.com/gpuworker/gpuworker/internal/cli"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/proxmox"
	"github.com/gpuworker/gpuworker/internal/thorough"
	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/testdata/worlds"
)

// The planted texts, one of each kind.
var hostileTexts = []string{
	"\x1b]0;title\x07\x1b[31m\u009b2J\x1b[8m\r\x7f\u202e\u200b\ufeff\U000e0041mark",
	"mark ; touch /tmp/x $(id) `id` 'a' \"b\" | & > * ~ !",
	"mark\n---\nkind: Evil\n\nNext:  gpuworker forged gpu-workers-1\n",
	"mark" + strings.Repeat("漢", 3<<10),
	"mark" + strings.Repeat("\x1b[2J; ", 2<<10),
}

// hostileRecord is a note, or a description of a mapping, that looks like ours.
const hostileRecord = "gpuworker: worker=gpu-2%20%3B%20touch%20%2Ftmp%2Fmark pool=a%0Ab kube=%1B%5B2J vmid=9102 uuid=00000000-0000-4000-8000-000000000002 by=%E2%80%AEx card=0000:03:00 host=pve2"

// labToken is the login of the lab.
const labToken = "gpuworker@pve!engine=11111111-1111-4111-8111-111111111111"

// lab is a simulated cluster behind a liar, and the program.
type lab struct {
	t        *testing.T
	sim      *pvesim.Sim
	liar     *liar
	document string   // the file that -f names
	more     []string // flags of each command
	// others are the connections to further hypervisors, by name.
	others map[string]http.RoundTripper
	// newUUID makes identities; nil takes random ones.
	newUUID func() string
	// token is the secret that the document points at; "" is labToken.
	token string
	// in is what is typed, or what stands there for a plan; nil for nothing.
	in         io.Reader
	interrupts chan os.Signal
}

// newLab starts the cluster of the demo. Call it inside the bubble of the test.
func newLab(t *testing.T) *lab {
	t.Helper()
	world, err := pvesim.LoadWorld(worlds.Homelab)
	if err != nil {
		t.Fatal(err)
	}
	return labOf(t, world)
}

// madeWorld is the cluster of the demo after the documents were applied.
var madeWorld struct {
	sync.Mutex
	*pvesim.World
}

// newMadeLab starts the cluster in which the workers exist. Call it inside the
// bubble of the test.
func newMadeLab(t *testing.T) *lab {
	t.Helper()
	madeWorld.Lock()
	defer madeWorld.Unlock()
	if madeWorld.World == nil {
		l := newLab(t)
		if p := l.run(false, "apply", "--yes", "-q"); p.code != 3 { // one card is refused
			t.Fatalf("exit %d: %s%s", p.code, p.out, p.err)
		}
		world, err := pvesim.LoadWorld(worlds.Homelab)
		if err != nil {
			t.Fatal(err)
		}
		world, err = world.Continued(l.sim.State(), pvesim.Guest{OS: "ubuntu", Agent: true})
		if err != nil {
			t.Fatal(err)
		}
		madeWorld.World = &world
	}
	return labOf(t, *madeWorld.World)
}

func labOf(t *testing.T, world pvesim.World) *lab {
	t.Helper()
	sim, err := pvesim.New(world, pvesim.WithLog(func(string, ...any) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	l := &lab{t: t, sim: sim, liar: &liar{next: sim.Transport()}, document: filepath.Join(t.TempDir(), "lab.yaml")}
	if err := os.WriteFile(l.document, examples.Homelab, 0o600); err != nil {
		t.Fatal(err)
	}
	return l
}

// printed is what one command wrote.
type printed struct {
	args     []string
	terminal bool
	code     int
	out, err string
}

// run runs a command line with the documents of the lab, with or without a terminal.
func (l *lab) run(terminal bool, args ...string) printed {
	l.t.Helper()
	p := l.runAsTyped(terminal, slices.Concat(args, l.more, []string{"-f", l.document})...)
	p.args = args
	return p
}

// runAsTyped runs a command line and adds nothing to it.
func (l *lab) runAsTyped(terminal bool, args ...string) printed {
	l.t.Helper()
	var out, errOut bytes.Buffer
	size := func() (int, int) { return 100, 40 }
	program := cli.Program{
		Streams: cli.Streams{
			In:  l.in,
			Out: cli.Stream{Writer: &out, Terminal: terminal}, Err: cli.Stream{Writer: &errOut, Terminal: terminal},
		},
		NewEngine: func(request cli.EngineRequest) cli.Engine {
			return engine.New(engine.Options{
				By: "somebody@somewhere", Facts: request.Facts, NewUUID: l.newUUID, Log: request.Log,
				Open: func(_ context.Context, documents *v1alpha1.Documents, document *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
					login, err := loginOf(request, documents, document)
					if err != nil {
						return nil, err
					}
					login.Transport, login.Logger = l.wire(document.Name), callLog(request, documents, document)
					return proxmox.Open(document, login)
				},
			})
		},
		LookupEnv: func(name string) (string, bool) {
			if !strings.HasSuffix(name, "_TOKEN") {
				return "", false
			}
			if l.token != "" {
				return l.token, true
			}
			return labToken, true
		},
		Now: time.Now, Interrupts: l.interrupts,
	}
	if l.in == nil {
		program.In = strings.NewReader("")
	}
	if terminal {
		program.Out.Size, program.Err.Size = size, size
	}
	p := printed{args: args, terminal: terminal}
	p.code = program.Run(l.t.Context(), args)
	p.out, p.err = out.String(), errOut.String()
	return p
}

// wire is the connection to a hypervisor.
func (l *lab) wire(hypervisor string) http.RoundTripper {
	if other := l.others[hypervisor]; other != nil {
		return other
	}
	return l.liar
}

// looks are read-only commands; changes are commands that change something.
var (
	looks = [][]string{
		{"hosts"}, {"gpus"}, {"check"}, {"check", "--verbose"}, {"plan"}, {"status"}, {"status", "gpu-workers-1"},
		{"assert"}, {"orphans"}, {"export"}, {"replace", "gpu-workers-1"}, {"delete", "gpu-workers-1"}, {"adopt", "204", "--as", "gpu-workers-2"},
	}
	changes = [][]string{
		{"park", "gpu-workers-1", "--yes"}, {"unpark", "gpu-workers-1", "--yes"}, {"delete", "gpu-workers-1", "--yes"},
		{"apply", "--yes"}, {"orphans", "--release", "--yes"},
	}
)

// turns is the number of turns after which each command has run in each format.
const turns = 8

// tryAll runs most commands and checks their output. The format depends on the turn.
func (l *lab) tryAll(turn int) {
	l.t.Helper()
	for i, command := range slices.Concat(looks, changes) {
		switch look := i < len(looks); (turn + i) % turns {
		case 0:
			l.judge(l.run(false, slices.Concat(command, []string{"-v=2"})...))
		case 1:
			l.judge(l.run(true, command...))
		case 2:
			l.judgeBoth(command, look && command[0] != "export")
		default: // what changes something is what the others look at
			if !look && turn%2 == 0 {
				l.judge(l.run(turn%4 == 0, command...))
			}
		}
	}
}

// judgeBoth runs a command with output for machines. A read-only command must print the
// same in both formats.
func (l *lab) judgeBoth(command []string, same bool) {
	l.t.Helper()
	asJSON := l.run(false, slices.Concat(command, []string{"-o", "json"})...)
	asYAML := l.run(false, slices.Concat(command, []string{"-o", "yaml"})...)
	l.judge(asJSON)
	l.judge(asYAML)
	if same {
		l.sameInBoth(asJSON, asYAML)
	}
}

// sameInBoth fails the test unless both outputs have the same value.
func (l *lab) sameInBoth(asJSON, asYAML printed) {
	l.t.Helper()
	for _, texts := range [][2]string{{asJSON.out, asYAML.out}, {asJSON.err, asYAML.err}} {
		var a, b any
		if err := json.Unmarshal([]byte(texts[0]), &a); err != nil && strings.HasPrefix(texts[0], "{") {
			l.t.Errorf("%v: %v: %s", asJSON.args, err, short(texts[0]))
		}
		if err := yaml.Unmarshal([]byte(texts[1]), &b); err != nil && strings.HasPrefix(texts[0], "{") {
			l.t.Errorf("%v: %v: %s", asYAML.args, err, short(texts[1]))
		}
		if diff := cmp.Diff(a, b); diff != "" && strings.HasPrefix(texts[0], "{") { // standard error may have sentences
			l.t.Errorf("%v is another thing as YAML (-JSON +YAML):\n%s", asJSON.args, diff)
		}
	}
}

func short(text string) string { return text[:min(len(text), 500)] }

// honest is a run without lies, which records the texts that can be replaced.
const honest = "honest"

// bubble runs a test in simulated time with a lab whose workers exist.
func bubble(t *testing.T, name string, test func(l *lab)) {
	t.Run(name, func(t *testing.T) {
		if name != honest {
			t.Parallel()
		}
		synctest.Test(t, func(t *testing.T) {
			test(newMadeLab(t))
		})
	})
}

// Each text of each answer is replaced in turn.
func TestTextsOfAHypervisorAreHarmlessEverywhere(t *testing.T) {
	var all []place
	bubble(t, honest, func(l *lab) {
		l.liar.record()
		for turn := range turns {
			l.tryAll(turn)
		}
		all = l.liar.places()
	})
	if len(all) < 80 {
		t.Fatalf("only %d places were seen", len(all))
	}
	for i, at := range all {
		texts := hostileTexts[i%len(hostileTexts):][:1]
		if strings.Contains(at.key, "description") || strings.HasSuffix(at.key, "[name].value") {
			texts = append([]string{hostileRecord}, hostileTexts...)
		}
		for n, text := range texts {
			if (i+n)%thorough.Every > 0 {
				continue
			}
			bubble(t, fmt.Sprint(i, n, " ", at), func(l *lab) {
				l.liar.lie(at, text, i+n)
				for turn := i + n; l.liar.lies == 0; turn++ {
					if turn == i+n+turns {
						l.t.Fatal("nothing was planted")
					}
					l.tryAll(turn)
				}
			})
		}
	}
}

// Each call fails in turn, with a planted error message.
func TestErrorsOfAHypervisorAreHarmlessEverywhere(t *testing.T) {
	var all []string
	bubble(t, honest, func(l *lab) {
		l.liar.record()
		for turn := range turns {
			l.tryAll(turn)
		}
		all = l.liar.calls()
	})
	for i, call := range all {
		if i%thorough.Every > 0 {
			continue
		}
		bubble(t, fmt.Sprint(i, " ", call), func(l *lab) {
			l.liar.fail(call, hostileTexts[i%len(hostileTexts)], i)
			l.tryAll(i)
		})
	}
}

// Reading the output gives exactly the planted text, in both formats.
func TestTextsOfAHypervisorAreReadBackExactly(t *testing.T) {
	for _, test := range []struct {
		at      place
		command []string
	}{
		{place{"GET /nodes/*/qemu/*/pending", ".data[name].value"}, []string{"gpus"}},
		{place{"GET /version", ".data.version"}, []string{"check"}},
		{place{"GET /nodes/*/storage", ".data[].storage"}, []string{"hosts"}},
	} {
		for i, text := range hostileTexts[:3] {
			bubble(t, fmt.Sprint(test.at, i), func(l *lab) {
				l.liar.lie(test.at, text, 1)
				for format, read := range map[string]func([]byte, any) error{
					"json": json.Unmarshal, "yaml": func(data []byte, into any) error { return yaml.Unmarshal(data, into) },
				} {
					p := l.run(false, slices.Concat(test.command, []string{"-o", format})...)
					var value any
					if err := read([]byte(p.out), &value); err != nil {
						l.t.Fatalf("%v: %v", p.args, err)
					}
					if !slices.ContainsFunc(leaves(value), func(s string) bool { return strings.TrimSpace(s) == strings.TrimSpace(text) }) {
						l.t.Errorf("%v does not have what was planted: %s", p.args, short(p.out))
					}
				}
			})
		}
	}
}

// The log and the result of a task are text of the server too.
func TestTextsOfTasksAreHarmlessEverywhere(t *testing.T) {
	for i, text := range hostileTexts {
		for _, path := range []string{"/clone$", "/status/start$"} {
			bubble(t, fmt.Sprint(path, i), func(l *lab) {
				if err := l.sim.Inject(pvesim.Fault{Path: path, Effect: pvesim.TaskFails, Text: text, Times: -1}); err != nil {
					l.t.Fatal(err)
				}
				l.tryAll(i)
			})
		}
	}
}
