package planner

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/inventory"
	. "github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/internal/plan"
)

func TestPlansForNamedWorkers(t *testing.T) {
	gpu := pool("gpu", exact("pve1", "0000:03:00.0"))
	plain := pool("w", replicas(2))
	running := []Part{claim(gpu, 1, 9100, "pve1", "03:00"), made(gpu, 1, 9100, "pve1", "03:00").Running()}
	with := func(parts []Part, more ...Part) *inventory.Snapshot { return twoT4s(append(parts, more...)...) }

	scenarios := []struct {
		name  string
		build func(Input, []string) (*plan.Plan, error)
		in    Input
		names []string
		want  []string
	}{
		{"delete takes the VM away and gives the card back", BuildDelete, lab(with(running), gpu), []string{"gpu-1"},
			[]string{"gpu-1 destroy pve1/0000:03:00.0 VM 9100 [unprotect shutdown destroy release]"}},
		{"delete works for workers that no document declares", BuildDelete, lab(with(running)), []string{"gpu-1"},
			[]string{"gpu-1 destroy pve1/0000:03:00.0 VM 9100 [unprotect shutdown destroy release]"}},
		{"delete of a plain worker has no card to give back", BuildDelete, lab(twoT4s(made(plain, 2, 9101, "pve2", "").Running()), plain), []string{"w-2"},
			[]string{"w-2 destroy pve2 VM 9101 [unprotect shutdown destroy]"}},
		{"delete of an unmarked clone marks it first", BuildDelete,
			lab(twoT4s(claim(gpu, 1, 9100, "pve1", "03:00"), VM(9100, "gpu-1", "pve1").Unmarked("gpu", "rke2-lab", "SemiPersistent").For("03:00")), gpu), []string{"gpu-1"},
			[]string{"gpu-1 destroy pve1/0000:03:00.0 VM 9100 [adopt unprotect shutdown destroy release]"}},
		{"delete when only the claim is left gives it back", BuildDelete, lab(twoT4s(claim(gpu, 1, 9100, "pve1", "03:00")), gpu), []string{"gpu-1"},
			[]string{"gpu-1 release pve1/0000:03:00.0 VM 9100 [release]"}},
		{"delete finishes a release that was cut off", BuildDelete, lab(twoT4s(claim(gpu, 1, 9100, "pve1", "03:00").Releasing()), gpu), []string{"gpu-1"},
			[]string{"gpu-1 release pve1/0000:03:00.0 VM 9100 [release]"}},
		{"delete of a declared worker that has nothing is done already", BuildDelete, lab(twoT4s(), gpu), []string{"gpu-1"},
			nil},
		{"delete does not give the card back under a VM that looks like the worker", BuildDelete,
			lab(twoT4s(claim(gpu, 1, 9100, "pve1", "03:00"), made(gpu, 1, 9100, "pve1", "03:00").Running().Change(func(vm *inventory.VM) { vm.Tags = nil })), gpu), []string{"gpu-1"},
			[]string{"gpu-1 refuse VM-IDENTITY"}},
		{"delete waits for a clone that is being made", BuildDelete, lab(twoT4s(claim(gpu, 1, 9100, "pve1", "03:00"), InFlight(9100, "pve1")), gpu), []string{"gpu-1"},
			[]string{"gpu-1 wait pve1/0000:03:00.0 → run the same command again when the clone is done"}},
		{"delete refuses over a dead clone", BuildDelete, lab(twoT4s(claim(gpu, 1, 9100, "pve1", "03:00"), InFlight(9100, "pve1").Stuck()), gpu), []string{"gpu-1"},
			[]string{"gpu-1 refuse VM-CLONE-STUCK"}},
		{"delete takes both VMs of a doubled worker", BuildDelete,
			lab(twoT4s(made(plain, 1, 9100, "pve1", "").Running(), made(plain, 1, 9101, "pve2", "")), plain), []string{"w-1"},
			[]string{"w-1 destroy pve1 VM 9100 [unprotect shutdown destroy]", "w-1 destroy pve2 VM 9101 [unprotect shutdown destroy]"}},
		{"delete waits for a backup", BuildDelete, lab(twoT4s(made(plain, 1, 9100, "pve1", "").Lock("backup")), plain), []string{"w-1"},
			[]string{"w-1 wait pve1 → run the same command again when the lock is gone"}},
		{"one name given twice is one worker", BuildDelete, lab(with(running), gpu), []string{"gpu-1", "gpu-1"},
			[]string{"gpu-1 destroy pve1/0000:03:00.0 VM 9100 [unprotect shutdown destroy release]"}},

		{"park stops and keeps the card", BuildPark, lab(with(running), gpu), []string{"gpu-1"},
			[]string{"gpu-1 park pve1/0000:03:00.0 VM 9100 [park shutdown]"}},
		{"park of a parked worker is done already", BuildPark, lab(twoT4s(made(gpu, 1, 9100, "pve1", "03:00").Parked()), gpu), []string{"gpu-1"},
			[]string{"gpu-1 keep"}},
		{"park of a worker without VM is refused", BuildPark, lab(twoT4s(), gpu), []string{"gpu-1"}, []string{"gpu-1 refuse VM-IDENTITY"}},
		{"unpark starts again", BuildUnpark, lab(twoT4s(claim(gpu, 1, 9100, "pve1", "03:00"), made(gpu, 1, 9100, "pve1", "03:00").Parked()), gpu), []string{"gpu-1"},
			[]string{"gpu-1 unpark pve1/0000:03:00.0 VM 9100 [unpark start agent]"}},
		{"unpark is refused while somebody else has the card", BuildUnpark,
			lab(twoT4s(claim(gpu, 1, 9100, "pve1", "03:00"), made(gpu, 1, 9100, "pve1", "03:00").Parked(), VM(204, "vdi", "pve1").Card("03:00").Running()), gpu), []string{"gpu-1"},
			[]string{"gpu-1 refuse CARD-HELD"}},
		{"unpark of a running worker is done already", BuildUnpark, lab(with(running), gpu), []string{"gpu-1"}, []string{"gpu-1 keep"}},

		{"replace keeps host, card and number", replaceNamed, lab(with(running), gpu), []string{"gpu-1"},
			[]string{"gpu-1 replace pve1/0000:03:00.0 VM 9100 [unprotect shutdown destroy claim clone configure attach start agent replaced]"}},
		{"replace after a crash in the middle simply creates", replaceNamed, lab(twoT4s(claim(gpu, 1, 9100, "pve1", "03:00")), gpu), []string{"gpu-1"},
			[]string{"gpu-1 create pve1/0000:03:00.0 VM 9100 " + strings.Replace(makeGPU, "]", " replaced]", 1)}},
		{"replace is in the plan alone", replaceNamed, lab(with(running, made(plain, 1, 9101, "pve1", "").Running()), gpu, plain), []string{"w-1"},
			[]string{"w-1 replace pve1 VM 9101 [unprotect shutdown destroy clone configure start agent replaced]"}},
		{"replace is refused before anything is destroyed when there is no template", replaceNamed,
			lab(Observed(append([]Part{Host("pve1", T4("03:00"))}, running...)...), gpu), []string{"gpu-1"},
			[]string{"gpu-1 refuse TEMPLATE-MISSING"}},
		{"replace does not need its memory twice", replaceNamed,
			lab(Observed(append([]Part{Host("pve1", T4("03:00")).Memory(16, 12), Template(9000, "ubuntu-22.04", "pve1")}, running...)...), gpu), []string{"gpu-1"},
			[]string{"gpu-1 replace pve1/0000:03:00.0 VM 9100 [unprotect shutdown destroy claim clone configure attach start agent replaced]"}},
		{"replace of a worker that nothing declares is held", replaceNamed,
			lab(with(running), pool("gpu", exact("pve2", "0000:03:00.0"))), []string{"gpu-1"},
			[]string{"gpu-1 hold pve1/0000:03:00.0 → gpuworker delete gpu-1"}},
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			p, err := s.build(s.in, s.names)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(s.want, lines(p)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, textOf(t, p))
			}
		})
	}
}

