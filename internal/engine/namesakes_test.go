package engine_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// TestAReplaceThatWaitedDestroysNoVMThatWasNotShown: a person confirms a replace while
// another replace of the same worker is cloning, and the plan shows only that it waits
// for a clone. The new VM of the other replace must not be destroyed then.
func TestAReplaceThatWaitedDestroysNoVMThatWasNotShown(t *testing.T) {
	t.Run("applied at once", func(t *testing.T) { replaceAfterAColleague(t, 0) })
	t.Run("applied when the colleague is done", func(t *testing.T) { replaceAfterAColleague(t, 5*time.Minute) })
}

func replaceAfterAColleague(t *testing.T, later time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, made(t, solo), func(w *pvesim.World) {
			timings := pvesim.DefaultTimings()
			timings.CloneFullMin = pvesim.Duration(10 * time.Minute)
			timings.CloneLinked = pvesim.Duration(20 * time.Second)
			w.Timings = &timings
		})
		l.allow("gpu-1")
		ctx := context.Background()
		colleague := make(chan error, 1)
		go func() { colleague <- replace("gpu-1")(ctx, l.engine("red@desk", solo, nil)) }()
		slow, err := l.root().Clone(ctx, "pve1", 9000, pve.CloneOptions{NewID: 9150, Name: "theirs", Full: true})
		l.must(err)
		l.mu.Lock()
		l.before = l.sim.State()
		l.mu.Unlock()

		e := l.engine("blue@desk", solo, nil)
		var plans engine.Plans
		for range 100 {
			time.Sleep(500 * time.Millisecond)
			plans, err = e.PlanReplace(ctx, replaceOptions{Names: []string{"gpu-1"}})
			l.must(err)
			if plans.Plans[0].Pools[0].Workers[0].Action == plan.Wait {
				break
			}
		}
		if action := plans.Plans[0].Pools[0].Workers[0].Action; action != plan.Wait {
			t.Fatalf("the clone was never to be waited for: %s", action)
		}
		time.Sleep(later)
		_, err = e.Apply(ctx, plans, engine.ApplyOptions{})
		if later > 0 && !fault.Is(err, fault.Conflict) {
			t.Errorf("the plan that was agreed to showed no VM: %v", err)
		}
		l.must(<-colleague)
		l.await(slow, nil)
		l.whole()
	})
}

// twice is documents with a second Hypervisor before the first.
func twice(t *testing.T, endpoint, documents string) string {
	t.Helper()
	first, _, _ := strings.Cut(header, "---")
	return strings.NewReplacer("name: lab", "name: second", "https://pve1:8006", endpoint, "9100", "9200", "9199", "9299").Replace(first) + "---" + documents
}

// TestOneHypervisorUnderTwoNames: two Hypervisor documents with one endpoint, as for
// two logins, see each other's workers. These are declared, and reported once.
func TestOneHypervisorUnderTwoNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		documents := onlyGPU1AndPlain()
		l := newLab(t, made(t, documents))
		file := filepath.Join(t.TempDir(), "lab.yaml")
		run := func(want int, once string, line string) {
			t.Helper()
			code, out := l.typed(l.sim.Transport(), nil, append(strings.Fields(line), "-f", file)...)
			if code != want || strings.Count(out, once) != 1 || strings.Contains(out, "no document declares it") != (want == fault.ExitDiffers) {
				t.Errorf("gpuworker %s: code %d, want %d and once %q:\n%s", line, code, want, once, out)
			}
		}
		l.must(os.WriteFile(file, []byte(twice(t, "https://pve1:8006", documents)), 0o600))
		run(fault.ExitOK, "= gpu-1", "plan")
		run(fault.ExitOK, "plain-1  pve1", "status plain-1")
		run(fault.ExitOK, `"held": 0`, "orphans -o json")
		run(fault.ExitOK, "To be destroyed: gpu-1.", "delete gpu-1")
		run(fault.ExitOK, "To be destroyed: gpu-1.", "replace gpu-1")
		run(fault.ExitOK, "1 to stop", "park gpu-1 --yes")
		run(fault.ExitOK, "unparked", "unpark gpu-1 --yes")
		run(fault.ExitOK, "gpu-9: does not exist, nothing to delete", "delete gpu-9 --yes")
		nothing := header[:strings.LastIndex(header, "---")]
		l.must(os.WriteFile(file, []byte(twice(t, "https://pve1:8006", nothing)), 0o600))
		run(fault.ExitDiffers, "plain-1", "assert -q")
		l.whole()
		l.only("gpu-1", "plain-1")
	})
}

