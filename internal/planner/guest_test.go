package planner

import (
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/plan"
)

const gpu3291 = "GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689"

// bootstrapBy is a pool whose guests get gpuworker-guest.
func bootstrapBy(b v1alpha1.Bootstrap) poolDoc {
	return func(p *v1alpha1.WorkerPool) {
		p.Spec.Bootstrap = &b
		if len(p.Spec.GPUs) > 0 {
			p.Spec.Driver, p.Spec.Template.OS = &v1alpha1.Driver{Strategy: v1alpha1.DriverPackages}, v1alpha1.Ubuntu2404
		}
	}
}

var byISO, byAgent = v1alpha1.Bootstrap{}, v1alpha1.Bootstrap{Seed: v1alpha1.SeedProxmoxCloudInit}

// guestVM is the VM of a pool's first worker, with the record that it has after the step
// configure, and after the proof.
func guestVM(p v1alpha1.WorkerPool, slot string, seed inventory.SeedState, proven bool) *inventorytest.VMBuilder {
	vm := made(p, 1, 9100, "pve1", slot)
	vm.Record(func(r *inventory.Record) {
		r.Template = "ubuntu-22.04"
		if p.IsGPU() {
			r.Driver = "Packages,580,Open"
		} else {
			r.Driver = "None"
		}
		if p.Spec.Bootstrap.Seed == v1alpha1.SeedISO {
			r.Seed = inventory.SeedISO
		}
		if proven {
			r.Bootstrapped, r.GPU = "2026-11-30T10:00:00Z", gpu3291
		}
	})
	return vm.Change(func(vm *inventory.VM) { vm.Seed, vm.Running = seed, true })
}

func stopped(vm *inventory.VM) { vm.Running = false }

func stepsText(w *plan.Worker) string {
	var words []string
	for _, s := range w.Steps {
		words = append(words, string(s))
	}
	return string(w.Action) + ": " + strings.Join(words, " ")
}

func TestTheStepsOfAGuest(t *testing.T) {
	gpu := pool("gpu", exact("pve1", "0000:03:00.0"), bootstrapBy(byISO))
	agent := pool("gpu", exact("pve1", "0000:03:00.0"), bootstrapBy(byAgent))
	piecemeal := pool("gpu", exact("pve1", "0000:03:00.0"), bootstrapBy(v1alpha1.Bootstrap{Delivery: v1alpha1.DeliveryGuestAgent}))
	ephemeral := pool("web", replicas(1), bootstrapBy(byISO))
	held := func(p v1alpha1.WorkerPool) *inventorytest.ClaimBuilder { return claim(p, 1, 9100, "pve1", "03:00") }
	for name, c := range map[string]struct {
		pool  v1alpha1.WorkerPool
		world []inventorytest.Part
		want  string
	}{
		"a new GPU worker":                            {gpu, nil, "create: claim clone configure attach seed start agent bootstrap orders exchange record"},
		"a new worker by the agent":                   {agent, nil, "create: claim clone configure attach start agent deliver bootstrap orders record"},
		"an ISO, and the program by agent":            {piecemeal, nil, "create: claim clone configure attach seed start agent deliver bootstrap orders exchange record"},
		"a new plain worker":                          {ephemeral, nil, "create: clone configure seed start agent bootstrap orders exchange record"},
		"killed before the seed":                      {gpu, []inventorytest.Part{held(gpu), guestVM(gpu, "03:00", inventory.NoSeed, false).Change(stopped)}, "start: seed start agent bootstrap orders exchange record"},
		"killed during the bootstrap":                 {gpu, []inventorytest.Part{held(gpu), guestVM(gpu, "03:00", inventory.FirstSeed, false)}, "finish: agent bootstrap orders exchange record"},
		"killed before the record":                    {gpu, []inventorytest.Part{held(gpu), guestVM(gpu, "03:00", inventory.CleanSeed, false)}, "finish: agent bootstrap orders exchange record"},
		"killed while delivering":                     {agent, []inventorytest.Part{held(agent), guestVM(agent, "03:00", inventory.NoSeed, false)}, "finish: agent deliver bootstrap orders record"},
		"proven":                                      {gpu, []inventorytest.Part{held(gpu), guestVM(gpu, "03:00", inventory.CleanSeed, true)}, "keep: "},
		"proven, by the agent":                        {agent, []inventorytest.Part{held(agent), guestVM(agent, "03:00", inventory.NoSeed, true)}, "keep: "},
		"proven, and stopped":                         {gpu, []inventorytest.Part{held(gpu), guestVM(gpu, "03:00", inventory.CleanSeed, true).Change(stopped)}, "start: start agent orders bootstrap"},
		"its seed was taken out while it was stopped": {gpu, []inventorytest.Part{held(gpu), guestVM(gpu, "03:00", inventory.NoSeed, true).Change(stopped)}, "start: exchange start agent orders bootstrap"},
		"its GPU was erased from the record":          {gpu, []inventorytest.Part{held(gpu), guestVM(gpu, "03:00", inventory.CleanSeed, true).Change(stopped).Record(func(r *inventory.Record) { r.GPU = "" })}, "start: start agent orders bootstrap record"},
		"its seed was taken out":                      {gpu, []inventorytest.Part{held(gpu), guestVM(gpu, "03:00", inventory.NoSeed, true)}, "finish: exchange"},
		"its first seed is back":                      {gpu, []inventorytest.Part{held(gpu), guestVM(gpu, "03:00", inventory.FirstSeed, true)}, "finish: exchange"},
		"started without its seed":                    {gpu, []inventorytest.Part{held(gpu), guestVM(gpu, "03:00", inventory.NoSeed, false)}, "hold: "},
		"a plain one without its seed":                {ephemeral, []inventorytest.Part{guestVM(ephemeral, "", inventory.NoSeed, false)}, "replace: unprotect shutdown unseed destroy clone configure seed start agent bootstrap orders exchange record"},
	} {
		t.Run(name, func(t *testing.T) {
			world := twoT4s(c.world...)
			if c.pool.Name == "web" {
				world = twoT4s(append(c.world, inventorytest.Host("pve3"))...)
			}
			w := worker(t, Build(lab(world, c.pool)), c.pool.WorkerName(1))
			if got := stepsText(w); got != c.want {
				t.Errorf("%s\nwant %s\n%s %v", got, c.want, w.Reason, w.Refusals)
			}
			if strings.Contains(w.Reason, "as declared") && w.Action != plan.Keep {
				t.Errorf("%s although %s", w.Action, w.Reason)
			}
			if w.Action == plan.Create && c.pool.IsGPU() && !strings.Contains(strings.Join(strings.Fields(textOf(t, Build(lab(world, c.pool)))), " "), "driver Packages 580 Open") {
				t.Error("the plan does not say which driver the guest gets")
			}
			if held := w.Action == plan.Hold; held != slices.ContainsFunc(w.Notes, func(f finding.Finding) bool { return f.ID == finding.GuestNoSeed }) {
				t.Errorf("notes %v", w.Notes)
			}
		})
	}
}

