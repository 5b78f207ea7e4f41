package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/bootstrap"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/proxmox"
	"github.com/gpuworker/gpuworker/internal/thorough"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// builds is a stand-in for gpuworker-guest: simulated guests only look at its checksum. It
// is longer than one call of the agent can write.
func builds() ([]bootstrap.Build, error) {
	return []bootstrap.Build{bootstrap.NewBuild("amd64", bytes.Repeat([]byte("gpuworker-guest "), 10_000))}, nil
}

// guests is solo with a driver and gpuworker-guest in the guest.
func guests(more string) string {
	return strings.Replace(solo, "template: {name: ubuntu-22.04}", "template: {name: ubuntu-22.04, os: ubuntu-22.04}\n  driver: {strategy: Packages}\n  access: {user: ops}\n"+more, 1)
}

var (
	seeded    = guests("  bootstrap: {}\n")
	delivered = guests("  bootstrap: {seed: ProxmoxCloudInit}\n")
)

// record is the record in the VM of a worker.
func (l *lab) record(worker string) inventory.Record {
	l.t.Helper()
	for _, vm := range l.sim.State().VMs {
		if r := recordOf(vm); r != nil && r.Worker == worker {
			return *r
		}
	}
	l.t.Fatalf("no VM of worker %s", worker)
	return inventory.Record{}
}

func TestApplyProvesTheGuest(t *testing.T) {
	for name, documents := range map[string]string{"by its seed": seeded, "through its agent": delivered} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, oneHost)
				e := l.engine("ops@desk", documents, nil)
				if err := apply(context.Background(), e); err != nil {
					t.Fatal(err)
				}
				r := l.record("gpu-1")
				if want := l.gpuIn("0000:03:00.0"); r.Bootstrapped == "" || r.GPU != want || r.Driver != "Packages,580,Open" {
					t.Errorf("recorded %+v, want GPU %s", r, want)
				}
				plans, err := e.Plan(context.Background(), planOptions{})
				if err != nil || !plans.Plans[0].AsDeclared() {
					t.Errorf("not as declared: %v %+v", err, plans.Plans[0].Pools[0].Workers[0])
				}
				rows, _, err := e.Engine.Status(context.Background(), e.documents, nil)
				if err != nil || len(rows) != 1 || rows[0].Guest == nil || !rows[0].Guest.Ready || rows[0].Note != "" {
					t.Errorf("status %+v, %v", rows, err)
				}
				l.whole()
			})
		})
	}
}

// inGuest sets the faults of the guests of all clones.
func inGuest(faults ...pvesim.GuestFault) func(*pvesim.World) {
	return changeGuest(func(g *pvesim.Guest) { g.Faults = faults })
}

func changeGuest(change func(*pvesim.Guest)) func(*pvesim.World) {
	return func(w *pvesim.World) {
		w.VMs = slices.Clone(w.VMs)
		for i := range w.VMs {
			if w.VMs[i].ID == 9000 {
				change(&w.VMs[i].Guest)
			}
		}
	}
}

