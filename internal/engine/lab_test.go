package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/document"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/proxmox"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// canary is the secret of the token that every test here logs in with. It may be only
// in the Authorization header.
const canary = "ca4a4111-0000-4000-8000-5ec4e7000001"

// lab is a simulated cluster; each change is checked against the invariants.
type lab struct {
	t            testing.TB
	sim          *pvesim.Sim
	rootPassword string

	mu         sync.Mutex
	foreign    map[int]pvesim.VMState // VMs of other people, as they must stay
	disowned   string                 // the worker whose VM is nobody's in the end
	mayDestroy map[string]bool        // workers that a person named
	byHand     bool                   // a person destroys at the web interface
	before     pvesim.State           // of the last event
	broken     []string
}

// homelab is the world of all tests here, read once.
var homelab = sync.OnceValues(func() (pvesim.World, error) {
	data, err := os.ReadFile("../../testdata/worlds/homelab.yaml")
	if err != nil {
		return pvesim.World{}, err
	}
	return pvesim.LoadWorld(data)
})

// newLab starts the cluster. Call it inside the bubble of the test.
func newLab(t testing.TB, change ...func(*pvesim.World)) *lab {
	t.Helper()
	l := &lab{t: t, mayDestroy: map[string]bool{}}
	l.start(change, pvesim.WithHook(l.judge))
	l.before = l.sim.State()
	l.foreign = maps.Clone(l.before.VMs)
	maps.DeleteFunc(l.foreign, func(_ int, vm pvesim.VMState) bool { return recordOf(vm) != nil }) // of made
	return l
}

// newFreeLab starts a cluster without these checks, for measurements.
func newFreeLab(t testing.TB, change ...func(*pvesim.World)) *lab {
	t.Helper()
	l := &lab{t: t}
	l.start(change)
	return l
}

func (l *lab) start(change []func(*pvesim.World), options ...pvesim.Option) {
	t := l.t
	t.Helper()
	world, err := homelab()
	if err != nil {
		t.Fatal(err)
	}
	world.Hosts, world.Tokens = slices.Clone(world.Hosts), slices.Clone(world.Tokens)
	for i := range world.Tokens {
		if world.Tokens[i].ID == "gpuworker@pve!engine" {
			world.Tokens[i].Secret = canary
		}
	}
	for _, c := range change {
		c(&world)
	}
	for _, user := range world.Users {
		if user.ID == "root@pam" {
			l.rootPassword = user.Password
		}
	}
	l.sim, err = pvesim.New(world, append(options, pvesim.WithLog(func(string, ...any) {}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.sim.Close)
}

// allow allows the named workers to be destroyed, like a person who names them.
func (l *lab) allow(workers ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, worker := range workers {
		l.mayDestroy[worker] = true
	}
}

// destroyByHand destroys a VM like a person at the web interface.
func (l *lab) destroyByHand(host string, vmid int) error {
	set := func(byHand bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.byHand = byHand
	}
	set(true)
	defer set(false)
	ctx, root := context.Background(), l.root()
	if err := root.UpdateConfig(ctx, host, vmid, pve.ConfigUpdate{Set: map[string]string{"protection": "0"}}); err != nil {
		return err
	}
	task, err := root.Stop(ctx, host, vmid)
	if err == nil {
		_ = task.Wait(ctx) // when it is stopped, or cannot be, the next call tells
	}
	if task, err = root.Destroy(ctx, host, vmid, pve.DestroyOptions{}); err == nil {
		err = task.Wait(ctx)
	}
	return err
}

// judge checks one change against the invariants of the product.
func (l *lab) judge(e pvesim.Event) {
	state := e.State()
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.before
	l.before = state
	l.oneCardOneVM(e, state)
	l.foreignStay(e, state)
	if e.Kind == pvesim.VMDestroyed {
		l.destroyedByName(e, before)
	}
	if len(state.Damage) > 0 {
		l.breakf(e, "4: a start took %v from the host", state.Damage)
	}
	if vm := state.VMs[e.VMID]; e.Kind == pvesim.VMConfigured && strings.Contains(fmt.Sprint(vm.Config, vm.Pending), canary) {
		l.breakf(e, "7: the token's secret is in the configuration")
	}
}

func (l *lab) isBroken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.broken) > 0
}

func (l *lab) breakf(e pvesim.Event, format string, args ...any) {
	l.broken = append(l.broken, fmt.Sprintf("%s of VM %d %s: invariant ", e.Kind, e.VMID, e.ID)+fmt.Sprintf(format, args...))
}

