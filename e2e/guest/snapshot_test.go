package guest

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/bootstrap"
	"github.com/gpuworker/gpuworker/internal/guest"
)

// A snapshot of a machine that waits in its first boot, before cloud-init, for the medium
// with the seed. So it is older than all that is tested, and is made only once: it depends
// on the prepared disk, on QEMU and on the devices.
const snapshotName = "waiting"

// waits are the settings of its machine.
func waits(disk string) settings {
	// Without a medium, cloud-init would find no data source when the boot begins.
	return settings{uuid: workerUUID, disk: disk, card: true, append: "e2e.wait ci.ds=NoCloud"}
}

// snapshot returns a disk with the snapshot.
func (l *lab) snapshot(t *testing.T) string {
	t.Helper()
	version, err := exec.Command(l.qemu.Path, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	arguments := l.arguments(&machine{}, waits(""))
	arguments = slices.DeleteFunc(arguments, func(a string) bool { return strings.Contains(a, "hostfwd") }) // it has another port each time
	key := sha256.Sum256(fmt.Appendf(nil, "%s %s %q", filepath.Base(l.dir), version, arguments))
	kept := filepath.Join(l.dir, fmt.Sprintf("snapshot-%x.qcow2", key[:6]))
	if _, err := os.Stat(kept); err != nil {
		l.makeSnapshot(t, kept)
	}
	disk := filepath.Join(l.scratch, "snapshot.qcow2")
	if err := copyFile(disk, kept); err != nil {
		t.Fatal(err)
	}
	return disk
}

func (l *lab) makeSnapshot(t *testing.T, kept string) {
	t.Helper()
	disk := l.newDisk(t, "waiting")
	m := l.start(t, waits(disk))
	m.waitConsole(t, "e2e: waiting for the seed")
	m.do(t, "stop", nil)
	m.monitor(t, "savevm "+snapshotName)
	m.progress(t, "the snapshot is made: "+kept)
	m.stop()
	if err := copyFile(kept+".new", disk); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(kept+".new", kept); err != nil {
		t.Fatal(err)
	}
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, in)
	return err
}

func TestAGuestBecomesAWorkerFromASnapshot(t *testing.T) {
	l := theLab(t)
	w := l.worker(t, "ubuntu-24.04", l.packages())
	first, clean := l.image(t, "short-first", bootstrap.Render, w), l.image(t, "short-clean", bootstrap.Clean, w)
	s := waits(l.snapshot(t))
	s.more = []string{"-loadvm", snapshotName}
	m := l.start(t, s)
	a := agentOf(t, m)
	m.insert(t, first)

	boot := a.bootID(t, "")
	m.progress(t, "the agent answers our client, through pvesim")
	a.holds(t)
	m.progress(t, "the installation of the driver is in its middle: kill gpuworker-guest and dpkg")
	a.output(t, "systemctl kill -s KILL gpuworker-guest.service; rm /run/standin-hold; systemctl restart --no-block gpuworker-guest.service")
	status := a.status(t, boot, "ready", ready)
	m.progress(t, "the bootstrap went on and is ready")
	if step := stepOf(status, "packages"); step.State != guest.StepDone || step.Tries < 2 {
		t.Errorf("the installation was not done again: %+v", step)
	}
	a.isTheWorker(t, l, m, w.UUID, status)
	before := a.identity(t)

	w.Orders.GPU.UUID = status.GPUs[0].UUID
	a.writeOrders(t, w.Orders)
	if gate := a.gate(t); gate.ExitCode != 0 {
		t.Errorf("gate with the recorded card: %+v", gate)
	}
	m.insert(t, clean)
	m.do(t, "device_del", map[string]any{"id": "card"})
	m.progress(t, "the clean seed is in the drive, the card is taken away: restart")
	a.begin(t, "systemctl reboot")

	a.bootID(t, boot)
	m.progress(t, "the agent answers")
	if after := a.identity(t); after != before {
		t.Errorf("the exchange of the seed changed the guest:\n%s\nbefore:\n%s", after, before)
	}
	a.gateFails(t)
	m.progress(t, "end")
}
