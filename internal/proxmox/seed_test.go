package proxmox

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/bootstrap"
	drivers "github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/fault"
	guests "github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// seeding is a stopped GPU worker with its card, before its seed.
type seeding struct {
	*testing.T
	sim    *pvesim.Sim
	b      driver
	record inventory.Record
	ref    inventory.VMRef
}

// seeded plays a scenario with a stopped worker; change may change the world before.
func seeded(t *testing.T, change func(*pvesim.World), play func(*seeding)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := world(t)
		for i := range w.VMs {
			if w.VMs[i].ID == 9000 {
				w.VMs[i].Guest.OS = "ubuntu 24.04"
			}
		}
		if change != nil {
			change(&w)
		}
		sim, err := pvesim.New(w, pvesim.WithLog(t.Logf))
		must(t, err)
		defer sim.Close()
		s := &seeding{T: t, sim: sim, b: open(t, sim, tokenOf(t, w, "gpuworker@pve!engine")), record: gpuRecord()}
		s.ref = refOf(s.record)
		ctx, desired := t.Context(), gpuMachine()
		desired.Guest.SSHKeys = nil
		must(t, s.b.Claim(ctx, s.record, inventory.Record{}))
		must(t, s.b.Clone(ctx, order(s.record)))
		must(t, s.b.Configure(ctx, s.record, desired))
		card := inventory.Card{Ref: s.record.Card, PCIe: true, ROMBar: true}
		must(t, s.b.Attach(ctx, s.record, card))
		play(s)
	})
}

func (s *seeding) set(clean bool, image []byte) error {
	return finish(s.Context(), func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return s.b.SetSeed(ctx, s.ref, hypervisor.Seed{Clean: clean, Image: image}, h)
	})
}

func (s *seeding) remove(blank []byte) error {
	return of(s.Context(), s.ref, func(ctx context.Context, ref inventory.VMRef, h hypervisor.Handle) (*hypervisor.Wait, error) {
		return s.b.RemoveSeeds(ctx, ref, blank, h)
	})
}

// run runs a command in the guest to its end.
func (s *seeding) run(command ...string) *hypervisor.GuestResult {
	s.Helper()
	var result *hypervisor.GuestResult
	must(s.T, finish(s.Context(), func(ctx context.Context, h hypervisor.Handle) (wait *hypervisor.Wait, err error) {
		result, wait, err = s.b.RunInGuest(ctx, s.ref, command, h)
		return wait, err
	}))
	return result
}

func (s *seeding) power(method func(context.Context, inventory.VMRef, hypervisor.Handle) (*hypervisor.Wait, error)) {
	s.Helper()
	must(s.T, of(s.Context(), s.ref, method))
}

func (s *seeding) config(key string) string {
	s.Helper()
	config, err := s.b.client.Pending(s.Context(), "pve1", 9101)
	must(s.T, err)
	return nextOptions(config)[key]
}

// images are the names of our images on the storage, with "(content)" of each.
func (s *seeding) images() []string {
	s.Helper()
	var out []string
	for id := range s.sim.State().Volumes {
		if strings.Contains(id, "gpuworker-") {
			data, _ := s.sim.Upload("pve1", id[strings.Index(id, "local:"):])
			text, _, _ := strings.Cut(string(data), "\x00")
			out = append(out, id[strings.Index(id, "local:"):]+" ("+text+")")
		}
	}
	slices.Sort(out)
	return out
}

func (s *seeding) want(what string, got, want []string) {
	s.Helper()
	if !slices.Equal(got, want) {
		s.Errorf("%s: %q, want %q", what, got, want)
	}
}

const (
	firstImage = "local:iso/gpuworker-0b7dd7b9-8a51-4a38-8ef2-2f3f5c1f4a10.iso"
	cleanImage = "local:iso/gpuworker-0b7dd7b9-8a51-4a38-8ef2-2f3f5c1f4a10-clean.iso"
)

// mayRemove gives the engine the optional privilege.
func mayRemove(w *pvesim.World) {
	w.Roles["GpuWorkerStorage"] = append(w.Roles["GpuWorkerStorage"], "Datastore.Allocate")
}

// canary stands for a secret of the first seed.
const canary = "canary-7f3a"