func (l *lab) oneCardOneVM(e pvesim.Event, state pvesim.State) {
	holders := map[string][]int{}
	for id, vm := range state.VMs {
		if vm.Template {
			continue
		}
		for _, slot := range slots(state, vm) {
			holders[vm.Host+" "+slot] = append(holders[vm.Host+" "+slot], id)
		}
	}
	for card, ids := range holders {
		var ours []int
		for _, id := range ids {
			if recordOf(state.VMs[id]) != nil {
				ours = append(ours, id)
			}
		}
		if len(ours) > 1 {
			l.breakf(e, "1: VMs %v of ours have card %s", ours, card)
		}
		if e.Kind == pvesim.VMStarting && slices.Contains(ours, e.VMID) && len(ids) > 1 {
			l.breakf(e, "1: started while VMs %v have card %s", ids, card)
		}
	}
}

func (l *lab) foreignStay(e pvesim.Event, state pvesim.State) {
	for id, was := range l.foreign {
		is, there := state.VMs[id]
		if !there || is.Running != was.Running || !maps.Equal(is.Config, was.Config) || !maps.Equal(is.Pending, was.Pending) {
			l.breakf(e, "2: VM %d (%s) of somebody else was touched", id, was.Name)
		}
	}
}

func (l *lab) destroyedByName(e pvesim.Event, before pvesim.State) {
	record := recordOf(before.VMs[e.VMID])
	if record != nil && record.Replacing+record.Replaced != "" && !l.byHand && !l.mayDestroy[record.UUID] {
		l.breakf(e, "3: %s was made by a replace, and nobody named that VM", record.Worker)
	}
	if record != nil && record.Lifecycle == "SemiPersistent" && !l.mayDestroy[record.Worker] {
		l.breakf(e, "3: semi-persistent worker %s was destroyed and nobody named it", record.Worker)
	}
}

// whole fails the test when an invariant was broken.
func (l *lab) whole() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.broken {
		l.t.Error(b)
	}
	if text, _ := json.Marshal(l.before); strings.Contains(string(text), canary) {
		l.t.Error("invariant 7: the token's secret is in the hypervisor's state")
	}
}

func recordOf(vm pvesim.VMState) *inventory.Record {
	note, ok := inventory.ParseRecord(vm.Config["description"])
	if !ok {
		return nil
	}
	return &note.Record
}

// slots are the cards in a VM's configuration, running and pending.
func slots(state pvesim.State, vm pvesim.VMState) []string {
	var all []string
	for _, config := range []map[string]string{vm.Config, vm.Pending} {
		for key, value := range config {
			if !strings.HasPrefix(key, "hostpci") {
				continue
			}
			first, _, _ := strings.Cut(value, ",")
			path := strings.TrimPrefix(first, "host=")
			if name, mapped := strings.CutPrefix(first, "mapping="); mapped {
				path = ""
				for _, entry := range state.Mappings[name].Map {
					if _, after, ok := strings.Cut(entry, "path="); ok && strings.Contains(entry, "node="+vm.Host+",") {
						path, _, _ = strings.Cut(after, ",")
					}
				}
			}
			if slot, _, _ := strings.Cut(path, "."); slot != "" && !slices.Contains(all, slot) {
				all = append(all, slot)
			}
		}
	}
	return all
}

// engine makes an engine for documents that uses a transport; nil connects directly to
// the cluster.
func (l *lab) engine(by, documents string, transport http.RoundTripper) testEngine {
	l.t.Helper()
	if transport == nil {
		transport = l.sim.Transport()
	}
	docs := decode(l.t, documents)
	return openEngine(docs, by, func(h *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
		return proxmox.Open(h, proxmox.Login{Token: "gpuworker@pve!engine=" + canary, Transport: transport})
	})
}

