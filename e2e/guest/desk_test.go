package guest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
	"github.com/gpuworker/gpuworker/testdata/worlds"
)

// desk is a simulated Proxmox VE, whose VM with a worker is a real machine, and the
// operator's files and programs.
type desk struct {
	sim      *pvesim.Sim
	endpoint string
	token    string
	program  string // gpuworker
	document string

	mu      sync.Mutex
	id      int         // of the worker's VM; 0 before it is cloned
	started chan string // the file with the CD of the VM, when it starts
	lab     *lab
	media   []string // the CDs of the VM, one after the other
	errs    []error
}

// newDesk starts it. The agent calls for a new VM go to a machine whose sockets are in a
// directory; until there is one, the agent does not answer.
func (l *lab) newDesk(t *testing.T, os, driver, socket string) *desk {
	t.Helper()
	world, err := pvesim.LoadWorld(worlds.Homelab)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{lab: l, started: make(chan string, 1)}
	d.sim, err = pvesim.New(world, pvesim.WithTimeScale(20), pvesim.WithLog(func(string, ...any) {}), pvesim.WithHook(func(e pvesim.Event) { d.happened(e, socket) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.sim.Close)
	server := httptest.NewTLSServer(d.sim)
	t.Cleanup(server.Close)
	for _, token := range world.Tokens {
		if strings.HasSuffix(token.ID, "!engine") {
			d.token = token.ID + "=" + token.Secret
		}
	}
	d.endpoint = server.URL
	d.writeDocument(t, l.document(os, driver), hex.EncodeToString(sum(server.Certificate().Raw)))
	d.build(t)
	return d
}

func sum(data []byte) []byte {
	s := sha256.Sum256(data)
	return s[:]
}

// writeDocument writes the document with the address of this server.
func (d *desk) writeDocument(t *testing.T, text, fingerprint string) {
	t.Helper()
	d.document = filepath.Join(d.lab.scratch, "lab.yaml")
	text = strings.ReplaceAll(text, `endpoint: "https://pve1:8006"`, fmt.Sprintf("endpoint: %q, tls: {fingerprint: %q}", d.endpoint, fingerprint))
	if err := os.WriteFile(d.document, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// build builds gpuworker.
func (d *desk) build(t *testing.T) {
	t.Helper()
	d.program = filepath.Join(d.lab.scratch, "gpuworker")
	if out, err := exec.Command("go", "build", "-o", d.program, "../../cmd/gpuworker").CombinedOutput(); err != nil {
		t.Fatalf("build gpuworker: %v\n%s", err, out)
	}
}

// happened watches the worker's VM, as QEMU on a host would.
func (d *desk) happened(e pvesim.Event, socket string) {
	if e.VMID == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	state := e.State().VMs[e.VMID]
	switch {
	case e.Kind == pvesim.VMCreated && d.id == 0:
		d.id = e.VMID
		d.errs = append(d.errs, d.sim.SetAgentSocket(d.id, socket))
	case e.VMID == d.id && e.Kind == pvesim.VMStarted:
		d.started <- d.cd(state)
	case e.VMID == d.id && e.Kind == pvesim.VMConfigured && state.Running:
		d.cd(state)
	}
}

// cd writes the CD of the VM into a file, if it is another one than before.
func (d *desk) cd(state pvesim.VMState) string {
	for _, key := range slices.Sorted(maps.Keys(state.Config)) {
		volume, _, _ := strings.Cut(state.Config[key], ",")
		if !strings.HasSuffix(volume, ".iso") {
			continue
		}
		file := filepath.Join(d.lab.scratch, filepath.Base(volume))
		if slices.Contains(d.media, file) {
			return file
		}
		image, ok := d.sim.Upload(state.Host, volume)
		if !ok {
			d.errs = append(d.errs, fmt.Errorf("%s is not on the storage", volume))
		}
		d.errs = append(d.errs, os.WriteFile(file, image, 0o600))
		d.media = append(d.media, file)
		return file
	}
	return ""
}

// medium is the present CD of the VM.
func (d *desk) medium() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.media) == 0 {
		return ""
	}
	return d.media[len(d.media)-1]
}

// vm is the worker's VM.
func (d *desk) vm(t *testing.T) pvesim.VMState {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, err := range d.errs {
		if err != nil {
			t.Error(err)
		}
	}
	return d.sim.State().VMs[d.id]
}

// agent is our own client of this Proxmox VE.
func (d *desk) agent(t *testing.T) agent {
	t.Helper()
	client, err := pve.New(pve.Options{Endpoint: "https://pve1:8006", Token: d.token, Transport: d.sim.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	vm := d.vm(t)
	return agent{client, vm.Host, vm.ID}
}

// command is a command of gpuworker.
type command struct {
	cmd   *exec.Cmd
	out   bytes.Buffer // complete when it has ended
	ended chan struct{}
	err   error
}

// start starts a command of gpuworker on this desk.
func (d *desk) start(t *testing.T, args ...string) *command {
	t.Helper()
	c := &command{cmd: exec.Command(d.program, args...), ended: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), "PVE_TOKEN="+d.token, "USER=tester")
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.out
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.ended
	})
	return c
}

// end waits for the end of a command that must succeed, and logs what it printed.
func (c *command) end(t *testing.T) {
	t.Helper()
	<-c.ended
	t.Logf("%s:\n%s", strings.Join(c.cmd.Args[1:], " "), c.out.String())
	if c.err != nil {
		t.Error(c.err)
	}
}

// run runs a command of gpuworker to its end.
func (d *desk) run(t *testing.T, args ...string) string {
	t.Helper()
	c := d.start(t, args...)
	if <-c.ended; c.err != nil {
		t.Errorf("gpuworker %s: %v", strings.Join(args, " "), c.err)
	}
	return c.out.String()
}
