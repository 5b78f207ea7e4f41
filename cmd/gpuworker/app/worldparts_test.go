package app

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// Two hypervisors in one file, one of them down. Work that does not depend on it is done,
// and the failure is reported once.

// farPools are a second Hypervisor and its pool.
const farPools = `
---
apiVersion: gpuworker.io/v1alpha1
kind: Hypervisor
metadata: {name: far}
spec:
  proxmox:
    endpoint: https://far.example.org:8006
    credentials: {token: {env: FAR_TOKEN}}
    vmids: {first: 9100, last: 9199}
---
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: away}
spec:
  hypervisor: far
  kubeCluster: rke2
  gpus: [{model: Tesla T4, count: 2}]
  template: {name: ubuntu-22.04}
  machine: {memory: 8Gi}
`

// twoLabs are two clusters: near, with workers that an older program made, and far, with
// the workers away-1 and away-2.
type twoLabs struct {
	*oldLab
	far *pvesim.Sim
}

// inTwoLabs runs a test with two clusters that both answer.
func inTwoLabs(t *testing.T, test func(l twoLabs)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		data, err := os.ReadFile(filepath.Join(oldWorlds, "empty.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		world, err := pvesim.LoadWorld(data)
		if err != nil {
			t.Fatal(err)
		}
		far, err := pvesim.New(world, pvesim.WithLog(func(string, ...any) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(far.Close)
		l := twoLabs{openOld(t, "complete"), far}
		l.declareBoth()
		l.answers(far.Transport())
		l.must("apply --yes")
		test(l)
		for _, text := range l.broken {
			t.Error(text)
		}
	})
}

// declareBoth adds the second hypervisor to the documents.
func (l twoLabs) declareBoth() {
	l.t.Helper()
	near, err := os.ReadFile(l.document)
	if err != nil {
		l.t.Fatal(err)
	}
	l.write(l.document, append(near, farPools...))
}

// answers replaces the connection to the far cluster.
func (l twoLabs) answers(wire http.RoundTripper) {
	l.others = map[string]http.RoundTripper{"far": wire}
}

// wayDown is a way in which a hypervisor does not answer.
type wayDown struct {
	name string
	code int
	wire http.RoundTripper
	says string
}

type wire func(*http.Request) (*http.Response, error)

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

func fails(err error) wire {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

func waysDown() []wayDown {
	return []wayDown{
		{"refused", fault.ExitUnavailable, fails(&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 8006}, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}), "connection refused"},
		{"no such name", fault.ExitUnavailable, fails(&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "far.example.org", IsNotFound: true}}), "no such host"},
		{"hangs", fault.ExitUnavailable, wire(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }), "no answer within 1m0s"},
		{"another certificate", fault.ExitDenied, fails(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), "cannot be trusted"},
		{"a login that is refused", fault.ExitDenied, wire(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 401, Status: "401 invalid token value!", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: io.NopCloser(strings.NewReader("")), Header: http.Header{}, Request: r}, nil
		}), "invalid token value"},
	}
}

// Each of these commands still works for the hypervisor that answers.
func TestWorkThatDoesNotDependOnAFailedHypervisorIsDone(t *testing.T) {
	for _, down := range waysDown() {
		t.Run(down.name, func(t *testing.T) {
			t.Parallel()
			inTwoLabs(t, func(l twoLabs) {
				l.answers(down.wire)
				for _, c := range []struct{ line, says string }{
					{"plan", "Hypervisor far could not be observed"},
					{"status", "gpu-1"},
					{"status gpu-1", "Attached"},
					{"check", "passed"},
					{"assert", "As declared: 4 workers on lab"},
					{"gpus", "in use"},
					{"hosts", "pve2"},
					{"orphans", "No orphans on lab"},
					{"apply --yes", "Nothing was changed."},
					{"park gpu-1 plain-1 --yes", "✓ parked"},
					{"unpark gpu-1 plain-1 --yes", "✓ unparked"},
					{"replace gpu-2 --yes", "✓ replaced"},
					{"delete plain-2 --yes", "✓ destroyed"},
					{"assert", "Not as declared: 1 worker differs"},
					{"apply --yes", "✓ created"},
					{"delete gpu-9 plain-2 --yes", "gpu-9: does not exist, nothing to delete"},
					{"orphans --release --yes", "Nothing was changed."},
					{"disown plain-1 --yes", "✓ disowned"},
				} {
					l.allowed(c.line)
					l.reportsOnce(down, c.line, c.says)
				}
			})
		})
	}
}

