package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/engine"
	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/plan"
	"github.com/gpuworker/gpuworker/internal/proxmox"
	"github.com/gpuworker/gpuworker/internal/thorough"
	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// TestAnImpossibleWorkerIsRefusedWithPlaceReasonAndFix declares workers that the
// homelab cannot run. The world must stay as it is, and the refusal must have a fix.
func TestAnImpossibleWorkerIsRefusedWithPlaceReasonAndFix(t *testing.T) {
	gpus := func(request string) func(string) string {
		return edit("    - {host: pve1, bdf: \"0000:03:00.0\"}\n    - {model: Tesla T4, hosts: [pve2]}", "    - "+request)
	}
	tests := []struct {
		name  string
		edit  func(string) string
		world func(*pvesim.World)
		id    string
		says  []string
	}{
		{"a device that is not a GPU", gpus(`{host: pve1, bdf: "0000:04:00.0"}`), nil, "CARD-NOT-GPU", []string{"0000:04:00", "I210"}},
		{"a bridge", gpus(`{host: pve1, bdf: "0000:00:01.1"}`), nil, "CARD-NOT-GPU", []string{"bridge"}},
		{"an address where nothing is", gpus(`{host: pve1, bdf: "00ff:03:00.0"}`), nil, "CARD-MISSING", []string{"00ff:03:00"}},
		{"a host that is not there", gpus(`{host: pve9, bdf: "0000:03:00.0"}`), nil, "HOST-UNKNOWN", []string{"pve9"}},
		{"a card of somebody else's VM", gpus(`{host: pve2, bdf: "0000:81:00.0"}`), nil, "CARD-HELD", []string{"204", "vdi-7"}},
		{"a card that shares its group with a network card", gpus(`{host: pve1, bdf: "0000:41:00.0"}`), nil, "CARD-GROUP-SHARED", []string{"0000:42:00.0", "I350"}},
		{"a host whose IOMMU is off", gpus(`{host: pve3, bdf: "0000:0a:00.0"}`), nil, "HOST-IOMMU-OFF", []string{"pve3"}},
		{"a model that nobody has", gpus(`{model: H100}`), nil, "CARD-NO-MATCH", []string{"H100"}},
		{"no template of that name", edit("ubuntu-22.04", "ubuntu-99"), nil, "TEMPLATE-MISSING", []string{"ubuntu-99"}},
		{"more memory than any host has", edit("memory: 8Gi", "memory: 4000Gi"), nil, "MEMORY-SHORT", []string{"GiB"}},
		{"a storage that does not exist", edit("disk: {size: 20Gi}", "disk: {size: 20Gi, storage: nas}"), nil, "STORAGE-MISSING", []string{"nas"}},
		{"a storage that takes no disks", edit("disk: {size: 20Gi}", "disk: {size: 20Gi, storage: local}"), nil, "STORAGE-CONTENT", []string{"local", "images"}},
		{"a bridge that is not there", edit("  machine: {memory: 8Gi", "  networks: [{name: vmbr7}]\n  machine: {memory: 8Gi"), nil, "BRIDGE-MISSING", []string{"vmbr7"}},
		{"a VLAN on a bridge that knows none", edit("  machine: {memory: 8Gi", "  networks: [{vlan: 30}]\n  machine: {memory: 8Gi"), nil, "BRIDGE-NOT-VLAN-AWARE", []string{"vmbr0"}},
		{"a host that does not answer", gpus(`{host: pve1, bdf: "0000:03:00.0"}`), func(w *pvesim.World) { w.Hosts[0].Offline = true }, "HOST-OFFLINE", []string{"pve1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, func(w *pvesim.World) {
					if tt.world != nil {
						tt.world(w)
					}
				})
				documents := onlyPool(tt.edit(fleet))
				before := l.sim.State()
				e := l.engine("ops@desk", documents, nil)
				plans, err := e.Plan(context.Background(), planOptions{})
				if err != nil {
					t.Fatal(err)
				}
				worker := &plans.Plans[0].Pools[0].Workers[0]
				text, _ := json.MarshalIndent(worker.Refusals, "", " ")
				if worker.Action != plan.Refuse || len(worker.Steps) > 0 {
					t.Fatalf("action %s, steps %v, want it refused\n%s", worker.Action, worker.Steps, text)
				}
				found := false
				for _, refusal := range worker.Refusals {
					found = found || string(refusal.ID) == tt.id && refusal.Fix != ""
				}
				if !found {
					t.Errorf("no refusal %s with a fix:\n%s", tt.id, text)
				}
				for _, word := range tt.says {
					if !strings.Contains(string(text), word) {
						t.Errorf("the refusal does not say %q:\n%s", word, text)
					}
				}
				if _, err := e.Apply(context.Background(), plans, engine.ApplyOptions{}); err != nil {
					t.Errorf("apply of what can be done: %v", err)
				}
				if tt.world == nil && !reflect.DeepEqual(before.VMs, l.sim.State().VMs) && strings.Count(fleet, "model") == strings.Count(documents, "model") {
					t.Error("the world was changed")
				}
				l.whole()
			})
		})
	}
}

