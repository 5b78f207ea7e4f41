package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// oldWorlds has clusters as the program of commit 7a8fc8a left them, and their documents;
// its README.md says how they were made.
const oldWorlds = "../../../testdata/worlds-7a8fc8a"

// A claim is in the PCI resource mapping of its card.
const (
	register1 = "gpu-pve1-0000-03-00" // of gpu-1; made by the program of then
	register2 = "gpu-pve2-0000-81-00" // of gpu-2; made by a person, who described it
	byAPerson = "the card beside the fan"
)

var allWorkers = []string{"gpu-1", "gpu-2", "plain-1", "plain-2"}

// oldLab is a cluster that an older program changed, and the current program. Each change
// is checked against the invariants.
type oldLab struct {
	*lab
	foreign map[int]pvesim.VMState // VMs of other people, as they must stay
	writes  *writes
	// madeAnew is how many plain workers may be destroyed and made again.
	madeAnew int

	mu      sync.Mutex
	named   []string     // workers that the command names
	before  pvesim.State // of the last event
	broken  []string
	started pvesim.State // the world as it was found
}

// openOld starts a cluster from a world file. Call it inside the synctest bubble.
func openOld(t *testing.T, world string) *oldLab {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(oldWorlds, world+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	found, err := pvesim.LoadWorld(data)
	if err != nil {
		t.Fatal(err)
	}
	l := &oldLab{foreign: map[int]pvesim.VMState{}}
	sim, err := pvesim.New(found, pvesim.WithLog(func(string, ...any) {}), pvesim.WithHook(l.judge))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	l.writes = &writes{next: sim.Transport()}
	l.lab = &lab{t: t, sim: sim, liar: &liar{next: l.writes}, document: filepath.Join(t.TempDir(), "lab.yaml")}
	l.started = sim.State()
	l.before = l.started
	for id, vm := range l.started.VMs {
		if recordIn(vm.Config["description"]) == nil {
			l.foreign[id] = vm
		}
	}
	if strings.HasSuffix(world, "-mark") {
		// A VM that was marked and not yet configured has the template's firmware,
		// and a plain worker may be replaced when that differs.
		l.madeAnew = 2
	}
	l.declare()
	return l
}

// declare writes the documents, with texts replaced: old, new, old, new.
func (l *oldLab) declare(changes ...string) {
	l.t.Helper()
	data, err := os.ReadFile(filepath.Join(oldWorlds, "lab.yaml"))
	if err != nil {
		l.t.Fatal(err)
	}
	text := string(data)
	for i := 0; i+1 < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			l.t.Fatalf("lab.yaml has no %q", changes[i])
		}
		text = strings.Replace(text, changes[i], changes[i+1], 1)
	}
	if err := os.WriteFile(l.document, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// declareNoPools writes documents with only the Hypervisor and the KubeCluster.
func (l *oldLab) declareNoPools() {
	l.t.Helper()
	data, err := os.ReadFile(l.document)
	if err != nil {
		l.t.Fatal(err)
	}
	rest, _, _ := strings.Cut(string(data), "---\napiVersion: gpuworker.io/v1alpha1\nkind: WorkerPool")
	if err := os.WriteFile(l.document, []byte(rest), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// must runs a command line that must succeed. If it is a destroying verb, it may destroy
// the workers that it names.
func (l *oldLab) must(line string) printed {
	l.t.Helper()
	args := strings.Fields(line)
	l.mu.Lock()
	l.named = nil
	if args[0] == "replace" || args[0] == "delete" {
		l.named = args[1:]
	}
	l.mu.Unlock()
	p := l.run(false, args...)
	if p.code != 0 {
		l.t.Errorf("gpuworker %s: exit code %d:\n%s%s", line, p.code, p.out, p.err)
	}
	return p
}

// unwritten runs a command line that must not write anything to the cluster.
func (l *oldLab) unwritten(code int, line string) printed {
	l.t.Helper()
	l.writes.take()
	before := l.sim.State()
	p := l.run(false, strings.Fields(line)...)
	if p.code != code {
		l.t.Errorf("gpuworker %s: exit code %d, want %d:\n%s%s", line, p.code, code, p.out, p.err)
	}
	if written := l.writes.take(); len(written) > 0 {
		l.t.Errorf("gpuworker %s wrote: %v", line, written)
	}
	if diff := cmp.Diff(before, l.sim.State()); diff != "" {
		l.t.Errorf("gpuworker %s changed the cluster:\n%s", line, diff)
	}
	return p
}

// planned is the summary of "gpuworker plan".
type planned struct {
	Create, Start, Change, Restart, Stop, Destroy, Refused, Held, Keep int
}

func (l *oldLab) plan() planned {
	l.t.Helper()
	var view struct{ Summary planned }
	p := l.unwritten(0, "plan -o json")
	if err := json.Unmarshal([]byte(p.out), &view); err != nil {
		l.t.Fatalf("%v: %s", err, p.out)
	}
	return view.Summary
}

// writes is a connection that records calls that change something.
type writes struct {
	next http.RoundTripper
	mu   sync.Mutex
	seen []string
}

func (w *writes) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method != http.MethodGet {
		w.mu.Lock()
		w.seen = append(w.seen, request.Method+" "+request.URL.Path)
		w.mu.Unlock()
	}
	return w.next.RoundTrip(request)
}

// take returns the calls since the last take.
func (w *writes) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = nil
	return seen
}

// judge checks one change against the invariants.
func (l *oldLab) judge(e pvesim.Event) {
	state := e.State()
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.before
	l.before = state
	breakf := func(format string, args ...any) {
		l.broken = append(l.broken, fmt.Sprintf("%s of VM %d %s: ", e.Kind, e.VMID, e.ID)+fmt.Sprintf(format, args...))
	}
	for card, vms := range holders(state) {
		if len(vms) > 1 {
			breakf("VMs %v have card %s", vms, card)
		}
	}
	for id, was := range l.foreign {
		is, there := state.VMs[id]
		if !there || is.Running != was.Running || !maps.Equal(is.Config, was.Config) || !maps.Equal(is.Pending, was.Pending) {
			breakf("VM %d (%s) of somebody else was touched", id, was.Name)
		}
	}
	gone := recordIn(before.VMs[e.VMID].Config["description"])["worker"]
	if e.Kind == pvesim.VMDestroyed && strings.HasPrefix(gone, "gpu-") && !slices.Contains(l.named, gone) {
		breakf("semi-persistent worker %s was destroyed, and nobody named it", gone)
	}
	if len(state.Damage) > 0 {
		breakf("a start took %v from the host", state.Damage)
	}
}

// holders returns the VMs of each card, by its mapping, in the current or pending
// configuration.
func holders(state pvesim.State) map[string][]int {
	all := map[string][]int{}
	for id, vm := range state.VMs {
		for _, options := range []map[string]string{vm.Config, vm.Pending} {
			if card := cardIn(options); card != "" && !slices.Contains(all[card], id) {
				all[card] = append(all[card], id)
			}
		}
	}
	return all
}

// cardIn returns the mapping of the card in a VM's options, "" for none.
func cardIn(options map[string]string) string {
	for key, value := range options {
		if strings.HasPrefix(key, "hostpci") {
			first, _, _ := strings.Cut(value, ",")
			return strings.TrimPrefix(first, "mapping=")
		}
	}
	return ""
}

// recordIn returns the fields of gpuworker's record in a note or description; nil for
// none. Words without a value have an empty one.
func recordIn(text string) map[string]string {
	_, line, found := strings.Cut(text, "gpuworker: ")
	if !found {
		return nil
	}
	line, _, _ = strings.Cut(line, "\n")
	record := map[string]string{}
	for _, word := range strings.Fields(line) {
		key, value, _ := strings.Cut(word, "=")
		record[key] = value
	}
	return record
}