// What a guest got at its first boot cannot be changed in place: cloud-init does not
// run again, and must not.
func TestAChangeOfTheFirstBootNeedsAReplace(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.WorkerPoolSpec){
		"access.user": func(s *v1alpha1.WorkerPoolSpec) { s.Access.User = "other" },
		"networks[0].addresses": func(s *v1alpha1.WorkerPoolSpec) {
			s.Networks = []v1alpha1.Network{{Addresses: []string{"192.0.2.9/24"}}}
		},
		"dns.servers": func(s *v1alpha1.WorkerPoolSpec) { s.DNS.Servers = []string{"192.0.2.53"} },
		"networks[0].macs": func(s *v1alpha1.WorkerPoolSpec) {
			s.Networks = []v1alpha1.Network{{MACs: []string{"bc:24:11:00:00:09"}}}
		},
		"driver": func(s *v1alpha1.WorkerPoolSpec) { s.Driver.Branch = "595" },
		"bootstrap.seed": func(s *v1alpha1.WorkerPoolSpec) {
			s.Bootstrap.Seed, s.Bootstrap.Delivery = v1alpha1.SeedProxmoxCloudInit, ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			was := pool("gpu", exact("pve1", "0000:03:00.0"), bootstrapBy(byISO))
			now := pool("gpu", exact("pve1", "0000:03:00.0"), bootstrapBy(byISO), spec(change))
			w := worker(t, Build(lab(twoT4s(claim(was, 1, 9100, "pve1", "03:00"), guestVM(was, "03:00", inventory.CleanSeed, true)), now)), "gpu-1")
			if w.Action != plan.Hold || w.Hint != "gpuworker replace gpu-1" || len(w.Changes) != 1 || w.Changes[0].Field != name {
				t.Errorf("%s, hint %q, changes %v", w.Action, w.Hint, w.Changes)
			}
		})
	}
}

// An adopted VM, or one that booted from the cloud-init options of Proxmox, never gets a
// seed: another instance-id would make new SSH host keys. gpuworker-guest can be
// delivered through the agent.
func TestAVMThatBootedWithoutASeedNeverGetsOne(t *testing.T) {
	p := pool("gpu", exact("pve1", "0000:03:00.0"))
	from := func(template string) *inventorytest.VMBuilder {
		return made(p, 1, 9100, "pve1", "03:00").Record(func(r *inventory.Record) { r.Template = template }).Change(func(vm *inventory.VM) { vm.Running = true })
	}
	adopted, cloned := func() *inventorytest.VMBuilder { return from("") }, func() *inventorytest.VMBuilder { return from("ubuntu-22.04") }
	for name, c := range map[string]struct {
		by   v1alpha1.Bootstrap
		vm   *inventorytest.VMBuilder
		want string
	}{
		"adopted":                    {byISO, adopted(), "keep: "},
		"cloned before":              {byISO, cloned(), "hold: "},
		"adopted, delivery by agent": {byAgent, adopted(), "finish: configure agent deliver bootstrap orders record"},
		"cloned, delivery by agent":  {byAgent, cloned(), "finish: configure agent deliver bootstrap orders record"},
	} {
		t.Run(name, func(t *testing.T) {
			now := pool("gpu", exact("pve1", "0000:03:00.0"), bootstrapBy(c.by))
			w := worker(t, Build(lab(twoT4s(claim(p, 1, 9100, "pve1", "03:00"), c.vm), now)), "gpu-1")
			if got := stepsText(w); got != c.want {
				t.Errorf("%s\nwant %s\n%v", got, c.want, w.Changes)
			}
		})
	}
}

func TestADeletedWorkerTakesItsSeedsAlong(t *testing.T) {
	p := pool("gpu", exact("pve1", "0000:03:00.0"), bootstrapBy(byISO))
	in := lab(twoT4s(claim(p, 1, 9100, "pve1", "03:00"), guestVM(p, "03:00", inventory.CleanSeed, true)), p)
	deleted, err := BuildDelete(in, []string{"gpu-1"})
	if err != nil {
		t.Fatal(err)
	}
	if got := stepsText(worker(t, deleted, "gpu-1")); got != "destroy: unprotect shutdown unseed destroy release" {
		t.Error(got)
	}
}