// reportsOnce runs a command while the far hypervisor is down. It fails the test unless the
// output has the given text about the near one, and reports the far one once, with the
// reason.
func (l twoLabs) reportsOnce(down wayDown, line, says string) {
	l.t.Helper()
	p := l.run(false, strings.Fields(line)...)
	if p.code != down.code || !strings.Contains(p.out, says) {
		l.t.Errorf("gpuworker %s: exit code %d, want %d and %q:\n%s%s", line, p.code, down.code, says, p.out, p.err)
	}
	if strings.Count(p.out+p.err, down.says) != 1 || strings.Count(p.err, "Error:") != 1 || !strings.Contains(p.err, "far") || !strings.Contains(p.err, "Next:") {
		l.t.Errorf("gpuworker %s does not say once that far is down (%q), and what to do:\n%s%s", line, down.says, p.out, p.err)
	}
	l.lab.judge(p)
	if strings.Contains(line, "--yes") {
		return
	}
	p = l.run(false, append(strings.Fields(line), "-o", "json")...)
	var result struct {
		Unseen []struct{ Hypervisor, Why, Fix string }
	}
	var problem struct {
		Error struct {
			Message string
			Others  []any
		}
	}
	if err := json.Unmarshal([]byte(p.out), &result); err != nil || p.code != down.code {
		l.t.Errorf("gpuworker %s -o json: exit code %d, want %d: %v:\n%s%s", line, p.code, down.code, err, short(p.out), p.err)
	}
	if err := json.Unmarshal([]byte(p.err), &problem); err != nil || len(problem.Error.Others) > 0 || !strings.Contains(problem.Error.Message, down.says) {
		l.t.Errorf("gpuworker %s -o json: the error does not say that far is down: %v:\n%s", line, err, p.err)
	}
	if len(result.Unseen) != 1 || result.Unseen[0].Hypervisor != "far" || !strings.Contains(result.Unseen[0].Why, down.says) || result.Unseen[0].Fix == "" {
		l.t.Errorf("gpuworker %s -o json: unseen is %+v", line, result.Unseen)
	}
}

// down is the first way in which a hypervisor does not answer.
func (l twoLabs) down() { l.answers(waysDown()[0].wire) }

