package planner

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// TestChanges changes one declared field and checks the plan for a running
// semi-persistent worker, a parked one, and an ephemeral one.
func TestChanges(t *testing.T) {
	const (
		configure = " VM 9100 [configure]"
		restart   = " VM 9100 [shutdown configure start agent]"
		replace   = " VM 9100 [unprotect shutdown destroy clone configure start agent]"
		ask       = " → gpuworker apply --allow-restart"
		remake    = " → gpuworker replace w-1"
	)
	yes, no := true, false
	scenarios := []struct {
		name                     string
		change                   func(*v1alpha1.WorkerPoolSpec)
		shown                    string
		running, parked, fleeing string // what becomes of each
	}{
		{"a new label", func(s *v1alpha1.WorkerPoolSpec) { s.Labels = map[string]string{"a": "b", "zone": "x"} },
			"labels: +zone=x (live)", "update" + configure, "update" + configure, "update" + configure},
		{"a taint that is gone", func(s *v1alpha1.WorkerPoolSpec) { s.Taints = nil },
			"taints: -gpu=yes:NoSchedule (live)", "update" + configure, "update" + configure, "update" + configure},
		{"no start at boot", func(s *v1alpha1.WorkerPoolSpec) { s.Proxmox.OnBoot = &no },
			"proxmox.onBoot: yes → no (live)", "update" + configure, "update" + configure, "update" + configure},
		{"another bridge", func(s *v1alpha1.WorkerPoolSpec) { s.Networks = []v1alpha1.Network{{Name: "vmbr1"}} },
			"networks[0].name: vmbr0 → vmbr1 (live)", "update" + configure, "update" + configure, "update" + configure},
		{"a larger disk", func(s *v1alpha1.WorkerPoolSpec) { s.Machine.Disk.Size = resource.MustParse("80Gi") },
			"machine.disk.size: 40 GiB → 80 GiB (live)", "update" + configure, "update" + configure, "update" + configure},
		{"a smaller disk", func(s *v1alpha1.WorkerPoolSpec) { s.Machine.Disk.Size = resource.MustParse("20Gi") },
			"machine.disk.size: 40 GiB → 20 GiB (replace only)", "hold" + remake, "hold" + remake, "replace" + replace},
		{"another login", func(s *v1alpha1.WorkerPoolSpec) { s.Access.User = "admin" },
			"access.user: ops → admin (next boot)", "update" + configure, "update" + configure, "update" + configure},
		{"a second key", func(s *v1alpha1.WorkerPoolSpec) {
			s.Access.SSHKeys = append(s.Access.SSHKeys, "ssh-ed25519 BBBBCCCCDDDD")
		}, "access.sshKeys: ops@desk → ops@desk, …CCCCDDDD (next boot)",
			"update" + configure, "update" + configure, "update" + configure},
		{"name servers", func(s *v1alpha1.WorkerPoolSpec) { s.DNS.Servers = []string{"192.0.2.53"} },
			"dns.servers: none → 192.0.2.53 (next boot)", "update" + configure, "update" + configure, "update" + configure},
		{"more cores", func(s *v1alpha1.WorkerPoolSpec) { s.Machine.Cores = 8 },
			"machine.cores: 4 → 8 (stop/start)", "hold" + ask, "update" + configure, "restart" + restart},
		{"another CPU model", func(s *v1alpha1.WorkerPoolSpec) { s.Proxmox.CPU = "x86-64-v3" },
			"proxmox.cpu: host → x86-64-v3 (stop/start)", "hold" + ask, "update" + configure, "restart" + restart},
		{"another chipset", func(s *v1alpha1.WorkerPoolSpec) { s.Proxmox.MachineType = v1alpha1.I440FX },
			"proxmox.machineType: q35 → i440fx (stop/start)", "hold" + ask, "update" + configure, "restart" + restart},
		{"another template", func(s *v1alpha1.WorkerPoolSpec) { s.Template.Name = "ubuntu-24.04" },
			"template: ubuntu-22.04 → ubuntu-24.04 (replace only)", "hold" + remake, "hold" + remake, "replace" + replace},
		{"another firmware", func(s *v1alpha1.WorkerPoolSpec) { s.Machine.Firmware = v1alpha1.BIOS },
			"machine.firmware: UEFI → BIOS (replace only)", "hold" + remake, "hold" + remake, "replace" + replace},
		{"the firmware of the template, whatever it is", func(s *v1alpha1.WorkerPoolSpec) { s.Machine.Firmware = v1alpha1.FirmwareTemplate },
			"", "keep", "keep", "keep"},
		{"the disk of the template, whatever it is", func(s *v1alpha1.WorkerPoolSpec) { s.Machine.Disk.Size = resource.Quantity{} },
			"", "keep", "keep", "keep"},
		{"the login of the image, whatever it is", func(s *v1alpha1.WorkerPoolSpec) { s.Access.User = "" },
			"", "keep", "keep", "keep"},
		{"what is so already", func(s *v1alpha1.WorkerPoolSpec) { s.Proxmox.OnBoot = &yes }, "", "keep", "keep", "keep"},
	}
	declare := func(lifecycle v1alpha1.Lifecycle, change func(*v1alpha1.WorkerPoolSpec)) v1alpha1.WorkerPool {
		return pool("w", replicas(1), spec(func(s *v1alpha1.WorkerPoolSpec) {
			s.Lifecycle, s.Labels = lifecycle, map[string]string{"a": "b"}
			s.Taints = []v1alpha1.Taint{{Key: "gpu", Value: "yes", Effect: v1alpha1.NoSchedule}}
			s.Access.User, s.Access.SSHKeys = "ops", []string{"ssh-ed25519 AAAA ops@desk"}
			s.Machine.Disk.Size = resource.MustParse("40Gi")
			change(s)
		}))
	}
	nothing := func(*v1alpha1.WorkerPoolSpec) {}
	world := func(vm *VMBuilder) *inventory.Snapshot {
		return Observed(Host("pve1"), Template(9000, "ubuntu-22.04", "pve1"), Template(9001, "ubuntu-24.04", "pve1"), vm)
	}
	for _, s := range scenarios {
		for _, variant := range []struct {
			name string
			in   Input
			want string
		}{
			{"running", lab(world(made(declare(v1alpha1.SemiPersistent, nothing), 1, 9100, "pve1", "").Running()), declare(v1alpha1.SemiPersistent, s.change)), s.running},
			{"parked", lab(world(made(declare(v1alpha1.SemiPersistent, nothing), 1, 9100, "pve1", "").Parked()), declare(v1alpha1.SemiPersistent, s.change)), s.parked},
			{"ephemeral", lab(world(made(declare(v1alpha1.Ephemeral, nothing), 1, 9100, "pve1", "").Running()), declare(v1alpha1.Ephemeral, s.change)), s.fleeing},
		} {
			t.Run(s.name+"/"+variant.name, func(t *testing.T) {
				p := Build(variant.in)
				w := worker(t, p, "w-1")
				var shown []string
				for _, c := range w.Changes {
					shown = append(shown, c.String())
				}
				w.Changes = nil
				if diff := cmp.Diff(without(s.shown), shown); diff != "" {
					t.Errorf("changes (-want +got):\n%s", diff)
				}
				got := lines(p)[0]
				want := "w-1 " + variant.want
				if variant.want != "keep" {
					want = "w-1 " + insertHost(variant.want)
				}
				if got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		}
	}
}

func without(shown string) []string {
	if shown == "" {
		return nil
	}
	return []string{shown}
}

// insertHost puts the host after the action: "hold → …" is "hold pve1 → …".
func insertHost(text string) string {
	for i, r := range text {
		if r == ' ' {
			return text[:i] + " pve1" + text[i:]
		}
	}
	return text + " pve1"
}

func TestAMixedChangeIsAppliedInParts(t *testing.T) {
	was := pool("gpu", exact("pve1", "0000:03:00.0"), memory("16Gi"))
	now := pool("gpu", exact("pve1", "0000:03:00.0"), memory("32Gi"), label("zone", "a"), spec(func(s *v1alpha1.WorkerPoolSpec) {
		yes := true
		s.Proxmox.XVGA, s.Machine.Firmware = &yes, v1alpha1.BIOS
	}))
	world := twoT4s(claim(was, 1, 9100, "pve1", "03:00"), made(was, 1, 9100, "pve1", "03:00").Running())

	t.Run("without leave to restart only the live part is done", func(t *testing.T) {
		w := worker(t, Build(lab(world, now)), "gpu-1")
		if w.Action != plan.Update || len(w.Changes) != 4 {
			t.Errorf("%s %v", w.Action, w.Changes)
		}
		if w.Desired.MemoryMiB != 16384 || w.Desired.Card.XVGA || w.Desired.Firmware != inventory.FirmwareUEFI {
			t.Errorf("what must wait is written: %+v", w.Desired)
		}
		if w.Record.Labels != "zone=a" {
			t.Errorf("the label is not: %+v", w.Record)
		}
	})
	t.Run("with it all but the firmware is done", func(t *testing.T) {
		in := lab(world, now)
		in.Request.AllowRestart = true
		p := Build(in)
		want := []string{"gpu-1 restart pve1/0000:03:00.0 VM 9100 [shutdown configure attach start agent] " +
			"{labels: +zone=a (live)} {machine.memory: 16 GiB → 32 GiB (stop/start)} {proxmox.xVGA: no → yes (stop/start)} " +
			"{machine.firmware: UEFI → BIOS (replace only)} → gpuworker replace gpu-1"}
		if diff := cmp.Diff(want, lines(p)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		w := worker(t, p, "gpu-1")
		if w.Desired.MemoryMiB != 32768 || !w.Desired.Card.XVGA || w.Desired.Firmware != inventory.FirmwareUEFI {
			t.Errorf("desired: %+v", w.Desired)
		}
	})
	t.Run("a restart that would not find its memory is refused before the stop", func(t *testing.T) {
		in := lab(Observed(Host("pve1", T4("03:00")).Memory(32, 20), Template(9000, "ubuntu-22.04", "pve1"),
			claim(was, 1, 9100, "pve1", "03:00"), made(was, 1, 9100, "pve1", "03:00").Running()), now)
		in.Request.AllowRestart = true
		if diff := cmp.Diff([]string{"gpu-1 refuse MEMORY-SHORT"}, lines(Build(in))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestAPendingChangeWaitsForARestart(t *testing.T) {
	p := pool("w", replicas(1), semiPersistent)
	pending := made(p, 1, 9100, "pve1", "").Running().Change(func(vm *inventory.VM) { vm.Applied.Cores = 2 })
	in := lab(twoT4s(pending), p)
	want := []string{"w-1 hold pve1 {machine.cores: 2 → 4 (written, waits for a stop/start)} → gpuworker apply --allow-restart"}
	if diff := cmp.Diff(want, lines(Build(in))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	in.Request.AllowRestart = true
	want = []string{"w-1 restart pve1 VM 9100 [shutdown configure start agent] {machine.cores: 2 → 4 (written, waits for a stop/start)}"}
	if diff := cmp.Diff(want, lines(Build(in))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAForeignPendingChangeIsRevertedAtOnce(t *testing.T) {
	p := pool("w", replicas(1), semiPersistent)
	written := made(p, 1, 9100, "pve1", "").Running().Change(func(vm *inventory.VM) { vm.Machine.Cores = 2 })
	want := []string{"w-1 update pve1 VM 9100 [configure] {machine.cores: 2 → 4 (live)}"}
	if diff := cmp.Diff(want, lines(Build(lab(twoT4s(written), p)))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAPendingCardWaitsForARestart(t *testing.T) {
	p := pool("gpu", exact("pve1", "0000:03:00.0"))
	vm := made(p, 1, 9100, "pve1", "03:00").Running().Change(func(vm *inventory.VM) {
		vm.Applied.Card, vm.Cards[0].Pending = nil, true
	})
	want := []string{"gpu-1 hold pve1/0000:03:00.0 {gpus: none → pve1/0000:03:00.0 (written, waits for a stop/start)} → gpuworker apply --allow-restart"}
	if diff := cmp.Diff(want, lines(Build(lab(twoT4s(claim(p, 1, 9100, "pve1", "03:00"), vm), p)))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnOutdatedClaimIsRewrittenWithTheNextChange(t *testing.T) {
	was, now := pool("gpu", exact("pve1", "0000:03:00.0")), pool("gpu", exact("pve1", "0000:03:00.0"), label("zone", "a"))
	older := func(vm *VMBuilder) *inventory.Snapshot {
		return twoT4s(Claim("pve1", "03:00", "gpu-1", "gpu", "rke2-lab", 9100), vm)
	}
	made := made(was, 1, 9100, "pve1", "03:00")
	for _, c := range []struct {
		name  string
		world *inventory.Snapshot
		pool  v1alpha1.WorkerPool
		want  string
	}{
		{"stopped", older(made), was, "gpu-1 start pve1/0000:03:00.0 VM 9100 [start agent]"},
		{"stopped, with a change", older(made), now, "gpu-1 finish pve1/0000:03:00.0 VM 9100 [claim configure start agent] {labels: +zone=a (live)}"},
		{"running", older(made.Running()), was, "gpu-1 keep"},
		{"running, with a change", older(made.Running()), now, "gpu-1 update pve1/0000:03:00.0 VM 9100 [claim configure] {labels: +zone=a (live)}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Build(lab(c.world, c.pool))
			if got := lines(p); len(got) != 1 || got[0] != c.want {
				t.Errorf("%v, want %s", got, c.want)
			}
			if w := worker(t, p, "gpu-1"); w.Desired != nil && w.Record.Version != inventory.RecordVersion {
				t.Errorf("the record would be of version %d", w.Record.Version)
			}
		})
	}
}