func TestAReplacedWorkerGetsANewIdentity(t *testing.T) {
	gpu := pool("gpu", exact("pve1", "0000:03:00.0"))
	in := lab(twoT4s(claim(gpu, 1, 9100, "pve1", "03:00"), made(gpu, 1, 9100, "pve1", "03:00").Running()), gpu)
	p, err := replaceNamed(in, []string{"gpu-1"})
	if err != nil {
		t.Fatal(err)
	}
	w := worker(t, p, "gpu-1")
	if w.Ref == nil || w.Ref.UUID != UUID(9100) {
		t.Errorf("the old VM is proven by its UUID: %+v", w.Ref)
	}
	if w.Record.UUID != "" {
		t.Errorf("the new VM has a UUID of its own, made by apply: %+v", w.Record)
	}
}

// TestAPlainWorkerStaysOnItsHostWhenItIsReplaced: if it does not fit there, the plan
// names the host of the old VM.
func TestAPlainWorkerStaysOnItsHostWhenItIsReplaced(t *testing.T) {
	plain := pool("w", replicas(1))
	for _, test := range []struct {
		name, text string
		host       *HostBuilder
	}{
		{"it fits", "destroy VM 9100, then create VM 9100", Host("pve1").Memory(128, 100)},
		{"it does not", "destroy VM 9100 on pve1, then create VM 9100", Host("pve1").Memory(2, 1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			world := Observed(test.host, Host("pve2"), Template(9000, "ubuntu-22.04", "pve1"), Template(9001, "ubuntu-22.04", "pve2"),
				made(plain, 1, 9100, "pve1", ""))
			p, err := replaceNamed(lab(world, plain), []string{"w-1"})
			if err != nil {
				t.Fatal(err)
			}
			if text := textOf(t, p); !strings.Contains(text, test.text) {
				t.Errorf("the plan does not say %q:\n%s", test.text, text)
			}
		})
	}
}