// TestAGuestThatMisbehavesIsNamedByItsCause: apply ends within its deadline, says why, and
// leaves the worker as it is: unproven, its seed not exchanged, its VM running.
func TestAGuestThatMisbehavesIsNamedByItsCause(t *testing.T) {
	for name, c := range map[string]struct {
		world     func(*pvesim.World)
		documents string
		want      []string      // in the error
		within    time.Duration // of simulated time
	}{
		"the driver does not load":  {inGuest(pvesim.GuestNoDriver), seeded, []string{"GUEST-BOOTSTRAP-FAILED", "modules"}, 15 * time.Minute},
		"cloud-init fails":          {inGuest(pvesim.GuestCloudInitFails), seeded, []string{"GUEST-CLOUD-INIT-FAILED", "No space left on device"}, 15 * time.Minute},
		"the agent never comes":     {inGuest(pvesim.GuestNoAgent), seeded, []string{"STEP-BOOTSTRAP-LATE", "the guest agent"}, time.Hour},
		"the bootstrap hangs":       {inGuest(pvesim.GuestHangs), seeded, []string{"STEP-BOOTSTRAP-LATE", "of gpuworker-guest"}, time.Hour},
		"the status is damaged":     {inGuest(pvesim.GuestBadStatus), seeded, []string{"GUEST-BOOTSTRAP-FAILED", "status"}, 15 * time.Minute},
		"the agent forbids files":   {changeGuest(func(g *pvesim.Guest) { g.Forbid = []string{"file-open"} }), seeded, []string{"GUEST-NOT-PROVEN"}, 15 * time.Minute},
		"the agent forbids to exec": {changeGuest(func(g *pvesim.Guest) { g.Forbid = []string{"exec"} }), delivered, []string{"exec"}, 15 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, oneHost, c.world)
				began := time.Now()
				err := apply(context.Background(), l.engine("ops@desk", c.documents, nil))
				if err == nil {
					t.Fatal("it is said to be done")
				}
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("no %q in: %v", want, err)
					}
				}
				if strings.ContainsAny(err.Error(), "\x1b\x07\u202e") {
					t.Errorf("unclean: %q", err.Error())
				}
				if took := time.Since(began); took > c.within {
					t.Errorf("it took %s", took)
				}
				if r := l.record("gpu-1"); r.Bootstrapped != "" || r.GPU != "" {
					t.Errorf("recorded as proven: %+v", r)
				}
				l.whole()
			})
		})
	}
}

// In RHEL the agent answers before the seed has allowed it files and commands.
func TestAnAgentThatIsAllowedLaterIsWaitedFor(t *testing.T) {
	for name, documents := range map[string]string{"seeded": seeded, "delivered": delivered} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var allowing pvesim.Guest
				l := newLab(t, oneHost, changeGuest(func(g *pvesim.Guest) { allowing, g.Forbid = *g, pvesim.RHELForbids }))
				began, changed := time.Now(), make(chan error, 1)
				go func() {
					time.Sleep(3 * time.Minute)
					changed <- l.sim.SetGuest(9100, allowing)
				}()
				if err := apply(context.Background(), l.engine("ops@desk", documents, nil)); err != nil {
					t.Fatal(err)
				}
				if r := l.record("gpu-1"); r.Bootstrapped == "" || time.Since(began) < 3*time.Minute {
					t.Errorf("after %s recorded %+v", time.Since(began), r)
				}
				if err := <-changed; err != nil {
					t.Error(err)
				}
				l.whole()
			})
		})
	}
}

// Texts of a guest that try to harm whoever prints them do no harm, and a reboot in the
// middle of the bootstrap is waited for.
func TestAGuestThatRebootsOrLies(t *testing.T) {
	for _, fault := range []pvesim.GuestFault{pvesim.GuestReboot, pvesim.GuestHostile} {
		t.Run(string(fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, oneHost, inGuest(fault))
				if err := apply(context.Background(), l.engine("ops@desk", seeded, nil)); err != nil {
					if fault == pvesim.GuestReboot || strings.ContainsAny(err.Error(), "\x1b\x07\u202e") {
						t.Errorf("%q", err)
					}
				}
				l.whole()
			})
		})
	}
}

// seedsOn are the names of the seeds on the storages, "first" and "clean", each with its
// content.
func (l *lab) seeds() map[string]bool {
	found := map[string]bool{}
	for _, volume := range l.sim.State().Volumes {
		_, name, _ := strings.Cut(volume.ID, "iso/")
		if _, clean, ok := inventory.ParseSeedName(name); ok {
			found[map[bool]string{true: "clean", false: "first"}[clean]] = true
		}
	}
	return found
}

