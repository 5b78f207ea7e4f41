package proxmox

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/bootstrap"
	drivers "github.com/gpuworker/gpuworker/internal/driver"
	"github.com/gpuworker/gpuworker/internal/fault"
	guests "github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/pve"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

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
		if !status.Ready || len(status.Steps) != 10 || len(status.GPUs) != 1 || !guests.IsGPUUUID(status.GPUs[0].UUID) || status.UUID != s.ref.UUID {
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