// TestTheVMThatAReplaceMadeIsTheWorker: a worker has a second VM, and its replace was
// killed, or is done. The same command again must not take the second VM for the
// worker and the new VM for the surplus one.
func TestTheVMThatAReplaceMadeIsTheWorker(t *testing.T) {
	plain := pool("w", replicas(1))
	second := func() *VMBuilder {
		return made(plain, 1, 9100, "pve1", "").Running().Record(func(r *inventory.Record) { r.Lifecycle = "SemiPersistent" })
	}
	for _, test := range []struct {
		name    string
		newVM   *VMBuilder
		actions []plan.Action
	}{
		{"it was killed after the clone", made(plain, 1, 9101, "pve1", "").Record(func(r *inventory.Record) { r.Replacing = "old" }), []plan.Action{plan.Start}},
		{"it is done", made(plain, 1, 9101, "pve1", "").Running().Record(func(r *inventory.Record) { r.Replaced = "old" }), []plan.Action{plan.Keep}},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := lab(Observed(Host("pve1"), Template(9000, "ubuntu-22.04", "pve1"), second(), test.newVM), plain)
			in.Request.KeepRecent = true
			p, err := replaceNamed(in, []string{"w-1"})
			if err != nil {
				t.Fatal(err)
			}
			var actions []plan.Action
			for w := range p.Workers() {
				actions = append(actions, w.Action)
			}
			if w := worker(t, p, "w-1"); w.VM != "9101" || !slices.Equal(actions, test.actions) {
				t.Errorf("worker w-1 is VM %s with actions %v, want VM 9101 with %v:\n%s", w.VM, actions, test.actions, textOf(t, p))
			}
		})
	}
}

func TestAParkedWorkerCountsAsStoppedAndNotAsRestarted(t *testing.T) {
	gpu := pool("gpu", exact("pve1", "0000:03:00.0"))
	p, err := BuildPark(lab(twoT4s(claim(gpu, 1, 9100, "pve1", "03:00"), made(gpu, 1, 9100, "pve1", "03:00").Running()), gpu), []string{"gpu-1"})
	if err != nil {
		t.Fatal(err)
	}
	if s := p.Summary(); s.Stop != 1 || s.Restart != 0 {
		t.Errorf("%+v", s)
	}
	if text := textOf(t, p); !strings.Contains(text, "0 to restart, 0 to destroy, 0 refused, 1 to stop.") {
		t.Error(text)
	}
}

