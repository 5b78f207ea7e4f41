package guest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/guest"
)

// The operator runs gpuworker apply. The simulated Proxmox VE has a VM that is a real
// guest; its power is cut in the middle of the bootstrap, while apply waits.
func TestApplyMakesAGuestAWorker(t *testing.T) {
	if testing.Short() {
		t.Skip("left out: it takes ten minutes")
	}
	l := theLab(t)
	dir := l.newDir(t)
	d := l.newDesk(t, "ubuntu-24.04", l.packages(), agentSocket(dir))
	apply := d.start(t, "apply", "-f", d.document, "--yes", "--guest-dir", l.scratch)
	var first string
	wait(t, "the start of the VM", func() error {
		select {
		case first = <-d.started:
			return nil
		case <-apply.ended:
			t.Fatalf("apply has ended: %s", apply.out.String())
		default:
		}
		return fmt.Errorf("it is not started")
	})
	_, uuid, _ := strings.Cut(d.vm(t).Config["smbios1"], "uuid=")
	uuid, _, _ = strings.Cut(uuid, ",")
	disk := l.newDisk(t, "applied")
	m := l.start(t, settings{uuid: uuid, disk: disk, seed: first, card: true, dir: dir})
	a := d.agent(t)

	boot := a.bootID(t, "")
	m.progress(t, "first boot: the agent answers our client, through pvesim")
	a.holds(t)
	m.progress(t, "the installation of the driver is in its middle: power cut")
	m.do(t, "system_reset", nil)

	second := a.bootID(t, boot)
	m.progress(t, "second boot: the agent answers")
	status := a.status(t, second, "ready", ready)
	m.progress(t, "the bootstrap went on and is ready")
	if step := stepOf(status, "packages"); step.State != guest.StepDone || step.Tries < 2 {
		t.Errorf("the installation was not done again: %+v", step)
	}
	clean := d.exchanged(t, apply, first)
	m.insert(t, clean)
	m.progress(t, "apply has exchanged the seed")
	apply.end(t)
	m.progress(t, "apply has ended")
	a.isTheWorker(t, l, m, uuid, status)
	a.output(t, "grep "+status.GPUs[0].UUID+" "+guest.OrdersFile)
	before := a.identity(t)
	t.Logf("the guest:\n%s", before)
	a.begin(t, "systemctl reboot")

	third := a.bootID(t, second)
	a.status(t, third, "ready", ready)
	m.progress(t, "third boot: ready")
	a.isAfterCloudInit(t)
	if after := a.identity(t); after != before {
		t.Errorf("the exchange of the seed changed the guest:\n%s\nbefore:\n%s", after, before)
	}
	if gate := a.gate(t); gate.ExitCode != 0 {
		t.Errorf("gate with the recorded card: %+v", gate)
	}
	t.Logf("gpuworker status:\n%s", d.run(t, "status", "-f", d.document))
	a.begin(t, "systemctl poweroff")
	m.off(t)

	m = l.start(t, settings{uuid: uuid, disk: disk, seed: clean, dir: dir})
	a.bootID(t, third)
	m.progress(t, "fourth boot, without the card: the agent answers")
	a.gateFails(t)
}

// exchanged waits until the VM has another CD.
func (d *desk) exchanged(t *testing.T, apply *command, first string) string {
	t.Helper()
	wait(t, "the exchange of the seed", func() error {
		if d.medium() != first {
			return nil
		}
		select {
		case <-apply.ended:
			t.Fatalf("apply has ended: %s", apply.out.String())
		default:
		}
		return fmt.Errorf("the VM has still %s", first)
	})
	return d.medium()
}
