package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// A plan is written by one process and applied by another.

// planScene is a command that writes a plan, and its cluster.
type planScene struct {
	name, world string
	prepare     func(*oldLab)
	line        string // the command; with --yes it does what it says
	plan        string // the flags with which it writes the plan instead
	asks        bool   // without --yes it asks, else it is a dry run
}

func planScenes() []planScene {
	return []planScene{
		{name: "create", world: "empty", line: "apply", plan: "plan", asks: true},
		{name: "change", world: "complete", prepare: func(l *oldLab) { l.declare("memory: 8Gi", "memory: 12Gi", "rack: r7", "rack: r8") }, line: "apply --allow-restart", plan: "plan --allow-restart", asks: true},
		{name: "replace", world: "complete", line: "replace gpu-1 plain-1", plan: "replace gpu-1 plain-1"},
		{name: "delete", world: "complete", line: "delete gpu-1 plain-2", plan: "delete gpu-1 plain-2"},
		{name: "park", world: "complete", line: "park gpu-1", plan: "park gpu-1 --dry-run", asks: true},
		{name: "unpark", world: "parked", line: "unpark gpu-1", plan: "unpark gpu-1 --dry-run", asks: true},
		{name: "adopt", world: "complete", prepare: func(l *oldLab) { l.unmark("gpu-1") }, line: "adopt 9100 --as gpu-1", plan: "adopt 9100 --as gpu-1 --dry-run", asks: true},
		{name: "disown", world: "complete", line: "disown gpu-1", plan: "disown gpu-1 --dry-run", asks: true},
		{name: "orphans", world: "orphans-01-releasing", prepare: (*oldLab).declareNoPools, line: "orphans --release", plan: "orphans --release"},
	}
}

// unmark removes all our marks from a VM by hand, so that it can be adopted.
func (l *oldLab) unmark(worker string) {
	l.t.Helper()
	ctx, root := context.Background(), l.root()
	for id, vm := range l.sim.State().VMs {
		if vm.Name != worker {
			continue
		}
		card := cardIn(vm.Config)
		mapping, err := root.Mapping(ctx, card)
		if err == nil {
			err = root.UpdateMapping(ctx, pve.MappingUpdate{ID: mapping.ID, Map: mapping.Map, Description: "by hand"})
		}
		if err == nil {
			err = root.UpdateConfig(ctx, vm.Host, id, pve.ConfigUpdate{Set: map[string]string{"tags": "lab", "description": "by hand", "name": "trainer"}})
		}
		if err != nil || strconv.Itoa(id) != "9100" {
			l.t.Fatal(id, err)
		}
	}
}

func (l *oldLab) root() *pve.Client {
	l.t.Helper()
	client, err := pve.New(pve.Options{Endpoint: "https://pve1:8006", Username: "root@pam", Password: "root", Transport: l.sim.Transport()})
	if err != nil {
		l.t.Fatal(err)
	}
	return client
}

// inScene runs a test on the cluster of a scene, with the plan in a file. New identities
// are predictable, so that two runs can be compared.
func inScene(t *testing.T, s planScene, format string, test func(l *oldLab, file string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := openOld(t, s.world)
		made := 0
		l.newUUID = func() string { made++; return fmt.Sprintf("00000000-0000-4000-8000-%012d", made) }
		if s.prepare != nil {
			s.prepare(l)
		}
		l.allowed(s.line)
		file := filepath.Join(filepath.Dir(l.document), "p."+format)
		p := l.run(false, append(strings.Fields(s.plan), "-o", format)...)
		if p.code != 0 {
			t.Fatalf("gpuworker %s: exit code %d:\n%s%s", s.plan, p.code, p.out, p.err)
		}
		if err := os.WriteFile(file, []byte(p.out), 0o600); err != nil {
			t.Fatal(err)
		}
		made = 0
		l.writes.take()
		test(l, file)
		for _, text := range l.broken {
			t.Error(text)
		}
	})
}