func edit(from, to string) func(string) string {
	return func(documents string) string {
		if !strings.Contains(documents, from) {
			panic("nothing to replace: " + from)
		}
		return strings.Replace(documents, from, to, 1)
	}
}

// onlyPool drops the pool of plain workers.
func onlyPool(documents string) string {
	at := strings.LastIndex(documents, "---")
	return documents[:at]
}

func TestAFullRangeOfNumbersIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		documents := strings.Replace(fleet, "{first: 9100, last: 9199}", "{first: 9000, last: 9003}", 1)
		plans, err := l.engine("ops@desk", documents, nil).Plan(context.Background(), planOptions{})
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(plans)
		if !strings.Contains(string(text), "VMID-RANGE-FULL") {
			t.Errorf("three workers got a number out of the one that is free: %s", text)
		}
		if err := apply(context.Background(), l.engine("ops@desk", documents, nil)); err != nil {
			t.Error(err)
		}
		l.whole()
	})
}

func TestAMissingPrivilegeIsNamedWithItsFix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		before := l.sim.State()
		e := openEngine(decode(t, fleet), "ops@desk", func(h *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
			return proxmox.Open(h, proxmox.Login{Token: "gpuworker@pve!weak=22222222-2222-4222-8222-222222222222", Transport: l.sim.Transport()})
		})
		worlds, err := e.Check(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(worlds[0].Findings)
		for _, word := range []string{"PRIVILEGE-MISSING", "Mapping.Modify", "/mapping/pci", "gpuworker role"} {
			if !strings.Contains(string(text), word) {
				t.Errorf("check does not say %q: %s", word, text)
			}
		}
		plans, err := e.Plan(context.Background(), planOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for worker := range plans.Plans[0].Workers() {
			if strings.HasPrefix(worker.Name, "gpu-") != (worker.Action == plan.Refuse) {
				t.Errorf("%s: %s, want only GPU workers refused", worker.Name, worker.Action)
			}
		}
		if _, err = e.Apply(context.Background(), plans, engine.ApplyOptions{}); err != nil {
			t.Error(err)
		}
		for id, vm := range l.sim.State().VMs {
			if _, was := before.VMs[id]; !was && strings.Contains(vm.Name, "gpu-") {
				t.Errorf("GPU worker VM %d was made without the right to claim a card", id)
			}
		}
		l.whole()
	})
}

func TestATicketThatExpiredIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		documents := strings.Replace(fleet, "credentials: {token: {env: PVE_TOKEN}}", "credentials: {username: root@pam, password: {env: PVE_PASSWORD}}\n    attach: Raw", 1)
		e := openEngine(decode(t, documents), "ops@desk", func(h *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
			return proxmox.Open(h, proxmox.Login{Password: l.rootPassword, Transport: l.sim.Transport()})
		})
		if _, err := e.Plan(context.Background(), planOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Hour) // a ticket lives for two
		if err := apply(context.Background(), e); err != nil {
			t.Fatal(err)
		}
		if value := l.sim.State().VMs[l.vmid("gpu-1")].Config["hostpci0"]; !strings.Contains(value, "0000:03:00") {
			t.Errorf("hostpci0 is %q, want the address itself", value)
		}
		l.whole()
	})
}

// TestAnAPIThatMisbehaves sends invalid answers, to the first call and to a later
// one. The error must have a kind with an exit code of its own.
func TestAnAPIThatMisbehaves(t *testing.T) {
	for _, effect := range []pvesim.Effect{pvesim.HTML, pvesim.HalfJSON, pvesim.Hang, pvesim.DropBefore} {
		for _, path := range []string{"/version", "/cluster/resources"} {
			t.Run(fmt.Sprintf("%s at %s", effect, path), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLab(t)
					before := l.sim.State()
					l.must(l.sim.Inject(pvesim.Fault{Path: path, Effect: effect, Times: -1}))
					err := apply(context.Background(), l.engine("ops@desk", fleet, nil))
					if !fault.Is(err, fault.Unavailable) || fault.FixOf(err) == "" {
						t.Errorf("%s error %v with fix %q, want Unavailable with a fix", fault.KindOf(err), err, fault.FixOf(err))
					}
					if !reflect.DeepEqual(before.VMs, l.sim.State().VMs) {
						t.Error("the world was changed")
					}
				})
			})
		}
	}
}

