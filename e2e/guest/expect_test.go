package guest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/guest"
)

// progress logs what happened after how many seconds of this machine, and how many seconds
// of a processor QEMU has used: on a busy machine only these can be compared.
func (m *machine) progress(t *testing.T, what string) {
	t.Helper()
	t.Logf("%4.0f s, QEMU used %3.0f s: %s", time.Since(m.began).Seconds(), m.used(), what)
}

// used reads the processor time of QEMU: user and system time of proc_pid_stat(5), in
// hundredths of a second.
func (m *machine) used() float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.qemu.Process.Pid))
	_, after, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(after)
	if err != nil || len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
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
	a.output(t, "! mountpoint -q /run/gpuworker-seed")
	// The agent writes the commands that it runs into the journal, so this one must not have
	// the secret itself.
	pattern := operatorSecret[:len(operatorSecret)-1] + "[" + operatorSecret[len(operatorSecret)-1:] + "]"
	if found := a.output(t, "grep -rsl --devices=skip '"+pattern+"' /etc /home /root /run /tmp /usr/local /var || true"); found != "/home/ops/notes.txt" {
		t.Errorf("copies of a secret of the seed: %s", found)
	}
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

// isAfterCloudInit expects that gpuworker-guest began when cloud-init, which uses the
// package manager too, had ended.
func (a agent) isAfterCloudInit(t *testing.T) {
	t.Helper()
	var began, ended int64 // microseconds since the kernel started; 0 for not yet
	show := "systemctl show --value -p ExecMainStartTimestampMonotonic gpuworker-guest; systemctl show --value -p ExecMainExitTimestampMonotonic cloud-final"
	if _, err := fmt.Sscan(a.output(t, show), &began, &ended); err != nil {
		t.Fatal(err)
	}
	if ended == 0 || began < ended {
		t.Errorf("gpuworker-guest began at %d µs, cloud-init ended at %d µs", began, ended)
	}
}