func decode(t testing.TB, text string) *v1alpha1.Documents {
	t.Helper()
	docs, _, err := document.Load(document.File{Name: "test.yaml", Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

// apply plans and applies.
func apply(ctx context.Context, e testEngine) error {
	plans, err := e.Plan(ctx, planOptions{})
	if err != nil {
		return err
	}
	_, err = e.Apply(ctx, plans, engine.ApplyOptions{})
	return err
}

// header is the hypervisor and the Kubernetes cluster of all documents here.
const header = `
apiVersion: gpuworker.io/v1alpha1
kind: Hypervisor
metadata: {name: lab}
spec:
  proxmox:
    endpoint: https://pve1:8006
    credentials: {token: {env: PVE_TOKEN}}
    vmids: {first: 9100, last: 9199}
---
apiVersion: gpuworker.io/v1alpha1
kind: KubeCluster
metadata: {name: rke2}
spec: {server: "https://rke2:9345"}
---
`

// fleet is a pool of two GPU workers, one by CardRef and one by model, and one plain
// worker.
const fleet = header + `
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: gpu}
spec:
  hypervisor: lab
  kubeCluster: rke2
  gpus:
    - {host: pve1, bdf: "0000:03:00.0"}
    - {model: Tesla T4, hosts: [pve2]}
  template: {name: ubuntu-22.04}
  machine: {memory: 8Gi, disk: {size: 20Gi}}
---
apiVersion: gpuworker.io/v1alpha1
kind: WorkerPool
metadata: {name: plain}
spec:
  hypervisor: lab
  kubeCluster: rke2
  replicas: 1
  template: {name: ubuntu-22.04}
  machine: {memory: 2Gi, cores: 2}
`

// asDeclared fails the test unless the world is as the fleet declares, with nothing
// left over.
func (l *lab) asDeclared(documents string, workers ...string) {
	l.t.Helper()
	plans, err := l.engine("judge", documents, nil).Plan(context.Background(), planOptions{})
	if err != nil {
		l.t.Error(err)
		return
	}
	for _, p := range plans.Plans {
		if !p.AsDeclared() {
			text, _ := json.MarshalIndent(p.Pools, "", " ")
			l.t.Errorf("the world is not as declared:\n%s", text)
		}
	}
	l.only(workers...)
}

// only fails the test unless exactly these workers exist, marked, with their cards,
// and running or parked, and nothing else of ours exists.
func (l *lab) only(workers ...string) {
	l.t.Helper()
	state := l.sim.State()
	var there, cards []string
	for id, vm := range state.VMs {
		if _, foreign := l.foreign[id]; foreign {
			continue
		}
		record := recordOf(vm)
		if l.disowned == vm.Name && record == nil && !strings.Contains(vm.Config["tags"], "gpuworker") {
			continue
		}
		there = append(there, vm.Name)
		switch {
		case record == nil || record.VM != strconv.Itoa(id) || record.Worker != vm.Name:
			l.t.Errorf("VM %d (%s) has the record %+v", id, vm.Name, record)
			continue
		case vm.Running == strings.Contains(vm.Config["tags"], inventory.ParkedTag) || vm.Lock != "" || !strings.Contains(vm.Config["smbios1"], record.UUID) || !strings.Contains(vm.Config["tags"], "gpuworker"):
			l.t.Errorf("VM %d (%s) is not a finished worker: running %v, %v", id, vm.Name, vm.Running, vm.Config)
		}
		if slot := record.Card.Slot; !record.Card.IsZero() {
			cards = append(cards, "gpu-"+record.Host+"-"+strings.ReplaceAll(slot.String(), ":", "-"))
			if !slices.Equal(slots(state, vm), []string{slot.String()}) {
				l.t.Errorf("%s has cards %v, want %s", vm.Name, slots(state, vm), slot)
			}
		}
	}
	slices.Sort(there)
	slices.Sort(workers)
	if !slices.Equal(there, workers) {
		l.t.Errorf("VMs of ours: %v, want %v", there, workers)
	}
	slices.Sort(cards)
	var registers []string
	for name, mapping := range state.Mappings {
		if strings.Contains(mapping.Description, "gpuworker:") {
			registers = append(registers, name)
		}
	}
	slices.Sort(registers)
	if !slices.Equal(registers, cards) {
		l.t.Errorf("claims: %v, want %v", registers, cards)
	}
	for id, volume := range state.Volumes {
		if _, there := state.VMs[volume.VMID]; volume.VMID != 0 && !there {
			l.t.Errorf("volume %s is left of VM %d", id, volume.VMID)
		}
	}
}

// errDead is the error of requests of a dead process.
var errDead = errors.New("the process is dead")

// cutter is a connection that breaks at one request, where its process is killed.
type cutter struct {
	next http.RoundTripper
	at   int  // the request that it dies at, from 1
	late bool // after the request was carried out, before the answer is read
	kill func()

	mu    sync.Mutex
	count int
	dead  bool
}

func (c *cutter) RoundTrip(request *http.Request) (*http.Response, error) {
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		return nil, errDead
	}
	c.count++
	die := c.count == c.at
	c.dead = die
	c.mu.Unlock()
	if !die {
		return c.next.RoundTrip(request)
	}
	if c.late {
		if answer, err := c.next.RoundTrip(request.WithContext(context.WithoutCancel(request.Context()))); err == nil {
			_ = answer.Body.Close()
		}
	}
	c.kill()
	return nil, errDead
}

// die kills the process: it sends nothing more.
func (c *cutter) die() {
	c.mu.Lock()
	c.dead = true
	c.mu.Unlock()
	c.kill()
}