func TestUnknownNamesAreReportedAndTheOthersArePlanned(t *testing.T) {
	plain := pool("workers", replicas(3))
	in := lab(twoT4s(VM(100, "dns", "pve1"), made(plain, 1, 9100, "pve1", "").Running()), plain)
	const none = "no worker of this name is declared or on the hypervisor"
	want := []plan.Absent{
		{Name: "dns", Why: `VM 100 "dns" on pve1 has this name, but is not a worker that these documents declare`, Namesake: true},
		{Name: "nothing-like-it", Why: none},
		{Name: "wokers-1", Why: none, Near: []string{"workers-1", "workers-2", "workers-3"}},
	}
	for verb, build := range map[string]func(Input, []string) (*plan.Plan, error){"delete": BuildDelete, "replace": replaceNamed, "park": BuildPark, "disown": BuildDisown} {
		p, err := build(in, []string{"wokers-1", "workers-1", "nothing-like-it", "dns", "wokers-1"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, p.Absent); diff != "" {
			t.Errorf("%s (-want +got):\n%s", verb, diff)
		}
		if w := worker(t, p, "workers-1"); len(w.Steps) == 0 {
			t.Errorf("%s: nothing is done to workers-1", verb)
		}
	}
}

// TestAWorkerThatMayExistIsNotReportedAbsent: an unreadable or unverified VM of the
// name may be the worker.
func TestAWorkerThatMayExistIsNotReportedAbsent(t *testing.T) {
	gpu := pool("gpu", exact("pve1", "0000:03:00.0"))
	newer := claim(gpu, 1, 9100, "pve1", "03:00").Problem("its record was written by a newer gpuworker")
	for name, world := range map[string]*inventory.Snapshot{
		"a VM that cannot be read":    twoT4s(VM(9100, "gpu-1", "pve1").Unreadable("its host does not answer")),
		"a VM whose record is newer":  twoT4s(VM(9100, "gpu-1", "pve1").Change(func(vm *inventory.VM) { vm.RecordProblem = "a newer gpuworker wrote it" })),
		"a claim whose record newer":  twoT4s(newer),
		"a copy, with our tag and no": twoT4s(VM(9100, "gpu-1", "pve1").Tags(inventory.OwnerTag)),
	} {
		for _, in := range []Input{lab(world), lab(world, gpu)} {
			for verb, build := range map[string]func(Input, []string) (*plan.Plan, error){"delete": BuildDelete, "disown": BuildDisown} {
				p, err := build(in, []string{"gpu-1"})
				if err != nil {
					t.Fatal(err)
				}
				if len(p.Absent) > 0 || worker(t, p, "gpu-1").Action != plan.Refuse {
					t.Errorf("%s, %s: %v, absent %v", verb, name, lines(p), p.Absent)
				}
			}
		}
	}
}

// TestADisownedWorkerIsNotOurs: its VM keeps its name, but apply does not take it
// over. Only adopt makes it the worker again.
func TestADisownedWorkerIsNotOurs(t *testing.T) {
	gpu := pool("gpu", exact("pve1", "0000:03:00.0"))
	world := twoT4s(VM(9100, "gpu-1", "pve1").Running())
	for _, in := range []Input{lab(world), lab(world, gpu)} {
		for verb, build := range map[string]func(Input, []string) (*plan.Plan, error){"delete": BuildDelete, "disown": BuildDisown} {
			p, err := build(in, []string{"gpu-1"})
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Pools) > 0 || len(p.Absent) != 1 || !p.Absent[0].Namesake || !strings.Contains(p.Absent[0].Why, `VM 9100 "gpu-1" on pve1`) {
				t.Errorf("%s: %v, absent %+v", verb, lines(p), p.Absent)
			}
		}
	}
	for verb, build := range map[string]func(Input, []string) (*plan.Plan, error){"park": BuildPark, "unpark": BuildUnpark} {
		p, err := build(lab(world, gpu), []string{"gpu-1"})
		if err != nil {
			t.Fatal(err)
		}
		if refusals := worker(t, p, "gpu-1").Refusals; len(refusals) != 1 || !strings.Contains(refusals[0].Fix, "gpuworker adopt 9100 --as gpu-1") {
			t.Errorf("%s: %+v", verb, refusals)
		}
	}
}

// TestAnUndeclaredIncompleteWorkerIsNotFinishedByApply: the advice is to delete it.
func TestAnUndeclaredIncompleteWorkerIsNotFinishedByApply(t *testing.T) {
	gpu := pool("gpu", exact("pve1", "0000:03:00.0"))
	world := twoT4s(claim(gpu, 1, 9100, "pve1", "03:00"))
	for verb, build := range map[string]func(Input, []string) (*plan.Plan, error){"park": BuildPark, "unpark": BuildUnpark, "disown": BuildDisown} {
		for advice, in := range map[string]Input{"gpuworker delete gpu-1": lab(world), "gpuworker apply makes or finishes it": lab(world, gpu)} {
			p, err := build(in, []string{"gpu-1"})
			if err != nil {
				t.Fatal(err)
			}
			if refusals := worker(t, p, "gpu-1").Refusals; len(refusals) != 1 || !strings.Contains(refusals[0].Fix, advice) {
				t.Errorf("%s: %+v, want %q", verb, refusals, advice)
			}
		}
	}
}