// TestEachCallDisturbedOnce makes each call of an apply, a replace and a delete fail
// once, in the ways in which networks and Proxmox fail. The program keeps running: it
// must succeed by itself or converge when it is run again.
func TestEachCallDisturbedOnce(t *testing.T) {
	// Locks and failing tasks concern only calls that change VMs.
	changing := `/(clone|config|resize|start|shutdown|stop)$|/qemu/\d+$`
	effects := []pvesim.Fault{
		{Effect: pvesim.DropBefore}, {Effect: pvesim.DropAfter}, {Effect: pvesim.HalfJSON},
		{Effect: pvesim.Status, Code: 596, Text: "Connection timed out"},
		{Effect: pvesim.LockHeld, Path: changing}, {Effect: pvesim.PartialConfig, Path: "/config$", Text: "no space left"},
		{Effect: pvesim.StorageLockTimeout, Path: "/clone$"},
		{Effect: pvesim.TaskFails, Path: changing, Text: "interrupted by signal"},
		{Effect: pvesim.TaskFailsButDone, Path: changing, Text: "start failed: QEMU exited with code 1"},
	}
	scenes := []scene{
		{name: "apply", documents: solo, run: apply, workers: []string{"gpu-1"}},
		{name: "replace", made: solo, documents: solo, run: replace("gpu-1"), named: "gpu-1", workers: []string{"gpu-1"}},
		{name: "delete", made: solo, documents: solo, run: remove("gpu-1"), named: "gpu-1"},
	}
	for _, s := range scenes {
		for _, effect := range effects {
			t.Run(s.name+", "+string(effect.Effect), func(t *testing.T) {
				t.Parallel()
				runs, healed := 0, 0
				for nth, reached := 1, true; reached && !t.Failed(); nth += thorough.Every {
					synctest.Test(t, func(t *testing.T) {
						l := s.set(t)
						disturbance := effect
						disturbance.Nth = nth
						l.must(l.sim.Inject(disturbance))
						err := s.run(context.Background(), l.engine("ops@desk", s.documents, nil))
						if reached = l.matching(effect.Path) >= nth; reached {
							runs++
						}
						l.usable(err)
						if err == nil {
							healed++
						} else {
							l.again(s, "ops@desk")
						}
						l.settledAs(s)
						if t.Failed() {
							t.Logf("call %d, the first run: %v", nth, err)
						}
					})
				}
				t.Logf("%d calls disturbed; %d came through by themselves", runs, healed)
			})
		}
	}
}

// matching counts the requests that a fault with this path meets.
func (l *lab) matching(path string) int {
	form, n := regexp.MustCompile(path), 0
	for _, r := range l.sim.Requests() {
		if form.MatchString(r.Path) {
			n++
		}
	}
	return n
}

func TestAWrongPinIsNamed(t *testing.T) {
	l := newLab(t)
	server := httptest.NewTLSServer(l.sim)
	defer server.Close()
	documents := strings.Replace(fleet, "https://pve1:8006", server.URL, 1)
	documents = strings.Replace(documents, "    credentials:", "    tls: {fingerprint: \""+strings.Repeat("ab:", 31)+"ab\"}\n    credentials:", 1)
	e := openEngine(decode(t, documents), "", func(h *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
		return proxmox.Open(h, proxmox.Login{Token: "gpuworker@pve!engine=" + canary})
	})
	_, err := e.Plan(context.Background(), planOptions{})
	if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "fingerprint") {
		t.Errorf("got %v", err)
	}
	if len(l.sim.Requests()) > 0 {
		t.Error("a request, and with it the token, was sent to a server that could not prove itself")
	}
}

// TestTheSecretIsNeverPrinted makes and deletes workers with full logging, and
// searches all output for the token's secret.
func TestTheSecretIsNeverPrinted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		var heard strings.Builder
		logger := slog.New(slog.NewJSONHandler(&heard, &slog.HandlerOptions{Level: slog.LevelDebug}))
		e := openEngine(decode(t, fleet), "ops@desk", func(h *v1alpha1.Hypervisor) (hypervisor.Backend, error) {
			return proxmox.Open(h, proxmox.Login{Token: "gpuworker@pve!engine=" + canary, Transport: l.sim.Transport(), Logger: logger})
		})
		ctx := context.Background()
		l.must(l.sim.Inject(pvesim.Fault{Method: "POST", Path: "/clone", Effect: pvesim.Status, Code: 403, Text: "Permission check failed (/vms/9000, VM.Clone)"}))
		plans, err := e.Plan(ctx, planOptions{})
		l.must(err)
		say := func(v any) {
			text, _ := json.Marshal(v)
			fmt.Fprintf(&heard, "%s %+v %#v\n", text, v, v)
		}
		say(plans)
		applied, err := e.Apply(ctx, plans, engine.ApplyOptions{})
		say(applied)
		say(err)
		rows, err := e.Status(ctx)
		l.must(err)
		say(rows)
		exported, err := e.Export(ctx)
		l.must(err)
		heard.Write(exported)
		say(l.sim.State())
		say(e)
		if heard.Len() < 10000 {
			t.Fatalf("only %d bytes were logged", heard.Len())
		}
		if strings.Contains(heard.String(), canary) {
			at := strings.Index(heard.String(), canary)
			t.Errorf("the secret is printed: …%s…", heard.String()[max(0, at-300):at+20])
		}
	})
}