// TestAGuestIsProvenAfterAKillAtAnyCall kills apply at each of its calls, also while it
// uploads the seed, delivers the program, waits and exchanges the seed, and runs it again.
func TestAGuestIsProvenAfterAKillAtAnyCall(t *testing.T) {
	proven := func(l *lab) {
		r := l.record("gpu-1")
		if want := l.gpuIn("0000:03:00.0"); r.Bootstrapped == "" || r.GPU != want {
			l.t.Errorf("recorded %+v, want GPU %s", r, want)
		}
	}
	withSeed := func(l *lab) {
		proven(l)
		if s := l.seeds(); !s["clean"] {
			l.t.Errorf("no clean seed: %v", s)
		}
	}
	gone := func(l *lab) {
		if s := l.seeds(); len(s) > 0 {
			l.t.Errorf("seeds of a VM that is gone: %v", s)
		}
	}
	mayRemove := func(w *pvesim.World) {
		w.Roles = maps.Clone(w.Roles)
		w.Roles["GpuWorkerStorage"] = append(slices.Clone(w.Roles["GpuWorkerStorage"]), "Datastore.Allocate")
	}
	applied := func(l *lab) { l.must(apply(context.Background(), l.engine("ops@desk", seeded, nil))) }
	for _, s := range []scene{
		{name: "apply, by the seed", documents: seeded, run: apply, workers: []string{"gpu-1"}, end: withSeed},
		{name: "apply, through the agent", documents: delivered, run: apply, workers: []string{"gpu-1"}, end: proven},
		{name: "replace", world: mayRemove, prepare: applied, documents: seeded, run: replace("gpu-1"), named: "gpu-1", workers: []string{"gpu-1"}, end: withSeed},
		{name: "delete", world: mayRemove, prepare: applied, documents: seeded, run: remove("gpu-1"), named: "gpu-1", end: gone},
	} {
		for late, when := range map[bool]string{false: "before the request", true: "before the answer"} {
			t.Run(s.name+", "+when, func(t *testing.T) {
				t.Parallel()
				points, every := 0, thorough.Every
				if s.prepare != nil { // making the worker first takes most of the time
					every *= 4
				}
				for at, cut := 1, true; cut && !t.Failed(); at += every {
					synctest.Test(t, func(t *testing.T) {
						l := s.set(t)
						if cut = l.killed(s, "ops@desk", at, late); cut {
							points++
							time.Sleep(time.Second)
							l.again(s, "ops@desk")
						}
						l.settledAs(s)
						if t.Failed() {
							t.Logf("killed at call %d", at)
						}
					})
				}
				t.Logf("%d cut points", points)
			})
		}
	}
}

// acceptGPU is gpuworker accept.
func acceptGPU(worker, gpu string) command {
	return func(ctx context.Context, e testEngine) error {
		plans, err := e.ask(ctx, plan.Request{Verb: plan.AcceptGPU, Workers: []string{worker}, GPU: gpu})
		if err == nil {
			_, err = e.Apply(ctx, plans, engine.ApplyOptions{})
		}
		return err
	}
}

// TestAnExchangedCardIsNotUsedUntilAPersonAcceptsIt: the worker starts with another card
// in its slot, is not ready, and says so; nothing is destroyed. After accept it is ready,
// and the guest compares with the new identity.
func TestAnExchangedCardIsNotUsedUntilAPersonAcceptsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, oneHost)
		ctx, e := context.Background(), l.engine("ops@desk", seeded, nil)
		l.must(apply(ctx, e))
		l.must(park("gpu-1")(ctx, e))
		was := l.gpuIn("0000:03:00.0")
		l.exchangeCard("0000:03:00.0")
		other := l.gpuIn("0000:03:00.0")
		err := unpark("gpu-1")(ctx, e)
		if err == nil || !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), other) || !strings.Contains(err.Error(), was) {
			t.Fatalf("%v", err)
		}
		want := "gpuworker accept gpu-1 --gpu-uuid " + other
		if fix := fault.FixOf(err); !strings.Contains(fix, want) {
			t.Errorf("the next step is %q, want %q", fix, want)
		}
		rows, _, err := e.Engine.Status(ctx, e.documents, nil)
		if err != nil || rows[0].Next != want || rows[0].Guest.Ready || rows[0].Guest.RecordedGPU != was {
			t.Errorf("status %+v, %v", rows[0], err)
		}
		l.must(acceptGPU("gpu-1", other)(ctx, e))
		if r := l.record("gpu-1"); r.GPU != other {
			t.Errorf("recorded %s", r.GPU)
		}
		rows, _, err = e.Engine.Status(ctx, e.documents, nil)
		if err != nil || rows[0].Next != "" || !rows[0].Guest.Ready {
			t.Errorf("status %+v, %v", rows[0], err)
		}
		l.must(park("gpu-1")(ctx, e))
		l.must(unpark("gpu-1")(ctx, e)) // the guest has the new orders
		l.whole()
	})
}