func TestANameInTwoKubeClustersMeansTheDeclaredOne(t *testing.T) {
	plain := pool("w", replicas(1))
	other := VM(300, "w-1", "pve2").Ours("w", "other", "SemiPersistent").Running()
	declared := lab(twoT4s(made(plain, 1, 9100, "pve1", "").Running(), other), plain)
	p, err := BuildDelete(declared, []string{"w-1"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"w-1 destroy pve1 VM 9100 [unprotect shutdown destroy]"}, lines(p)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	undeclared := lab(declared.Snapshot)
	if _, err := BuildDelete(undeclared, []string{"w-1"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("which of the two is meant cannot be known: %v", err)
	}
}

func TestBuildAdopt(t *testing.T) {
	gpu := pool("gpu", model("Tesla T4", 2))
	plain := pool("w", replicas(2))
	own := made(plain, 2, 9101, "pve2", "").Running()
	ovmf := func(m *inventory.Machine) { m.Firmware = inventory.FirmwareUEFI }

	t.Run("plans", func(t *testing.T) {
		for _, s := range []struct {
			name   string
			world  *inventory.Snapshot
			worker string
			want   string
		}{
			{"a VM with one card of the right kind", twoT4s(VM(204, "vdi", "pve1").Card("03:00").Running()), "gpu-1",
				"gpu-1 adopt pve1/0000:03:00.0 VM 204 [claim adopt]"},
			{"a plain VM", twoT4s(VM(204, "web", "pve1").Machine(ovmf).Running()), "w-1", "w-1 adopt pve1 VM 204 [adopt]"},
			{"a VM that the next apply would replace", twoT4s(VM(204, "web", "pve1").Running()), "w-1", "w-1 refuse VM-ADOPT-REMAKE"},
			{"a copy of a worker", twoT4s(VM(204, "w-9", "pve1").Machine(ovmf).Ours("w", "rke2-lab", "Ephemeral").Record(func(r *inventory.Record) { r.VM = "1" })), "w-1",
				"w-1 adopt pve1 VM 204 [adopt]"},
			{"a VM without a card in a pool of GPUs", twoT4s(VM(204, "vdi", "pve1")), "gpu-1", "gpu-1 refuse VM-CARD-DIFFERS"},
			{"a VM with a card in a pool without GPUs", twoT4s(VM(204, "vdi", "pve1").Card("03:00")), "w-1", "w-1 refuse VM-CARD-DIFFERS"},
			{"a VM with two cards", twoT4s(VM(204, "vdi", "pve1").Card("03:00").Card("04:00")), "gpu-1", "gpu-1 refuse VM-CARD-DIFFERS"},
			{"a VM with a card of another kind", Observed(Host("pve1", RTX3090("03:00")), VM(204, "vdi", "pve1").Card("03:00")), "gpu-1", "gpu-1 refuse VM-CARD-DIFFERS"},
			{"a card that somebody else claimed", twoT4s(VM(204, "vdi", "pve1").Card("03:00"), Claim("pve1", "03:00", "x-1", "x", "other", 300)), "gpu-1", "gpu-1 refuse CARD-CLAIMED"},
			{"a VM under backup", twoT4s(VM(204, "web", "pve1").Machine(ovmf).Lock("backup")), "w-1", "w-1 wait pve1 → run the same command again when the lock is gone"},
		} {
			p, err := BuildAdopt(lab(s.world, gpu, plain), "204", s.worker)
			if err != nil {
				t.Errorf("%s: %v", s.name, err)
				continue
			}
			if diff := cmp.Diff([]string{s.want}, lines(p)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", s.name, diff)
			}
		}
	})
	t.Run("a card by its address that cannot be seen or is no GPU", func(t *testing.T) {
		named := pool("gpu", exact("pve1", "0000:03:00.0"))
		for want, host := range map[string]*HostBuilder{
			"gpu-1 refuse HOST-UNREADABLE": Host("pve1").Blind("PCI devices", "permission denied"),
			"gpu-1 refuse CARD-MISSING":    Host("pve1"),
			"gpu-1 refuse CARD-NOT-GPU":    Host("pve1", NIC("03:00")),
			"gpu-1 refuse HOST-UNKNOWN":    Host("pve2"),
		} {
			p, err := BuildAdopt(lab(Observed(host, VM(204, "vdi", "pve1").Card("03:00")), named), "204", "gpu-1")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{want}, lines(p)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
	})
	t.Run("errors", func(t *testing.T) {
		for _, s := range []struct {
			name   string
			id     string
			worker string
			vm     *VMBuilder
			kind   fault.Kind
		}{
			{"no such VM", "999", "w-1", VM(204, "web", "pve1"), fault.NotFound},
			{"the name of a VM", "web", "w-1", VM(204, "web", "pve1"), fault.NotFound},
			{"no such pool", "204", "x-1", VM(204, "web", "pve1"), fault.Invalid},
			{"no number", "204", "w", VM(204, "web", "pve1"), fault.Invalid},
			{"a template", "204", "w-1", Template(204, "web", "pve1"), fault.Refused},
			{"hidden", "204", "w-1", VM(204, "web", "pve1").Unreadable("permission denied"), fault.Denied},
			{"ours already", "204", "w-1", VM(204, "w-7", "pve1").Ours("w", "rke2-lab", "Ephemeral"), fault.Refused},
			{"the name is taken by a worker", "204", "w-2", VM(204, "web", "pve1"), fault.Exists},
			{"the name is taken by a stranger", "204", "w-1", VM(204, "web", "pve1"), fault.Exists},
		} {
			_, err := BuildAdopt(lab(twoT4s(own, VM(210, "w-1", "pve1"), s.vm), gpu, plain), s.id, s.worker)
			if !fault.Is(err, s.kind) || fault.FixOf(err) == "" {
				t.Errorf("%s: %v is %s with fix %q, want %s", s.name, err, fault.KindOf(err), fault.FixOf(err), s.kind)
			}
		}
	})
	t.Run("a name instead of an identifier", func(t *testing.T) {
		_, err := BuildAdopt(lab(twoT4s(VM(204, "web", "pve1")), plain), "web", "w-1")
		if want := "gpuworker adopt 204 --as w-1"; !strings.HasSuffix(fault.FixOf(err), want) {
			t.Errorf("the fix is %q, want %q", fault.FixOf(err), want)
		}
	})
	t.Run("the record is that of the VM as it is", func(t *testing.T) {
		p, err := BuildAdopt(lab(twoT4s(VM(204, "vdi", "pve1").Card("03:00").Running()), gpu), "204", "gpu-2")
		if err != nil {
			t.Fatal(err)
		}
		want := &inventory.Record{Version: inventory.RecordVersion, WorkerKey: inventory.WorkerKey{Worker: "gpu-2", Pool: "gpu", KubeCluster: "rke2-lab"}, Lifecycle: "SemiPersistent", VM: "204", UUID: UUID(204), Host: "pve1", Card: pci.MustCardRef("pve1/0000:03:00.0")}
		if diff := cmp.Diff(want, worker(t, p, "gpu-2").Record); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestBuildOrphans(t *testing.T) {
	gpu := pool("gpu", exact("pve1", "0000:03:00.0"))
	world := twoT4s(
		claim(gpu, 1, 9100, "pve1", "03:00"),                                                                            // declared, without a VM yet
		Claim("pve2", "03:00", "old-1", "old", "rke2-lab", 9200),                                                        // nobody declares it
		VM(9300, "gone-1", "pve2").Ours("gone", "rke2-lab", "Ephemeral"),                                                // nor this
		Claim("pve2", "04:00", "half-1", "half", "rke2-lab", 9500).Releasing(),                                          // an earlier run was interrupted
		Claim("pve2", "05:00", "gone-1", "gone", "rke2-lab", 9300),                                                      // the worker's own card
		Claim("pve2", "06:00", "gone-1", "gone", "rke2-lab", 9301),                                                      // and one too many
		VM(100, "dns", "pve1").Running(),                                                                                // not ours
		VM(9400, "copy", "pve1").Ours("gone", "rke2-lab", "Ephemeral").Record(func(r *inventory.Record) { r.VM = "1" }), // unverified
	)
	want := []string{
		"gone-1 hold pve2/0000:05:00.0 → gpuworker delete gone-1",
		"gone-1 release pve2/0000:06:00.0 VM 9301 [release]",
		"old-1 release pve2/0000:03:00.0 VM 9200 [release]",
		"half-1 release pve2/0000:04:00.0 VM 9500 [release]",
	}
	p := BuildOrphans(lab(world, gpu))
	if diff := cmp.Diff(want, lines(p)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if p := BuildOrphans(lab(twoT4s(claim(gpu, 1, 9100, "pve1", "03:00")), gpu)); !p.Empty() {
		t.Errorf("a claim of a declared worker is no orphan: %v", lines(p))
	}
}
