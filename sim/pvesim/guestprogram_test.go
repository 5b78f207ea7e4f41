package pvesim

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// read reads a file of the guest of VM 120 by its agent.
func (c *client) read(file string) string {
	c.t.Helper()
	text, _ := c.do("GET", qemu("pve1", 120, "/agent/file-read"), "file", file).object()["content"].(string)
	return text
}

func TestTheProgramInAGuestHasTheExitCodesOfTheRealOne(t *testing.T) {
	play(t, func(t *testing.T) {
		_, root := guestWorker(t, "")
		expect := func(when string, code float64, text string, command ...string) {
			t.Helper()
			got, refused := root.runs(command...)
			if got == nil {
				t.Fatalf("%s: %q is refused: %+v", when, command, refused)
			}
			out, _ := got["out-data"].(string)
			complaint, _ := got["err-data"].(string)
			if got["exitcode"] != code || !strings.Contains(out+complaint, text) {
				t.Errorf("%s: %q ends with %v: %q %q", when, command, got["exitcode"], out, complaint)
			}
		}
		pause(t, 52*time.Second)
		expect("during the bootstrap", 3, "DRIVER-MISSING", "gpuworker-guest", "gate")
		expect("during the bootstrap", 3, "activating", "systemctl", "is-active", "gpuworker-guest.service")
		expect("during the bootstrap", 0, "packages     Pending", "gpuworker-guest", "status")
		began := time.Now()
		expect("waiting for it", 0, "", "gpuworker-guest", "gate", "--wait", "5m")
		if took := time.Since(began); took < time.Minute || took > 2*time.Minute {
			t.Errorf("the gate opened after %s", took)
		}
		expect("afterwards", 0, "ready", "gpuworker-guest", "status")
		expect("afterwards", 0, `"ready": true`, "gpuworker-guest", "status", "-o", "json")
		expect("afterwards", 0, "", "systemctl", "restart", "--no-block", "gpuworker-guest.service")

		orders := root.read(guestOrders)
		root.do("POST", qemu("pve1", 120, "/agent/file-write"), "file", guestOrders, "content", strings.ReplaceAll(orders, `"uuid":"`, `"uuid":"0`)).ok()
		root.done(root.do("POST", qemu("pve1", 120, "/status/reboot")), "OK")
		pause(t, 2*time.Minute)
		root.runs("rm", guestStatus)
		expect("with the orders of another VM", 2, "no bootstrap ran", "gpuworker-guest", "status")
		expect("with the orders of another VM", 3, "not for this VM", "gpuworker-guest", "bootstrap")
		expect("with the orders of another VM", 3, "GUEST-ORDERS", "gpuworker-guest", "gate")
		root.runs("rm", guestOrders)
		expect("without orders", 2, "there are none", "gpuworker-guest", "bootstrap")
		root.runs("rm", guestProgram)
		expect("without the program", 5, "not found", "systemctl", "restart", "--no-block", "gpuworker-guest.service")
	})
}

func TestTheBootIDChangesAtEachBoot(t *testing.T) {
	play(t, func(t *testing.T) {
		_, root := guestWorker(t, "")
		var ids []string
		for range 2 {
			pause(t, 5*time.Minute)
			id := strings.TrimSpace(root.read(guestBootID))
			if got := guestState(root); got.BootID != id || id == "" || slices.Contains(ids, id) {
				t.Errorf("boot_id %q, the status has %q, before %q", id, got.BootID, ids)
			}
			ids = append(ids, id)
			root.done(root.do("POST", qemu("pve1", 120, "/status/reboot")), "OK")
		}
	})
}

func TestAnotherCardInTheSlotHasAnotherUUID(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, root := guestWorker(t, t4OfPVE1)
		pause(t, 5*time.Minute)
		if got := guestState(root); !got.Ready {
			t.Fatalf("with its card:\n%s", got.states())
		}
		root.done(root.do("POST", qemu("pve1", 120, "/status/stop")), "OK")
		functions, err := sim.PCI("pve1")
		if err != nil {
			t.Fatal(err)
		}
		for i := range functions {
			if functions[i].Address == "0000:03:00.0" {
				functions[i].Serial = "2"
			}
		}
		if err := sim.SetPCI("pve1", functions); err != nil {
			t.Fatal(err)
		}
		root.done(root.do("POST", qemu("pve1", 120, "/status/start")), "OK")
		pause(t, 5*time.Minute)
		if got := guestState(root); got.Ready || !strings.Contains(got.states(), "DRIVER-GPU-UUID") || got.GPUs[0].UUID == t4OfPVE1 {
			t.Errorf("with another card: %v\n%s", got.GPUs, got.states())
		}
	})
}

func TestTheAgentOfAGuestComesLate(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, root := guestWorker(t, "")
		root.done(root.do("POST", qemu("pve1", 120, "/status/stop")), "OK")
		if err := sim.SetGuest(120, Guest{OS: "ubuntu 24.04", Agent: true, AgentAfter: Duration(10 * time.Minute)}); err != nil {
			t.Fatal(err)
		}
		root.done(root.do("POST", qemu("pve1", 120, "/status/start")), "OK")
		ping := func() *reply { return root.do("POST", qemu("pve1", 120, "/agent/ping")) }
		pause(t, 9*time.Minute)
		ping().refused(500, "QEMU guest agent is not running")
		pause(t, time.Minute)
		ping().ok()
		if err := sim.SetGuestFaults(120, GuestNoAgent); err != nil {
			t.Fatal(err)
		}
		ping().refused(500, "QEMU guest agent is not running")
		if err := sim.SetGuestFaults(120); err != nil {
			t.Fatal(err)
		}
		ping().ok()
		if err := sim.SetGuestFaults(120, "nope"); err == nil {
			t.Error("a fault that does not exist is accepted")
		}
	})
}

func TestAFaultIsSwitchedWhileTheBootstrapRuns(t *testing.T) {
	play(t, func(t *testing.T) {
		sim, root := guestWorker(t, "")
		pause(t, time.Minute)
		if err := sim.SetGuestFaults(120, GuestHangs); err != nil {
			t.Fatal(err)
		}
		pause(t, time.Hour)
		if got := guestState(root); !strings.Contains(got.states(), "packages Running") {
			t.Errorf("hanging:\n%s", got.states())
		}
		if err := sim.SetGuestFaults(120); err != nil {
			t.Fatal(err)
		}
		if got := guestState(root); !got.Ready {
			t.Errorf("afterwards:\n%s", got.states())
		}
	})
}
