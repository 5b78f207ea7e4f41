package guest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/bootstrap"
	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/testdata/worlds"
)

// pool is the document of the worker. The stand-in of the driver waits in the middle of
// its installation as long as /run/standin-hold exists.
const pool = `
apiVersion: gpuworker.io/v1alpha1
kind: Hypervisor
metadata: {name: lab}
spec:
  proxmox: {endpoint: "https://pve1:8006", credentials: {token: {env: PVE_TOKEN}}}
---
apiVersion: gpuworker.io/v1alpha1
kind: KubeCluster
metadata: {name: rke2}
spec: {server: "https://rke2.example.org:9345"}
---
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: gpu}
spec:
  hypervisor: lab
  kubeCluster: rke2
  gpus: [{id: "10de:1eb8", count: 1}]
  template: {name: ubuntu-22.04, os: %[1]s}
  networks:
    - {name: vmbr0, addresses: [10.77.0.21/24], gateway: 10.77.0.2, macs: ["bc:24:11:00:00:01"]}
    - {name: vmbr1, addresses: [10.78.0.21/24], macs: ["bc:24:11:00:00:02"]}
  dns: {servers: [10.77.0.3], search: [lab.example.org]}
  access: {user: ops, sshKeys: [%[2]q]}
  driver: %[3]s
  bootstrap:
    cloudInit:
      writeFiles:
        - {path: /etc/sysctl.d/90-e2e.conf, content: "vm.max_map_count = 262144\n", permissions: "0640"}
        - {path: /home/ops/notes.txt, content: "password ` + operatorSecret + `", permissions: "0600", owner: "ops:ops"}
        - {path: /run/standin-hold, content: "a test removes it"}
      runCommands: [date -u > /var/tmp/ran]
`

// operatorSecret is in a file of the document: after the bootstrap no other file of the
// guest may have it.
const operatorSecret = "ca4a4444-0000-4000-8000-5ec4e7000004"

const workerUUID = "6f1d0c2e-3b5a-4e1f-9c77-0a1b2c3d4e5f"

// worker is the worker of the pool, for a guest of this release and with this driver.
func (l *lab) worker(t *testing.T, os, strategy string) bootstrap.Worker {
	t.Helper()
	documents, _, err := document.Load(document.File{Name: "lab.yaml", Data: []byte(l.document(os, strategy))})
	if err != nil {
		t.Fatal(err)
	}
	p, _ := documents.WorkerPool("gpu")
	vm := bootstrap.VM{UUID: workerUUID, GPU: &guest.GPU{ID: "10de:1eb8"}}
	return bootstrap.WorkerOf(p, 1, vm, []bootstrap.Build{l.program}, "e2e")
}

func (l *lab) document(os, driver string) string { return fmt.Sprintf(pool, os, l.public, driver) }

// packages installs the stand-ins of the driver from the local repository.
func (l *lab) packages() string {
	return fmt.Sprintf(`{strategy: Packages, repository: {url: "http://%s", suites: [noble], components: [main], key: %q}}`, repositoryAddress, l.key)
}