// TestANameOnTwoHypervisorsMeansTheDeclaredOne: when two hypervisors have a worker of
// the same name, a command by name means the one of the declared pool. Without such a
// pool the command is refused.
func TestANameOnTwoHypervisorsMeansTheDeclaredOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		documents := onlyGPU1AndPlain()
		l := newLab(t, made(t, documents)) // answers at both endpoints
		file := filepath.Join(t.TempDir(), "lab.yaml")
		run := func(want int, says string, line string) string {
			t.Helper()
			code, out := l.typed(l.sim.Transport(), nil, append(strings.Fields(line), "-f", file)...)
			if code != want || !strings.Contains(out, says) {
				t.Errorf("gpuworker %s: code %d, want %d and %q:\n%s", line, code, want, says, out)
			}
			return out
		}
		l.must(os.WriteFile(file, []byte(twice(t, "https://pve2:8006", documents)), 0o600))
		for _, verb := range []string{"delete", "replace", "park"} {
			if out := run(map[bool]int{true: fault.ExitInvalid}[verb == "park"], "Hypervisor lab ", verb+" gpu-1"); strings.Contains(out, "Hypervisor second ") {
				t.Errorf("%s means both:\n%s", verb, out)
			}
		}
		run(fault.ExitDiffers, "", "assert")
		run(fault.ExitOK, "another Hypervisor document declares a worker of this name", "plan")
		nothing := header[:strings.LastIndex(header, "---")]
		l.must(os.WriteFile(file, []byte(twice(t, "https://pve2:8006", nothing)), 0o600))
		for _, line := range []string{"delete gpu-1 --yes", "park plain-1 gpu-1 --yes"} {
			run(fault.ExitInvalid, "hypervisors second and lab both have a worker of this name", line)
		}
		l.whole()
		l.only("gpu-1", "plain-1")
	})
}

// TestAWorkerOnAHostThatIsOffIsNotGone: Proxmox lists the VMs of such a host without
// names. A plain worker among them is not made a second time and not reported as
// missing.
func TestAWorkerOnAHostThatIsOffIsNotGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.must(apply(context.Background(), l.engine("ops@desk", fleet, nil)))
		l.must(l.sim.SetHostOnline(l.sim.State().VMs[l.vmid("plain-1")].Host, false))
		file := filepath.Join(t.TempDir(), "lab.yaml")
		l.must(os.WriteFile(file, []byte(fleet), 0o600))
		for line, code := range map[string]int{
			"plan": fault.ExitCheck, "apply --yes": fault.ExitCheck, "delete plain-1 --yes": fault.ExitCheck, "delete plain-2 --yes": fault.ExitCheck,
			"replace plain-1 --yes": fault.ExitCheck, "park plain-1 --yes": fault.ExitCheck, "status plain-1": fault.ExitOK,
		} {
			got, out := l.typed(l.sim.Transport(), nil, append(strings.Fields(line), "-f", file)...)
			if text := strings.Join(strings.Fields(out), " "); got != code || !strings.Contains(text, "but cannot be read: its host") {
				t.Errorf("gpuworker %s: code %d, want %d:\n%s", line, got, code, out)
			}
		}
		l.whole()
		l.must(l.sim.SetHostOnline("pve1", true))
		l.only("gpu-1", "gpu-2", "plain-1")
	})
}