func TestTheFirstSeedIsGoneAfterTheExchange(t *testing.T) {
	for name, tc := range map[string]struct {
		change               func(*pvesim.World)
		exchanged, atTheEnd  []string
		firstIsClean, leaves bool
	}{
		"removed":     {mayRemove, []string{cleanImage + " (clean)"}, nil, false, false},
		"overwritten": {nil, []string{cleanImage + " (clean)", firstImage + " (clean)"}, []string{cleanImage + " (blank)", firstImage + " (clean)"}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			seeded(t, tc.change, func(s *seeding) {
				must(s.T, s.set(false, image(canary)))
				if drive := s.config("ide2"); !strings.HasPrefix(drive, firstImage+",media=cdrom") {
					s.Errorf("the drive of cloud-init is %q", drive)
				}
				s.want("first", s.images(), []string{firstImage + " (" + canary + ")"})
				s.power(s.b.Backend.Start)
				must(s.T, s.set(true, image("clean")))
				s.want("exchanged", s.images(), slices.Sorted(slices.Values(tc.exchanged)))
				snapshot, err := s.b.Observe(s.Context(), hypervisor.Scope{Seeds: true})
				must(s.T, err)
				for _, seed := range snapshot.Seeds {
					if !seed.Clean || seed.UUID != s.record.UUID || seed.Host != "pve1" {
						s.Errorf("the image is seen as %+v", seed)
					}
				}
				if len(snapshot.Seeds) != len(tc.exchanged) || snapshot.VM("9101").Seed != inventory.CleanSeed {
					s.Errorf("%d images, seed %q", len(snapshot.Seeds), snapshot.VM("9101").Seed)
				}
				if err := s.remove(image("blank")); !fault.Is(err, fault.Refused) {
					s.Errorf("removed from a running VM: %v", err)
				}
				s.power(s.b.Backend.Stop)
				must(s.T, s.remove(image("blank")))
				s.want("at the end", s.images(), slices.Sorted(slices.Values(tc.atTheEnd)))
			})
		})
	}
}

// Another seed with the same size is another seed.
func TestASeedIsKnownByItsContent(t *testing.T) {
	seeded(t, nil, func(s *seeding) {
		must(s.T, s.set(false, image("one")))
		must(s.T, s.set(false, image("two")))
		s.want("at last", s.images(), []string{firstImage + " (two)"})
		writes := writesOf(s.sim)
		must(s.T, s.set(false, image("two")))
		if more := writesOf(s.sim) - writes; more != 0 {
			s.Errorf("the same seed again: %d writes", more)
		}
		// Somebody removed the image: the VM would not start.
		task, err := rootOf(s.T, s.sim).DeleteVolume(s.Context(), "pve1", firstImage)
		must(s.T, err)
		must(s.T, task.Wait(s.Context()))
		err = of(s.Context(), s.ref, s.b.Backend.Start)
		if !fault.Is(err, fault.NotFound) || !strings.Contains(fault.FixOf(err), "cidata") {
			s.Errorf("started without its image: %v: %s", err, fault.FixOf(err))
		}
		must(s.T, s.set(false, image("two")))
		s.power(s.b.Backend.Start)
		if err := s.set(false, image("three")); !fault.Is(err, fault.Refused) || fault.FixOf(err) == "" {
			s.Errorf("another first seed for a running VM: %v", err)
		}
	})
}

func writesOf(sim *pvesim.Sim) int {
	n := 0
	for _, r := range sim.Requests() {
		if r.Method != "GET" {
			n++
		}
	}
	return n
}

func rootOf(t *testing.T, sim *pvesim.Sim) *pve.Client {
	t.Helper()
	root, err := pve.New(pve.Options{Endpoint: "https://pve1:8006", Username: "root@pam", Password: "homelab-root", Transport: sim.Transport()})
	must(t, err)
	return root
}

// No second drive may have a seed: cloud-init would take any of them.
func TestNoSecondSeedIsLeft(t *testing.T) {
	for name, drive := range map[string]struct {
		set  map[string]string
		key  string
		left string // what the other drive has afterwards
	}{
		"the drive of cloud-init is at another place": {map[string]string{"ide2": "none,media=cdrom", "sata1": "local-lvm:cloudinit"}, "sata1", "none,media=cdrom"},
		"there is none": {map[string]string{"ide2": "none,media=cdrom"}, "ide0", "none,media=cdrom"},
	} {
		t.Run(name, func(t *testing.T) {
			seeded(t, nil, func(s *seeding) {
				for _, key := range []string{"ide2", "sata1"} {
					if value := drive.set[key]; value != "" {
						must(s.T, rootOf(s.T, s.sim).UpdateConfig(s.Context(), "pve1", 9101, pve.ConfigUpdate{Set: map[string]string{key: value}}))
					}
				}
				must(s.T, s.set(false, image("first")))
				if got := s.config(drive.key); !strings.HasPrefix(got, firstImage) || s.config("ide2") != drive.left {
					s.Errorf("%s is %q, ide2 is %q", drive.key, got, s.config("ide2"))
				}
				must(s.T, rootOf(s.T, s.sim).UpdateConfig(s.Context(), "pve1", 9101, pve.ConfigUpdate{Set: map[string]string{"sata5": "local-lvm:cloudinit"}}))
				must(s.T, s.set(false, image("first")))
				if got := s.config("sata5"); got != "none,media=cdrom" {
					s.Errorf("the drive that was added is %q", got)
				}
			})
		})
	}
}

