package proxmox

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gpuworker/gpuworker/internal/fault"
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
		if !fault.Is(err, fault.NotFound) || !strings.Contains(fault.FixOf(err), "Do not use any media") {
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

func TestTheDriveForASeed(t *testing.T) {
	const uuid = "0b7dd7b9-8a51-4a38-8ef2-2f3f5c1f4a10"
	for name, c := range map[string]struct {
		drives options
		want   string
	}{
		"none":                                {options{}, "ide2"},
		"the installer's ISO":                 {options{"ide2": "local:iso/ubuntu.iso,media=cdrom"}, "ide0"},
		"a drive without a medium":            {options{"sata3": "none,media=cdrom"}, "sata3"},
		"the drive of cloud-init goes first":  {options{"ide2": "none,media=cdrom", "sata1": "local-lvm:vm-1-cloudinit,media=cdrom"}, "sata1"},
		"a disk is no drive without a medium": {options{"ide2": "none"}, "ide0"},
		"the drive that has it":               {options{"ide2": "none,media=cdrom", "ide0": "nas:iso/" + inventory.SeedName(uuid, true) + ",media=cdrom"}, "ide0"},
		"all are in use":                      {options{"ide0": "x:1", "ide2": "x:2", "sata0": "x:3", "sata1": "x:4", "sata2": "x:5", "sata3": "x:6", "sata4": "x:7", "sata5": "x:8"}, ""},
	} {
		if got := c.drives.seedOf(uuid).key; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// No second drive may have a seed: cloud-init would take any of them.
func TestNoSecondSeedIsLeft(t *testing.T) {
	for name, drive := range map[string]struct {
		set  map[string]string
		key  string
		left string // what ide2 has afterwards
	}{
		"the drive of cloud-init is at another place": {map[string]string{"ide2": "none,media=cdrom", "sata1": "local-lvm:cloudinit"}, "sata1", "none,media=cdrom"},
		"there is none, but an empty drive":           {map[string]string{"ide2": "none,media=cdrom"}, "ide2", firstImage},
	} {
		t.Run(name, func(t *testing.T) {
			seeded(t, nil, func(s *seeding) {
				for _, key := range []string{"ide2", "sata1"} {
					if value := drive.set[key]; value != "" {
						must(s.T, rootOf(s.T, s.sim).UpdateConfig(s.Context(), "pve1", 9101, pve.ConfigUpdate{Set: map[string]string{key: value}}))
					}
				}
				must(s.T, s.set(false, image("first")))
				if got := s.config(drive.key); !strings.HasPrefix(got, firstImage) || !strings.HasPrefix(s.config("ide2"), drive.left) {
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