// allowed allows the destruction of the workers that a command line names, if it is a
// destroying verb.
func (l *oldLab) allowed(line string) {
	args := strings.Fields(line)
	l.mu.Lock()
	defer l.mu.Unlock()
	if args[0] == "replace" || args[0] == "delete" {
		l.named = args[1:]
	}
}

// ledTo returns the final state of a run as text, to be compared with another run, without
// the hypervisor's own tasks and times.
func ledTo(t *testing.T, s pvesim.State) string {
	t.Helper()
	var text strings.Builder
	for id, vm := range s.VMs {
		fmt.Fprintf(&text, "%d %s %s %v %q %v %v\n", id, vm.Host, vm.Name, vm.Running, vm.Lock, vm.Config, vm.Pending)
	}
	for name, mapping := range s.Mappings {
		fmt.Fprintf(&text, "%s %v %q\n", name, mapping.Map, mapping.Description)
	}
	return sorted(text.String())
}

// The result of each verb is the same when one process plans it and another applies it,
// and when one process does both.
func TestAPlanIsAppliedByAnotherProcess(t *testing.T) {
	for _, s := range planScenes() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			var want string
			inScene(t, s, "json", func(l *oldLab, _ string) {
				l.must(s.line + " --yes")
				want = ledTo(t, l.sim.State())
				if want == ledTo(t, l.started) {
					t.Fatal("the command changes nothing, so the test proves nothing")
				}
			})
			for _, format := range []string{"json", "yaml"} {
				for _, given := range []string{"", " -f "} {
					inScene(t, s, format, func(l *oldLab, file string) {
						line := "apply --plan " + file
						if given != "" {
							line += given + l.document
						}
						l.asVerb(s, line)
						p := l.typed(line + " --yes")
						if p.code != 0 {
							t.Fatalf("gpuworker %s --yes: exit code %d:\n%s%s", line, p.code, p.out, p.err)
						}
						if !strings.Contains(p.out, "gpuworker status -f ") {
							t.Errorf("the next command does not say that it needs documents:\n%s", p.out)
						}
						if diff := cmp.Diff(want, ledTo(t, l.sim.State())); diff != "" {
							t.Errorf("%s%s leads elsewhere (-the verb itself +apply --plan):\n%s", format, given, diff)
						}
						l.writes.take()
						time.Sleep(time.Second)
						if p := l.typed(line + " --yes"); p.code != 0 {
							t.Errorf("again: exit code %d:\n%s%s", p.code, p.out, p.err)
						}
						if written := l.writes.take(); len(written) > 0 {
							t.Errorf("again, it writes: %v", written)
						}
					})
				}
			}
		})
	}
}

// typed runs a command line as it is.
func (l *oldLab) typed(line string) printed { return l.runAsTyped(false, strings.Fields(line)...) }

// asVerb fails the test unless an unconfirmed plan file ends like its verb, with a dry run
// or a request for --yes, and the cluster is unchanged.
func (l *oldLab) asVerb(s planScene, line string) {
	l.t.Helper()
	before := l.sim.State()
	p := l.typed(line)
	code, says := fault.ExitOK, "This was a dry run: add --yes to do it."
	if s.asks {
		code, says = fault.ExitInvalid, "confirmation is required"
	}
	if p.code != code || !strings.Contains(p.out+p.err, says) {
		l.t.Errorf("gpuworker %s: exit code %d, want %d and %q:\n%s%s", line, p.code, code, says, p.out, p.err)
	}
	if !strings.HasPrefix(p.out, "Hypervisor lab") {
		l.t.Errorf("the plan is not shown:\n%s", p.out)
	}
	dry := l.typed(line + " --dry-run")
	if dry.code != 0 || !strings.Contains(dry.out, "This was a dry run: nothing was changed.") {
		l.t.Errorf("a dry run: exit code %d:\n%s%s", dry.code, dry.out, dry.err)
	}
	if diff := cmp.Diff(before, l.sim.State()); diff != "" || len(l.writes.take()) > 0 {
		l.t.Errorf("gpuworker %s changed the cluster:\n%s", line, diff)
	}
}

func sorted(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
