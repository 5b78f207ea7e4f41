package pvesim

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAWorkerIsClonedGivenACardAndStarted(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, homelab(t))
		engine := sim.as(t, engineToken)
		engine.do("POST", "/cluster/mapping/pci", "id", "gpu-pve1-0000-03-00-0", "description", "claim",
			"map", "node=pve1,path=0000:03:00.0,id=10de:1eb8,iommugroup=14,subsystem-id=10de:12a2").ok()
		engine.done(engine.do("POST", qemu("pve1", 9000, "/clone"), "newid", "120", "name", "gpu-1"), "OK")
		engine.do("PUT", qemu("pve1", 120, "/config"), "hostpci0", "mapping=gpu-pve1-0000-03-00-0", "memory", "16384", "balloon", "0").ok()
		engine.done(engine.do("PUT", qemu("pve1", 120, "/resize"), "disk", "scsi0", "size", "40G"), "OK")

		began := time.Now()
		engine.done(engine.do("POST", qemu("pve1", 120, "/status/start")), "OK")
		if took := time.Since(began); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("starting with 16 GiB to pin took %v, want 2 s and 16 times 75 ms", took)
		}
		state := sim.State()
		if diff := cmp.Diff([]string{"0000:03:00.0"}, state.VMs[120].Devices); diff != "" {
			t.Errorf("devices of the worker (-want +got):\n%s", diff)
		}
		if len(state.Damage) != 0 {
			t.Errorf("a clean card's start did damage: %v", state.Damage)
		}
		engine.do("POST", qemu("pve1", 120, "/agent/ping")).refused(500, "QEMU guest agent is not running")
		pause(t, 25*time.Second)
		engine.do("POST", qemu("pve1", 120, "/agent/ping")).ok()
	})
}
