package guest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/bootstrap"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/guest"
)

// progress logs what happened after how many seconds of this machine.
func (m *machine) progress(t *testing.T, what string) {
	t.Helper()
	t.Logf("%4.0f s: %s", time.Since(m.began).Seconds(), what)
}

// holds waits until the installation of the driver is in its middle: dpkg runs the script
// of a package.
func (a agent) holds(t *testing.T) {
	t.Helper()
	wait(t, "the middle of the installation", func() error {
		result, err := a.run(`pgrep -f '[l]ibnvidia-compute-580-server.postinst'`)
		if err == nil && result.ExitCode != 0 {
			err = fmt.Errorf("dpkg is not there yet: %s", strings.Join(strings.Fields(a.tail()), " "))
		}
		return err
	})
}

// tail is the end of the log, for messages.
func (a agent) tail() string {
	result, err := a.run("cloud-init status --long; tail -n 20 " + guest.LogFile)
	if err != nil {
		return err.Error()
	}
	return result.Out
}

func TestAGuestBecomesAWorkerFromItsISO(t *testing.T) {
	if testing.Short() {
		t.Skip("left out: it takes ten minutes")
	}
	l := theLab(t)
	w := l.worker(t, "ubuntu-24.04", l.packages())
	first, clean := l.image(t, "first", bootstrap.Render, w), l.image(t, "clean", bootstrap.Clean, w)
	disk := l.newDisk(t, "worker")
	m := l.start(t, settings{uuid: w.UUID, disk: disk, seed: first, card: true})
	a := agentOf(t, m)

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
	a.isTheWorker(t, l, m, w.UUID, status)
	before := a.identity(t)
	t.Logf("the guest:\n%s", before)

	w.Orders.GPU.UUID = status.GPUs[0].UUID
	a.writeOrders(t, w.Orders)
	m.insert(t, clean)
	m.progress(t, "the GPU's UUID is in the orders, the clean seed in the drive: restart")
	a.begin(t, "systemctl reboot")

	third := a.bootID(t, second)
	a.status(t, third, "ready", ready)
	m.progress(t, "third boot: ready")
	t.Logf("DEBUG %s", a.output(t, "systemctl show -p ExecMainStartTimestampMonotonic -p ExecMainExitTimestampMonotonic gpuworker-guest cloud-final cloud-config; journalctl -b -o short-monotonic | grep -i -e cycle -e 'gpuworker-guest.service' -e cloud-final; systemctl list-jobs; cat /var/log/gpuworker-guest.log"))
	if after := a.identity(t); after != before {
		t.Errorf("the exchange of the seed changed the guest:\n%s\nbefore:\n%s", after, before)
	}
	if gate := a.gate(t); gate.ExitCode != 0 {
		t.Errorf("gate with the recorded card: %+v", gate)
	}
	a.begin(t, "systemctl poweroff")
	m.off(t)

	m = l.start(t, settings{uuid: w.UUID, disk: disk, seed: clean})
	a = agentOf(t, m)
	a.bootID(t, third)
	m.progress(t, "fourth boot, without the card: the agent answers")
	a.gateFails(t)
}

// isTheWorker compares the guest with the document.
func (a agent) isTheWorker(t *testing.T, l *lab, m *machine, uuid string, status *guest.Status) {
	t.Helper()
	identity := "\n" + a.identity(t) + "\n"
	for _, line := range []string{
		"gpu-1", "gpu-1.lab.example.org", uuid,
		firstMAC + ": 10.77.0.21/24", secondMAC + ": 10.78.0.21/24", l.public,
		"/etc/sysctl.d/90-e2e.conf 640 root:root", "/home/ops/notes.txt 600 ops:ops", "/etc/gpuworker/orders.json 600 root:root",
	} {
		if !strings.Contains(identity, "\n"+line+"\n") {
			t.Errorf("the guest has no line %q:\n%s", line, identity)
		}
	}
	if !strings.Contains(identity, "\ndefault via 10.77.0.2 dev ") {
		t.Errorf("the guest has no default route:\n%s", identity)
	}
	if got := status.GPUs; len(got) != 1 || got[0].ID != "10de:1eb8" || !guest.IsGPUUUID(got[0].UUID) {
		t.Errorf("GPUs: %+v", got)
	}
	if out, err := l.ssh(m, "ops", "id -un; sudo -n id -un"); err != nil || out != "ops\nroot" {
		t.Errorf("login with the operator's key: %v %q", err, out)
	}
	a.output(t, "[ ! -e /dev/disk/by-label/cidata ] || ! mountpoint -q /run/gpuworker-seed")
	result, err := a.run("gpuworker-guest check")
	t.Logf("gpuworker-guest check: %s%s", result.Out, result.Err)
	if err != nil || result.ExitCode != 0 {
		t.Errorf("check: exit code %d, %v", result.ExitCode, err)
	}
	if gate := a.gate(t); gate.ExitCode != 0 {
		t.Errorf("gate: %+v", gate)
	}
}

// gateFails expects that the gate says that there is no card.
func (a agent) gateFails(t *testing.T) {
	t.Helper()
	gate := a.gate(t)
	t.Logf("gpuworker-guest gate: exit code %d\n%s%s", gate.ExitCode, gate.Out, gate.Err)
	if gate.ExitCode == 0 || !strings.Contains(gate.Out, string(finding.GuestNoGPU)) {
		t.Errorf("without the card the gate does not say so")
	}
}

// cloud-init prefers ifupdown where both are installed; its renderers differ.
func TestTheDefaultRouteIsThereWithIfupdownToo(t *testing.T) {
	if testing.Short() {
		t.Skip("left out: it takes two minutes")
	}
	l := theLab(t)
	w := l.worker(t, "debian-12", "{strategy: Operator}")
	m := l.start(t, settings{
		uuid: w.UUID, disk: l.newDisk(t, "ifupdown"), seed: l.image(t, "ifupdown", bootstrap.Render, w), card: true,
		append: "cc: {system_info: {network: {renderers: [eni]}}} end_cc",
	})
	a := agentOf(t, m)
	boot := a.bootID(t, "")
	m.progress(t, "the agent answers")
	a.status(t, boot, "ready", ready)
	m.progress(t, "ready")
	a.output(t, "grep -q 'gateway 10.77.0.2' /etc/network/interfaces.d/* /etc/network/interfaces; ! command -v route")
	if route := a.output(t, "ip -4 route show default"); !strings.HasPrefix(route, "default via 10.77.0.2 dev ") {
		t.Errorf("default route %q", route)
	}
	t.Logf("%s", a.output(t, "ip -4 -br addr; ip -4 route; cat /etc/network/interfaces.d/50-cloud-init"))
}
