package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// BenchmarkThePlanOfALargeCluster runs the program itself against 200 hosts with
// 1,000 GPUs and 5,000 VMs, over HTTPS, and reports the peak memory of the process,
// and that of a plan for one host.
func BenchmarkThePlanOfALargeCluster(b *testing.B) {
	var small, large process
	for b.Loop() {
		small = small.or(planOf(b, pvesim.Fleet{Hosts: 1, GPUs: 5, VMs: 25}, "1"))
		large = large.or(planOf(b, pvesim.Fleet{Hosts: 200, GPUs: 5, VMs: 25}, "64"))
	}
	b.ReportMetric(float64(large.memory)/(1<<20), "max-MiB")
	b.ReportMetric(float64(small.memory)/(1<<20), "max-MiB-of-1-host")
	b.ReportMetric(large.cpu.Seconds(), "cpu-s")
}

// process is the resource use of a run of the program.
type process struct {
	memory int64 // peak, in bytes
	cpu    time.Duration
}

func (p process) or(other process) process {
	return process{max(p.memory, other.memory), max(p.cpu, other.cpu)}
}

func planOf(b *testing.B, fleet pvesim.Fleet, workers string) process {
	b.Helper()
	world := fleet.World()
	sim, err := pvesim.New(world, pvesim.WithLog(func(string, ...any) {}))
	if err != nil {
		b.Fatal(err)
	}
	defer sim.Close()
	server := httptest.NewUnstartedServer(sim)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // drop messages about unused connections
	server.StartTLS()
	defer server.Close()
	sum := sha256.Sum256(server.Certificate().Raw)
	file := filepath.Join(b.TempDir(), "fleet.yaml")
	documents := strings.NewReplacer("${ENDPOINT}", server.URL, "${FINGERPRINT}", hex.EncodeToString(sum[:])).Replace(loginDocuments) + `---
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: gpu}
spec:
  hypervisor: lab
  kubeCluster: rke2-lab
  gpus: [{model: Tesla T4, count: ` + workers + `}]
  template: {name: ubuntu-22.04}
  machine: {memory: 8Gi}
`
	if err := os.WriteFile(file, []byte(documents), 0o600); err != nil {
		b.Fatal(err)
	}
	command := exec.CommandContext(b.Context(), "gpuworker", "plan", "-f", file, "-o", "json")
	command.Env = append(os.Environ(), "PVE_TOKEN="+world.Tokens[0].ID+"="+world.Tokens[0].Secret)
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	memory := make(chan int64)
	ended := make(chan struct{})
	go func() { memory <- highWater(command.Process.Pid, ended) }()
	err = command.Wait()
	close(ended)
	if err != nil || !strings.Contains(out.String(), `"action": "create"`) {
		b.Fatalf("%v\n%.2000s", err, &out)
	}
	return process{<-memory, command.ProcessState.UserTime() + command.ProcessState.SystemTime()}
}

// highWater returns the peak memory of a process, in bytes. The value of wait(2) is
// not used, because it includes that of the parent (proc_pid_status(5), VmHWM).
func highWater(pid int, ended <-chan struct{}) (most int64) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if _, after, ok := strings.Cut(string(status), "VmHWM:"); ok {
			var kib int64
			_, _ = fmt.Sscan(after, &kib)
			most = max(most, kib*1024)
		}
		select {
		case <-ended:
			return most
		case <-tick.C:
		}
	}
}