// gpuIn is the identity of the GPU in a slot of pve1.
func (l *lab) gpuIn(address string) string {
	l.t.Helper()
	functions, err := l.sim.PCI("pve1")
	l.must(err)
	for _, f := range functions {
		if f.Address == address {
			return pvesim.GPUUUID("pve1", f)
		}
	}
	l.t.Fatalf("no card in %s", address)
	return ""
}

// exchangeCard puts another card of the same model into a slot of pve1.
func (l *lab) exchangeCard(address string) {
	l.t.Helper()
	functions, err := l.sim.PCI("pve1")
	l.must(err)
	for i := range functions {
		if functions[i].Address == address {
			functions[i].Serial = "00-00-00-01"
		}
	}
	l.must(l.sim.SetPCI("pve1", functions))
}

// seedCanary is a secret that an operator wrote into a file of the guest, against the
// advice.
const seedCanary = "ca4a4222-0000-4000-8000-5ec4e7000002"

// TestASecretInTheSeedDoesNotStay: after the bootstrap it is in the guest, where its
// operator wanted it, and nowhere else: not in what those may read who can see VM and
// storage, not in what gpuworker says or logs. It was in the first seed, or the test
// proves nothing.
func TestASecretInTheSeedDoesNotStay(t *testing.T) {
	documents := guests("  bootstrap: {cloudInit: {writeFiles: [{path: /etc/app.conf, content: \"password=" + seedCanary + "\", permissions: \"0600\"}]}}\n")
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, oneHost)
		ctx := context.Background()
		var heard bytes.Buffer
		logger := slog.New(slog.NewJSONHandler(&heard, &slog.HandlerOptions{Level: slog.LevelDebug}))
		e := testEngine{engine.New(engine.Options{
			By: "ops@desk", Builds: builds, Version: "1.2.3", Log: logger,
			Open: func(_ context.Context, _ *v1alpha1.Documents, h *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
				return proxmox.Open(h, proxmox.Login{Token: "gpuworker@pve!engine=" + canary, Transport: l.sim.Transport(), Logger: logger})
			},
		}), decode(t, documents)}
		wait := time.Duration(0)
		plans, err := e.Plan(ctx, planOptions{})
		l.must(err)
		_, err = e.Apply(ctx, plans, engine.ApplyOptions{GuestWait: &wait})
		l.must(err)
		uuid := l.record("gpu-1").UUID
		first, clean := "local:iso/"+inventory.SeedName(uuid, false), "local:iso/"+inventory.SeedName(uuid, true)
		if image, ok := l.sim.Upload("pve1", first); !ok || !bytes.Contains(image, []byte(seedCanary)) {
			t.Fatal("the first seed has no secret")
		}
		l.must(apply(ctx, e))
		for _, volume := range []string{first, clean} {
			if image, ok := l.sim.Upload("pve1", volume); !ok || bytes.Contains(image, []byte(seedCanary)) {
				t.Errorf("%s: missing, or it has the secret", volume)
			}
		}
		for _, kind := range []string{"user", "network", "meta"} {
			if text := l.cloudInitDump(l.vmOf("gpu-1"), kind); strings.Contains(text, seedCanary) {
				t.Errorf("the %s data that Proxmox shows has the secret", kind)
			}
		}
		world := l.sim.State()
		if files := world.VMs[l.vmOf("gpu-1")].Files; !strings.Contains(files["/etc/app.conf"], seedCanary) {
			t.Error("the file of the operator is missing")
		} else {
			delete(files, "/etc/app.conf") // all others are searched with the rest
		}
		state, err := json.Marshal(world)
		l.must(err)
		again, err := e.Plan(ctx, planOptions{})
		l.must(err)
		shown, err := json.Marshal([]any{plans.Plans, again.Plans})
		l.must(err)
		for what, text := range map[string][]byte{"the hypervisor": state, "the log": heard.Bytes(), "the plan": shown} {
			if bytes.Contains(text, []byte(seedCanary)) {
				t.Errorf("%s has the secret", what)
			}
		}
		if !bytes.Contains(heard.Bytes(), []byte("exchange")) {
			t.Error("the log has no steps")
		}
		l.whole()
	})
}