// A name is only reported as missing when every hypervisor that may have it has answered.
func TestNamesThatMayBeOnAHypervisorThatIsDown(t *testing.T) {
	for _, c := range []struct {
		line  string
		code  int
		says  string
		never string
		gone  string // that is destroyed all the same
	}{
		{"delete away-1 plain-1 --yes", fault.ExitUnavailable, `find "away-1": it is unknown whether it exists`, "away-1: does not exist", "plain-1"},
		{"delete nobody-1 gpu-2 --yes", fault.ExitUnavailable, `find "nobody-1": it is unknown whether it exists`, "nobody-1: does not exist", "gpu-2"},
		{"delete away-1 --yes", fault.ExitUnavailable, `find "away-1": it is unknown whether it exists`, "does not exist", ""},
		{"delete away-1 gpu-9 --yes", fault.ExitUnavailable, "gpu-9: does not exist, nothing to delete", "away-1: does not exist", ""},
		{"delete gpu-9 --yes", fault.ExitUnavailable, "gpu-9: does not exist, nothing to delete", "is unknown", ""},
		{"park away-1 gpu-1 --yes", fault.ExitUnavailable, `find "away-1": it is unknown whether it exists`, "no worker of this name", ""},
		{"replace away-1 --yes", fault.ExitUnavailable, `find "away-1": it is unknown whether it exists`, "no worker of this name", ""},
		{"status away-1 nobody-1 gpu-1", fault.ExitUnavailable, `find "away-1", "nobody-1": it is unknown whether it exists`, "no VM or claim has that name", ""},
		{"status away-1", fault.ExitUnavailable, `find "away-1": it is unknown whether it exists`, "no VM or claim has that name", ""},
		{"status gpu-9", fault.ExitFailed, "no VM or claim has that name", "is unknown", ""},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			inTwoLabs(t, func(l twoLabs) {
				l.down()
				l.allowed(c.line)
				p := l.run(false, strings.Fields(c.line)...)
				if p.code != c.code || !strings.Contains(p.out+p.err, c.says) || strings.Contains(p.out+p.err, c.never) {
					t.Errorf("exit code %d, want %d and %q, never %q:\n%s%s", p.code, c.code, c.says, c.never, p.out, p.err)
				}
				if strings.Count(p.err, "connection refused") != 1 {
					t.Errorf("it does not say once that far is down:\n%s%s", p.out, p.err)
				}
				l.without(c.gone)
				if workers := workersOf(l.far.State()); len(workers) != 2 {
					t.Errorf("far has %v", workers)
				}
				l.answers(l.far.Transport()) // the same command, when it answers again
				if !strings.Contains(c.line, "away-1") || !strings.Contains(c.line, "delete") {
					return
				}
				if p := l.run(false, strings.Fields(c.line)...); p.code != 0 || len(workersOf(l.far.State())) != 1 {
					t.Errorf("again: exit code %d:\n%s%s", p.code, p.out, p.err)
				}
			})
		})
	}
}

// without fails the test unless all workers except this one are on the near cluster.
func (l twoLabs) without(gone string) {
	l.t.Helper()
	want := slices.DeleteFunc(slices.Clone(allWorkers), func(name string) bool { return name == gone })
	if got := workersOf(l.sim.State()); !slices.Equal(got, want) {
		l.t.Errorf("workers: %v, want %v", got, want)
	}
}

// The identifier of a VM is one of the pool's hypervisor.
func TestAVMIsAdoptedWhereItsPoolIs(t *testing.T) {
	for name, prepare := range map[string]func(twoLabs){
		"the other has a VM of that identifier too": func(twoLabs) {},
		"the other is down":                         twoLabs.down,
	} {
		t.Run(name, func(t *testing.T) {
			inTwoLabs(t, func(l twoLabs) {
				if _, both := l.far.State().VMs[9100]; !both {
					t.Fatal("far has no VM 9100")
				}
				l.unmark("gpu-1")
				before := l.far.State()
				prepare(l)
				l.must("adopt 9100 --as gpu-1 --yes")
				l.without("")
				if diff := cmp.Diff(before.VMs, l.far.State().VMs); diff != "" {
					t.Errorf("far was changed:\n%s", diff)
				}
				if p := l.run(false, "adopt", "9100", "--as", "away-3", "--yes"); p.code == 0 || strings.Contains(p.out+p.err, "VM 9100 on pve1 becomes") {
					t.Errorf("exit code %d:\n%s%s", p.code, p.out, p.err)
				}
			})
		})
	}
}

func TestEachHypervisorIsReportedOnceWhenAllAreDown(t *testing.T) {
	inTwoLabs(t, func(l twoLabs) {
		l.down()
		l.liar.next = waysDown()[1].wire
		for _, line := range []string{"plan", "status", "status gpu-1", "check", "gpus", "hosts", "assert", "orphans", "apply --yes", "delete gpu-1 --yes", "export"} {
			p := l.run(false, strings.Fields(line)...)
			if p.code != fault.ExitUnavailable || p.out != "" || strings.Count(p.err, "connection refused") != 1 || strings.Count(p.err, "no such host") != 1 {
				t.Errorf("gpuworker %s: exit code %d:\n%s%s", line, p.code, p.out, p.err)
			}
		}
	})
}

