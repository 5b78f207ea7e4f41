package engine_test

import (
	"context"
	"strconv"

	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/pve"
)

// Changes that people make by hand, and the commands of tests.

// root is a person at the web interface.
func (l *lab) root() *pve.Client {
	l.t.Helper()
	client, err := pve.New(pve.Options{Endpoint: "https://pve1:8006", Username: "root@pam", Password: l.rootPassword, Transport: l.sim.Transport()})
	if err != nil {
		l.t.Fatal(err)
	}
	return client
}

// vmid finds a worker's VM by its record.
func (l *lab) vmid(worker string) int {
	l.t.Helper()
	for id, vm := range l.sim.State().VMs {
		if r := recordOf(vm); r != nil && r.Worker == worker && r.VM == strconv.Itoa(id) {
			return id
		}
	}
	l.t.Fatalf("no VM of %s", worker)
	return 0
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) await(task pve.Task, err error) {
	l.t.Helper()
	l.must(err)
	err = task.Wait(context.Background())
	l.must(err)
}

// recycle destroys a VM by hand and makes a running foreign VM with its number.
func (l *lab) recycle(vmid int) {
	l.t.Helper()
	ctx, root := context.Background(), l.root()
	host := l.sim.State().VMs[vmid].Host
	l.must(l.destroyByHand(host, vmid))
	l.plantOn(host, vmid, map[string]string{"name": "payroll", "memory": "1024", "description": "do not touch"})
	l.await(root.Start(ctx, host, vmid, 0))
	l.keep(vmid)
}

// plant makes a foreign VM on pve1 that must not change.
func (l *lab) plant(vmid int, config map[string]string) int {
	l.t.Helper()
	l.plantOn("pve1", vmid, config)
	l.keep(vmid)
	return vmid
}

func (l *lab) plantOn(host string, vmid int, config map[string]string) {
	l.t.Helper()
	ctx, root := context.Background(), l.root()
	l.await(root.Clone(ctx, host, templateOn[host], pve.CloneOptions{NewID: vmid, Name: config["name"]}))
	l.must(root.UpdateConfig(ctx, host, vmid, pve.ConfigUpdate{Set: config}))
}

var templateOn = map[string]int{"pve1": 9000, "pve2": 9001, "pve3": 9002}

// keep makes the lab check that a VM stays as it is now.
func (l *lab) keep(vmid int) {
	state := l.sim.State()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.foreign[vmid] = state.VMs[vmid]
	l.before = state
}

func park(name string) command {
	return func(ctx context.Context, e testEngine) error {
		plans, err := e.PlanPark(ctx, []string{name})
		if err == nil {
			_, err = e.Apply(ctx, plans, engine.ApplyOptions{})
		}
		return err
	}
}

func unpark(name string) command {
	return func(ctx context.Context, e testEngine) error {
		plans, err := e.PlanUnpark(ctx, []string{name})
		if err == nil {
			_, err = e.Apply(ctx, plans, engine.ApplyOptions{})
		}
		return err
	}
}

func orphans(ctx context.Context, e testEngine) error {
	plans, err := e.PlanOrphans(ctx)
	if err == nil {
		_, err = e.Apply(ctx, plans, engine.ApplyOptions{})
	}
	return err
}

// observe runs every command that changes nothing.
func observe(ctx context.Context, e testEngine) error {
	if _, err := e.Check(ctx); err != nil {
		return err
	}
	if _, err := e.Status(ctx); err != nil {
		return err
	}
	if _, err := e.Export(ctx); err != nil {
		return err
	}
	_, err := e.Role(ctx, "")
	return err
}