// image writes the ISO image of a seed into a file.
func (l *lab) image(t *testing.T, name string, render func(bootstrap.Worker) (bootstrap.Seed, error), w bootstrap.Worker) string {
	t.Helper()
	seed, err := render(w)
	if err != nil {
		t.Fatal(err)
	}
	image, err := seed.ISO()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(l.scratch, name+".iso")
	if err := os.WriteFile(file, image, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// agent is our own client of a simulated Proxmox VE that passes the calls for a VM on to
// the real agent of a machine.
type agent struct {
	client *pve.Client
	node   string
	id     int
}

// agentOf passes the calls for VM 100 of the home lab on to a machine.
func agentOf(t *testing.T, m *machine) agent {
	t.Helper()
	world, err := pvesim.LoadWorld(worlds.Homelab)
	if err != nil {
		t.Fatal(err)
	}
	sim, err := pvesim.New(world, pvesim.WithLog(func(string, ...any) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	if err := sim.SetAgentSocket(100, m.agent()); err != nil {
		t.Fatal(err)
	}
	client, err := pve.New(pve.Options{Endpoint: "https://pve1:8006", Username: "root@pam", Password: "homelab-root", Transport: sim.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	return agent{client, "pve1", 100}
}

// run runs a command line in the guest as root.
func (a agent) run(line string) (pve.AgentExecResult, error) {
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	pid, err := a.client.AgentExec(ctx, a.node, a.id, []string{"sh", "-c", line}, "")
	for err == nil {
		var result pve.AgentExecResult
		if result, err = a.client.AgentExecStatus(ctx, a.node, a.id, pid); err == nil && result.Exited {
			return result, nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return pve.AgentExecResult{}, err
}

// begin starts a command line that ends the agent.
func (a agent) begin(t *testing.T, line string) {
	t.Helper()
	if _, err := a.client.AgentExec(t.Context(), a.node, a.id, []string{"sh", "-c", line}, ""); err != nil {
		t.Fatal(err)
	}
}

// output is the standard output of a command line that must succeed.
func (a agent) output(t *testing.T, line string) string {
	t.Helper()
	result, err := a.run(line)
	if err != nil || result.ExitCode != 0 {
		t.Fatalf("%s: %v, exit code %d: %s%s", line, err, result.ExitCode, result.Out, result.Err)
	}
	return strings.TrimSpace(result.Out)
}

// read reads a file as the engine does.
func (a agent) read(name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	file, err := a.client.AgentFileRead(ctx, a.node, a.id, name, guest.MaxStatus)
	return file.Content, err
}

// bootID waits until the agent answers in another boot than the given one.
func (a agent) bootID(t *testing.T, before string) string {
	t.Helper()
	var id string
	wait(t, "the guest agent", func() error {
		data, err := a.read("/proc/sys/kernel/random/boot_id")
		if id = strings.TrimSpace(string(data)); err == nil && id == before {
			err = fmt.Errorf("it is still the boot %s", id)
		}
		return err
	})
	return id
}

// status waits until the status of this boot is as wanted.
func (a agent) status(t *testing.T, boot, what string, wanted func(*guest.Status) bool) *guest.Status {
	t.Helper()
	var status *guest.Status
	wait(t, "the bootstrap to be "+what, func() error {
		data, err := a.read(guest.StatusFile)
		if err != nil {
			return err
		}
		if status, err = guest.ParseStatus(data); err != nil {
			return err
		}
		if status.BootID != boot || !wanted(status) {
			return fmt.Errorf("boot %s, ready %v, steps %+v, findings %+v", status.BootID, status.Ready, status.Steps, status.Findings)
		}
		return nil
	})
	return status
}

func ready(s *guest.Status) bool { return s.Ready }

func stepOf(s *guest.Status, name string) guest.Step {
	i := slices.IndexFunc(s.Steps, func(step guest.Step) bool { return step.Name == name })
	if i < 0 {
		return guest.Step{}
	}
	return s.Steps[i]
}

// writeOrders writes the orders again, as the engine does when it has seen the GPU.
func (a agent) writeOrders(t *testing.T, orders guest.Orders) {
	t.Helper()
	data, err := json.Marshal(orders)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.client.AgentFileWrite(t.Context(), a.node, a.id, guest.OrdersFile, data); err != nil {
		t.Fatal(err)
	}
}

// identity is all of a guest that must not change when it restarts with another seed.
func (a agent) identity(t *testing.T) string {
	t.Helper()
	return a.output(t, `
hostname; hostname -f; cat /etc/hostname /etc/machine-id /var/lib/cloud/data/instance-id
ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub; sha256sum /etc/ssh/ssh_host_*
for card in /sys/class/net/e*; do
  name=${card##*/}
  echo "$(cat $card/address): $(ip -4 -o addr show dev "$name" | sed 's/.*inet \([^ ]*\).*/\1/')"
done | sort
ip -4 route show default | sed 's/ proto [a-z]*//; s/ onlink//'
grep -c '^[^#]' /etc/passwd; getent passwd ops; id ops; cat /home/ops/.ssh/authorized_keys; cat /var/tmp/ran
stat -c '%n %a %U:%G' /etc/sysctl.d/90-e2e.conf /home/ops/notes.txt /etc/gpuworker/orders.json; cat /home/ops/notes.txt`)
}

// gate runs gpuworker-guest gate.
func (a agent) gate(t *testing.T) pve.AgentExecResult {
	t.Helper()
	result, err := a.run("gpuworker-guest gate")
	if err != nil {
		t.Fatal(err)
	}
	return result
}