func TestWhyASeedCannotBeSet(t *testing.T) {
	local := func(change func(*pvesim.Storage)) func(*pvesim.World) {
		return func(w *pvesim.World) {
			for i := range w.Storages {
				if w.Storages[i].Name == "local" {
					change(&w.Storages[i])
				}
			}
		}
	}
	for name, tc := range map[string]struct {
		change func(*pvesim.World)
		kind   fault.Kind
		why    string
		fix    string
	}{
		"no ISO images on the storage": {local(func(st *pvesim.Storage) { st.Content = []string{"vztmpl"} }), fault.Invalid, "does not support 'iso' content", "allow ISO images on storage local"},
		"no such storage":              {local(func(st *pvesim.Storage) { st.Name = "other" }), fault.NotFound, "storage 'local' does not exist", "isoStorage"},
		"not on this host":             {local(func(st *pvesim.Storage) { st.Nodes = []string{"pve2"} }), fault.Invalid, "local", "make storage local available on pve1"},
		"a full storage":               {local(func(st *pvesim.Storage) { st.CapacityGiB = 1e-6 }), fault.Refused, "No space left on device", "free space on storage local of pve1"},
		"a privilege is missing": {func(w *pvesim.World) {
			w.Roles["GpuWorkerStorage"] = []string{"Datastore.Audit", "Datastore.AllocateSpace"}
		}, fault.Denied, "(/storage/local, Datastore.AllocateTemplate)", "gpuworker role"},
		"no privilege for the drive": {func(w *pvesim.World) {
			w.Roles["GpuWorkerVM"] = slices.DeleteFunc(w.Roles["GpuWorkerVM"], func(p string) bool { return p == "VM.Config.CDROM" })
		}, fault.Denied, "VM.Config.CDROM", "gpuworker role"},
	} {
		t.Run(name, func(t *testing.T) {
			seeded(t, tc.change, func(s *seeding) {
				err := s.set(false, image(canary))
				if !fault.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.why) || !strings.Contains(fault.FixOf(err), tc.fix) {
					s.Errorf("%s: %v\n→ %s", fault.KindOf(err), err, fault.FixOf(err))
				}
				if strings.Contains(err.Error(), canary) {
					s.Error("the error has the secret")
				}
			})
		})
	}
}

func TestTheImagesOfSeedsAreSeen(t *testing.T) {
	seeded(t, func(w *pvesim.World) {
		w.Storages = append(w.Storages, pvesim.Storage{Name: "nas-iso", Type: "nfs", Path: "/mnt/pve/nas-iso", Content: []string{"iso"}, Shared: true, CapacityGiB: 10})
	}, func(s *seeding) {
		s.b.spec.ISOStorage = "nas-iso"
		must(s.T, s.set(false, image("first")))
		before := len(s.sim.Requests())
		snapshot, err := s.b.Observe(s.Context(), hypervisor.Scope{Seeds: true})
		must(s.T, err)
		lists := 0
		for _, r := range s.sim.Requests()[before:] {
			if strings.HasSuffix(r.Path, "/storage/nas-iso/content") {
				lists++
			}
		}
		if len(snapshot.Seeds) != 1 || snapshot.Seeds[0].Clean || lists != 1 || snapshot.VM("9101").Seed != inventory.FirstSeed || snapshot.VM("9101").CloudInit {
			s.Errorf("%d lists of a shared storage show %+v; the VM has %q", lists, snapshot.Seeds, snapshot.VM("9101").Seed)
		}
		must(s.T, s.sim.Inject(pvesim.Fault{Path: "/nodes/pve2/storage/local/content", Times: -1, Effect: pvesim.Status, Code: 500, Text: "storage 'local' is not online"}))
		s.b.spec.ISOStorage = "local"
		snapshot, err = s.b.Observe(s.Context(), hypervisor.Scope{Seeds: true})
		must(s.T, err)
		if gaps := snapshot.Host("pve2").Gaps; len(gaps) != 1 || !strings.Contains(gaps[0].Why, "not online") || len(snapshot.Host("pve1").Gaps) > 0 {
			s.Errorf("gaps of pve2: %+v, of pve1: %+v", gaps, snapshot.Host("pve1").Gaps)
		}
	})
}