// --all-or-nothing applies to all hypervisors of the documents together.
func TestAllOrNothingOnSeveralHypervisors(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(twoLabs)
		code    int
		says    string
	}{
		"one is down":           {twoLabs.down, fault.ExitUnavailable, "hypervisor far could not be observed, and all or nothing was asked for"},
		"one refuses something": {func(l twoLabs) { l.declareFar("count: 2", "count: 3") }, fault.ExitCheck, "a worker on hypervisor far is refused, and all or nothing was asked for"},
	} {
		t.Run(name, func(t *testing.T) {
			inTwoLabs(t, func(l twoLabs) {
				l.allowed("delete plain-2")
				l.must("delete plain-2 --yes")
				before := l.sim.State()
				c.prepare(l)
				for _, line := range []string{"plan --all-or-nothing", "apply --all-or-nothing --yes"} {
					p := l.run(false, strings.Fields(line)...)
					if p.code != c.code || !strings.Contains(p.out, c.says) {
						t.Errorf("gpuworker %s: exit code %d, want %d and %q:\n%s%s", line, p.code, c.code, c.says, p.out, p.err)
					}
				}
				if diff := cmp.Diff(before, l.sim.State()); diff != "" {
					t.Errorf("something was done:\n%s", diff)
				}
				p := l.run(false, "apply", "--yes") // without it, one does not wait for the other
				if p.code != c.code || len(workersOf(l.sim.State())) != len(allWorkers) {
					t.Errorf("exit code %d, want %d:\n%s%s", p.code, c.code, p.out, p.err)
				}
			})
		})
	}
}

// declareFar changes the documents of the far hypervisor.
func (l twoLabs) declareFar(old, now string) {
	l.t.Helper()
	data, err := os.ReadFile(l.document)
	if err != nil || !strings.Contains(string(data), old) {
		l.t.Fatalf("%v: no %s", err, old)
	}
	l.write(l.document, []byte(strings.Replace(string(data), old, now, 1)))
}

// A plan for two hypervisors is applied to the one that answers. A plan for one is not
// applied to two.
func TestAPlanFileWhenAHypervisorIsDown(t *testing.T) {
	inTwoLabs(t, func(l twoLabs) {
		file := l.document + ".json"
		l.allowed("delete plain-2 away-2")
		l.write(file, []byte(l.must("delete plain-2 away-2 -o json").out))
		l.down()
		l.allowed("delete plain-2 away-2")
		p := l.typed("apply --yes --plan " + file)
		if p.code != fault.ExitUnavailable || !strings.Contains(p.out, "✓ destroyed") || !strings.Contains(p.err, `find "away-2": it is unknown whether it exists`) {
			t.Errorf("while far is down: exit code %d:\n%s%s", p.code, p.out, p.err)
		}
		l.without("plain-2")
		l.answers(l.far.Transport())
		if p := l.typed("apply --yes --plan " + file); p.code != 0 || len(workersOf(l.far.State())) != 1 {
			t.Errorf("when far answers again: exit code %d:\n%s%s", p.code, p.out, p.err)
		}

		l.allowed("delete plain-1")
		l.must("delete plain-1 --yes")
		l.write(file, []byte(l.must("plan -o json").out))
		l.down()
		if p := l.typed("apply --yes --plan " + file); p.code != fault.ExitUnavailable || strings.Count(p.out, "✓ created") != 2 {
			t.Errorf("a plan of new workers, while far is down: exit code %d:\n%s%s", p.code, p.out, p.err)
		}
		p = l.run(false, "plan", "-o", "json")
		l.write(file, []byte(p.out))
		l.answers(l.far.Transport())
		if p := l.typed("apply --yes --plan " + file); p.code != fault.ExitConflict || !strings.Contains(p.err, "away-2: is new in the plan, to create") {
			t.Errorf("a plan without far: exit code %d:\n%s%s", p.code, p.out, p.err)
		}
	})
}