// cloudInitDump is what Proxmox VE shows of a VM's cloud-init data to everybody with
// VM.Audit. Source: GET /nodes/{node}/qemu/{vmid}/cloudinit/dump.
func (l *lab) cloudInitDump(vmid int, kind string) string {
	l.t.Helper()
	request, err := http.NewRequest(http.MethodGet, fmt.Sprintf("https://pve1:8006/api2/json/nodes/pve1/qemu/%d/cloudinit/dump?type=%s", vmid, kind), nil)
	l.must(err)
	request.Header.Set("Authorization", "PVEAPIToken=gpuworker@pve!engine="+canary)
	answer, err := (&http.Client{Transport: l.sim.Transport()}).Do(request)
	l.must(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	l.must(err)
	return string(text)
}

// vmOf is the number of a worker's VM.
func (l *lab) vmOf(worker string) int {
	l.t.Helper()
	for id, vm := range l.sim.State().VMs {
		if r := recordOf(vm); r != nil && r.Worker == worker {
			return id
		}
	}
	l.t.Fatalf("no VM of worker %s", worker)
	return 0
}

// TestImagesThatMayNotBeRemovedAreEmptyAndListed: the login lacks Datastore.Allocate.
func TestImagesThatMayNotBeRemovedAreEmptyAndListed(t *testing.T) {
	documents := guests("  bootstrap: {cloudInit: {writeFiles: [{path: /etc/app.conf, content: \"password=" + seedCanary + "\"}]}}\n")
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, oneHost)
		l.allow("gpu-1")
		ctx, e := context.Background(), l.engine("ops@desk", documents, nil)
		wait := time.Duration(0)
		plans, err := e.Plan(ctx, planOptions{})
		l.must(err)
		_, err = e.Apply(ctx, plans, engine.ApplyOptions{GuestWait: &wait}) // the first seed is not exchanged
		l.must(err)
		uuid := l.record("gpu-1").UUID
		l.must(remove("gpu-1")(ctx, e))
		volume := "local:iso/" + inventory.SeedName(uuid, false)
		image, there := l.sim.Upload("pve1", volume)
		if !there || bytes.Contains(image, []byte(seedCanary)) || len(image) > 100_000 {
			t.Errorf("the image is there: %v, with %d bytes", there, len(image))
		}
		plans, err = e.ask(ctx, plan.Request{Verb: plan.ReleaseOrphans})
		l.must(err)
		listed := ""
		for _, f := range plans.Plans[0].Findings {
			if f.ID == finding.SeedLeft {
				listed += f.Fix + "\n"
			}
		}
		if want := "on pve1: pvesm free " + volume + "\n"; listed != want {
			t.Errorf("listed %q, want %q", listed, want)
		}
		l.whole()
	})
}