// A VM that moved to another host meanwhile keeps its image, also on a shared storage.
func TestTheSeedOfAVMThatMovedIsKept(t *testing.T) {
	seeded(t, nil, func(s *seeding) {
		must(s.T, s.set(false, image("first")))
		s.ref.Host = "pve2"
		if err := s.remove(image("blank")); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "on host pve1 now") {
			s.Errorf("removed: %v", err)
		}
		s.want("kept", s.images(), []string{firstImage + " (first)"})
	})
}

// seedsOf renders the seeds of the worker as the engine does.
func (s *seeding) seedsOf() (first, clean []byte) {
	s.Helper()
	vm, err := s.b.ObserveVM(s.Context(), s.ref)
	must(s.T, err)
	w := bootstrap.Worker{
		Name: s.ref.Name, UUID: s.ref.UUID, OS: drivers.Ubuntu2404,
		NICs:   []bootstrap.NIC{{MAC: vm.Machine.NIC(0).MAC, Address: "192.0.2.21/24", Gateway: "192.0.2.1"}},
		Access: v1alpha1.Access{User: "ops"},
		Orders: guests.Orders{
			Version: guests.Version, Program: "v0.1.0", Worker: s.ref.Name, UUID: s.ref.UUID,
			Driver: drivers.Order{Strategy: drivers.Packages, Branch: "580", Open: true, Toolkit: true}, GPU: &guests.GPU{ID: "10de:1eb8"},
		},
		Program: bootstrap.Source{Delivery: v1alpha1.DeliverySeedISO, Builds: []bootstrap.Build{bootstrap.NewBuild("amd64", []byte("ELF"))}},
	}
	render := func(seed bootstrap.Seed, err error) []byte {
		must(s.T, err)
		data, err := seed.ISO()
		must(s.T, err)
		return data
	}
	return render(bootstrap.Render(w)), render(bootstrap.Clean(w))
}

// The real seed, the simulated guest and the reader of its status fit together.
func TestAGuestBecomesAWorkerFromItsSeed(t *testing.T) {
	seeded(t, nil, func(s *seeding) {
		first, clean := s.seedsOf()
		must(s.T, s.set(false, first))
		s.power(s.b.Backend.Start)
		if _, err := s.b.ReadGuest(s.Context(), s.ref, guests.StatusFile, guests.MaxStatus); !fault.Is(err, fault.Unavailable) || fault.FixOf(err) == "" {
			s.Errorf("while it boots: %v", err)
		}
		time.Sleep(30 * time.Second)
		if _, err := s.b.ReadGuest(s.Context(), s.ref, guests.StatusFile, guests.MaxStatus); !fault.Is(err, fault.NotFound) {
			s.Errorf("before the bootstrap: %v", err)
		}
		var cloudInit struct{ Status string }
		result := s.run("cloud-init", "status", "--format=json")
		if err := json.Unmarshal([]byte(result.Out), &cloudInit); err != nil || cloudInit.Status != "running" {
			s.Errorf("cloud-init: %v %+v", err, result)
		}
		time.Sleep(5 * time.Minute)
		status := s.status()
		if !status.Ready || len(status.Steps) != 9 || len(status.GPUs) != 1 || !guests.IsGPUUUID(status.GPUs[0].UUID) || status.UUID != s.ref.UUID {
			s.Fatalf("%+v", status)
		}
		orders, err := s.b.ReadGuest(s.Context(), s.ref, guests.OrdersFile, guests.MaxStatus)
		must(s.T, err)
		parsed, err := guests.ParseOrders(orders)
		must(s.T, err)
		parsed.GPU.UUID = status.GPUs[0].UUID
		text, err := json.Marshal(parsed)
		must(s.T, err)
		must(s.T, s.b.WriteGuest(s.Context(), s.ref, guests.OrdersFile, text))
		if result := s.run("systemctl", "restart", "--no-block", "gpuworker-guest.service"); result.ExitCode != 0 {
			s.Errorf("restart: %+v", result)
		}
		must(s.T, s.set(true, clean))
		s.power(s.b.Backend.Stop)
		s.power(s.b.Backend.Start)
		time.Sleep(5 * time.Minute)
		again := s.status()
		if !again.Ready || again.BootID == status.BootID || again.GPUs[0].UUID != status.GPUs[0].UUID {
			s.Errorf("after a restart with the clean seed: %+v", again)
		}
	})
}