// A worker that no document declares any more is parked, started and accepted without a
// word about documents: its guest keeps its orders, except for the identity of its GPU.
func TestAGuestThatNoDocumentDeclaresKeepsItsOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, oneHost)
		ctx := context.Background()
		l.must(apply(ctx, l.engine("ops@desk", seeded, nil)))
		e := l.engine("ops@desk", plainWorkers(1), nil)
		l.must(park("gpu-1")(ctx, e))
		l.exchangeCard("0000:03:00.0")
		other := l.gpuIn("0000:03:00.0")
		if err := unpark("gpu-1")(ctx, e); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), other) {
			t.Errorf("unpark: %v", err)
		}
		plans, err := e.ask(ctx, plan.Request{Verb: plan.AcceptGPU, Workers: []string{"gpu-1"}, GPU: other})
		l.must(err)
		applied, err := e.Apply(ctx, plans, engine.ApplyOptions{})
		l.must(err)
		for _, o := range applied.Results[0].Outcomes {
			if len(o.Warnings) > 0 {
				t.Errorf("warned: %+v", o.Warnings)
			}
		}
		if orders := l.sim.State().VMs[l.vmOf("gpu-1")].Files["/etc/gpuworker/orders.json"]; !strings.Contains(orders, other) || !strings.Contains(orders, `"Packages"`) {
			t.Errorf("orders %s", orders)
		}
		l.whole()
	})
}

// An adopted VM may have images of ours, of the time before it was disowned. They end with
// it.
func TestTheSeedsOfAnAdoptedVMEndWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, oneHost, func(w *pvesim.World) {
			w.Roles = maps.Clone(w.Roles)
			w.Roles["GpuWorkerStorage"] = append(slices.Clone(w.Roles["GpuWorkerStorage"]), "Datastore.Allocate")
		})
		ctx, e := context.Background(), l.engine("ops@desk", seeded, nil)
		l.must(apply(ctx, e))
		l.must(disown("gpu-1")(ctx, e))
		l.must(adopt(9100, "gpu-1")(ctx, e))
		if s := l.seeds(); !s["clean"] {
			t.Fatalf("the VM has no seed: %v", s)
		}
		l.allow("gpu-1")
		l.must(remove("gpu-1")(ctx, e))
		if s := l.seeds(); len(s) > 0 {
			t.Errorf("left: %v", s)
		}
		l.whole()
	})
}

// Somebody removes the image of a parked worker from the storage, because it looks unused.
// The VM does not start then; what the message says helps, and the guest is the same as
// before.
func TestARemovedImageIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, oneHost)
		ctx, e, root := context.Background(), l.engine("ops@desk", seeded, nil), l.root()
		l.must(apply(ctx, e))
		l.must(park("gpu-1")(ctx, e))
		id := l.vmOf("gpu-1")
		clean := "local:iso/" + inventory.SeedName(l.record("gpu-1").UUID, true)
		was, ok := l.sim.Upload("pve1", clean)
		if !ok {
			t.Fatal("no clean seed")
		}
		l.await(root.DeleteVolume(ctx, "pve1", clean))
		if err := unpark("gpu-1")(ctx, e); err == nil || !strings.Contains(fault.FixOf(err), "Do not use any media") {
			t.Fatalf("%v\n%s", err, fault.FixOf(err))
		}
		l.must(root.UpdateConfig(ctx, "pve1", id, pve.ConfigUpdate{Set: map[string]string{"ide2": "none,media=cdrom"}}))
		l.must(unpark("gpu-1")(ctx, e))
		if is, ok := l.sim.Upload("pve1", clean); !ok || !bytes.Equal(is, was) || !strings.Contains(l.sim.State().VMs[id].Config["ide2"], clean) {
			t.Errorf("the seed is not as before: %v, %s", ok, l.sim.State().VMs[id].Config["ide2"])
		}
		l.whole()
	})
}