// status reads the guest's status, and that it is of this boot.
func (s *seeding) status() *guests.Status {
	s.Helper()
	data, err := s.b.ReadGuest(s.Context(), s.ref, guests.StatusFile, guests.MaxStatus)
	must(s.T, err)
	status, err := guests.ParseStatus(data)
	must(s.T, err)
	boot, err := s.b.ReadGuest(s.Context(), s.ref, "/proc/sys/kernel/random/boot_id", 64)
	must(s.T, err)
	if status.BootID != strings.TrimSpace(string(boot)) {
		s.Errorf("the status is of boot %s, this is boot %s", status.BootID, boot)
	}
	return status
}

func TestWhatAGuestRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*seeding) error
		kind   fault.Kind
		why    string
	}{
		"an agent that forbids files and commands": {func(s *seeding) error {
			return s.sim.SetGuest(9101, pvesim.Guest{OS: "rocky 9", Agent: true, Forbid: pvesim.RHELForbids})
		}, fault.Denied, "the agent in the guest forbids it"},
		"an agent that is down": {func(s *seeding) error { return s.sim.SetGuestFaults(9101, pvesim.GuestNoAgent) }, fault.Unavailable, "not running"},
		"a guest that is off": {func(s *seeding) error {
			return of(s.Context(), s.ref, s.b.Backend.Stop)
		}, fault.Unavailable, "not running"},
		"another VM": {func(s *seeding) error {
			return rootOf(s.T, s.sim).UpdateConfig(s.Context(), "pve1", 9101, pve.ConfigUpdate{Set: map[string]string{"name": "payroll"}})
		}, fault.Conflict, "payroll"},
	} {
		t.Run(name, func(t *testing.T) {
			seeded(t, nil, func(s *seeding) {
				s.power(s.b.Backend.Start)
				time.Sleep(time.Minute)
				must(s.T, s.b.WriteGuest(s.Context(), s.ref, "/tmp/x", []byte("before")))
				must(s.T, tc.change(s))
				check := func(what string, err error) {
					s.Helper()
					if !fault.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.why) || fault.FixOf(err) == "" {
						s.Errorf("%s: %s %v\n→ %s", what, fault.KindOf(err), err, fault.FixOf(err))
					}
				}
				check("write", s.b.WriteGuest(s.Context(), s.ref, "/tmp/x", []byte("after")))
				_, _, err := s.b.RunInGuest(s.Context(), s.ref, []string{"rm", "/tmp/x"}, "")
				check("run", err)
				content, err := s.b.ReadGuest(s.Context(), s.ref, "/tmp/x", 100)
				if tc.kind != fault.Conflict { // reading changes nothing, so it proves nothing
					check("read", err)
				} else if err != nil || string(content) != "before" {
					s.Errorf("another VM was written to: %q, %v", content, err)
				}
			})
		})
	}
}

// An agent that may open files, but not write them, would leave an empty file.
func TestAFileIsNotEmptiedByAnAgentThatMayNotWriteIt(t *testing.T) {
	seeded(t, nil, func(s *seeding) {
		s.power(s.b.Backend.Start)
		time.Sleep(time.Minute)
		must(s.T, s.b.WriteGuest(s.Context(), s.ref, "/tmp/x", []byte("before")))
		must(s.T, s.sim.SetGuest(9101, pvesim.Guest{OS: "ubuntu 24.04", Agent: true, Forbid: []string{"file-write"}}))
		if err := s.b.WriteGuest(s.Context(), s.ref, "/tmp/x", []byte("after")); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "guest-file-write") {
			s.Errorf("write: %v", err)
		}
		if content, err := s.b.ReadGuest(s.Context(), s.ref, "/tmp/x", 100); err != nil || string(content) != "before" {
			s.Errorf("the file has %q, %v", content, err)
		}
	})
}

// A result that is lost each time is not asked for without end.
func TestACommandIsNotRepeatedForEver(t *testing.T) {
	seeded(t, nil, func(s *seeding) {
		s.power(s.b.Backend.Start)
		time.Sleep(time.Minute)
		must(s.T, s.sim.Inject(pvesim.Fault{Path: "/agent/exec-status", Times: -1, Effect: pvesim.Status, Code: 500, Text: "Agent error: PID 501 does not exist"}))
		err := finish(s.Context(), func(ctx context.Context, h hypervisor.Handle) (*hypervisor.Wait, error) {
			_, wait, err := s.b.RunInGuest(ctx, s.ref, []string{"true"}, h)
			return wait, err
		})
		if !fault.Is(err, fault.Failed) || !strings.Contains(err.Error(), "lost 3 times") {
			s.Error(err)
		}
	})
}
