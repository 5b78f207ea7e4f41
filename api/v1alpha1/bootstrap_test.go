package v1alpha1_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/document"
)

// commandErrors loads a pool with one command, and returns the error.
func commandErrors(t *testing.T, command string, gpu bool) error {
	t.Helper()
	size := "replicas: 1"
	if gpu {
		size = "gpus: [{model: T4}]"
	}
	spec := fmt.Sprintf("  %s\n  bootstrap: {cloudInit: {runCommands: [%s]}}\n", size, strconv.Quote(command))
	_, _, err := document.Load(lab(t), document.File{Name: "pool.yaml", Data: []byte(poolText("gpu", spec))})
	return err
}

func TestACommandThatEndsTheFirstBootIsRefused(t *testing.T) {
	for _, command := range []string{
		"reboot", "/sbin/reboot -f", "sudo reboot", "sleep 10 && reboot", "if true; then reboot; fi", "(sleep 60; reboot) &",
		"shutdown -r now", "shutdown -r +1", "shutdown now", "poweroff", "halt -p", "init 6", "telinit 0", "kexec -e",
		"systemctl reboot", "systemctl --no-block reboot", "systemctl start reboot.target", "systemctl isolate poweroff.target", "loginctl reboot",
		"bash -c 'apt-get update; reboot'", `sh -ec "reboot"`, "nohup sh -c 'sleep 5; reboot' &", "timeout 5 reboot", "eval reboot", "re'boo't", `re\boot`,
		"env X=1 reboot", "X=1 reboot", "x() { reboot; }; x", "echo b > /proc/sysrq-trigger", "systemd-run --on-active=60 systemctl reboot", "$(reboot)", "! reboot",
	} {
		if err := commandErrors(t, command, false); err == nil || !strings.Contains(err.Error(), "in the middle of its first boot") {
			t.Errorf("%q: %v", command, err)
		}
	}
}

func TestAnUpgradeOfAllPackagesIsRefusedOnGPUWorkersOnly(t *testing.T) {
	for _, command := range []string{
		"apt-get -y upgrade", "DEBIAN_FRONTEND=noninteractive apt-get dist-upgrade -y", "apt full-upgrade", "dnf -y update", "yum upgrade",
		"unattended-upgrade -d", "apt-get install -y unattended-upgrades", "systemctl enable --now dnf-automatic.timer", "do-release-upgrade",
	} {
		if err := commandErrors(t, command, true); err == nil || !strings.Contains(err.Error(), "upgrades kernel or driver of a GPU worker") {
			t.Errorf("%q: %v", command, err)
		}
		if err := commandErrors(t, command, false); err != nil {
			t.Errorf("%q on a plain worker: %v", command, err)
		}
	}
}

func TestCommandsThatOnlyNameARebootAreAllowed(t *testing.T) {
	for _, command := range []string{
		`echo "reboot later"`, "touch /run/reboot-required", "grep -q reboot /var/log/syslog", "systemctl enable --now chrony", "systemctl mask reboot.target",
		"shutdown -c", "apt-get install -y nfs-common", "dnf -y update openssl", "update-grub", "initctl list", "systemctl stop unattended-upgrades", "sysctl -w kernel.panic=10",
		"cat <<EOF > /etc/motd\nreboot\nEOF", "journalctl --list-boots", "apt-mark hold linux-image-generic", "cloud-init status",
	} {
		if err := commandErrors(t, command, true); err != nil {
			t.Errorf("%q: %v", command, err)
		}
	}
}

func TestTheLimitsOfTheOperatorsParts(t *testing.T) {
	pool := func(parts v1alpha1.CloudInit) []v1alpha1.Problem {
		d := &v1alpha1.Documents{WorkerPools: []v1alpha1.WorkerPool{{Spec: v1alpha1.WorkerPoolSpec{Bootstrap: &v1alpha1.Bootstrap{CloudInit: &parts}}}}}
		v1alpha1.SetDefaults(d)
		_, problems := d.Validate()
		var found []v1alpha1.Problem
		for _, p := range problems {
			if strings.HasPrefix(p.Field.Path, "spec.bootstrap") {
				found = append(found, p)
			}
		}
		return found
	}
	file := func(size int) v1alpha1.CloudInit {
		return v1alpha1.CloudInit{WriteFiles: []v1alpha1.GuestFile{{Path: "/etc/x", Content: strings.Repeat("x", size)}}}
	}
	commands := v1alpha1.CloudInit{RunCommands: make([]string, 501)}
	for i := range commands.RunCommands {
		commands.RunCommands[i] = "true"
	}
	for name, c := range map[string]struct {
		parts v1alpha1.CloudInit
		want  string
	}{
		"a file of the largest size":  {file(512 << 10), ""},
		"one byte more":               {file(512<<10 + 1), "have 524289 bytes, but the limit is 524288"},
		"too many commands":           {commands, "501 entries are too many; the limit is 500"},
		"a command of the shell size": {v1alpha1.CloudInit{RunCommands: []string{"echo " + strings.Repeat("x", 64<<10)}}, "too much for one command"},
	} {
		problems := pool(c.parts)
		if c.want == "" && len(problems) > 0 || c.want != "" && (len(problems) != 1 || !strings.Contains(problems[0].Message, c.want)) {
			t.Errorf("%s: %v, want %q", name, problems, c.want)
		}
	}
}

func TestAPoolWithoutBootstrapStaysAsItIs(t *testing.T) {
	d, _, err := document.Load(lab(t), document.File{Name: "a.yaml", Data: []byte(poolText("gpu", "  replicas: 1\n"))})
	if err != nil || d.WorkerPools[0].Spec.Bootstrap != nil || d.WorkerPools[0].UsesGuestProgram() {
		t.Errorf("bootstrap is %v, %v", d.WorkerPools[0].Spec.Bootstrap, err)
	}
	for text, want := range map[string]v1alpha1.Bootstrap{
		"{}":                       {Seed: v1alpha1.SeedISO, Delivery: v1alpha1.DeliverySeedISO},
		"{seed: ProxmoxCloudInit}": {Seed: v1alpha1.SeedProxmoxCloudInit, Delivery: v1alpha1.DeliveryGuestAgent},
		"{delivery: Template}":     {Seed: v1alpha1.SeedISO, Delivery: v1alpha1.DeliveryTemplate},
	} {
		d, _, err := document.Load(lab(t), document.File{Name: "a.yaml", Data: []byte(poolText("gpu", "  replicas: 1\n  bootstrap: "+text+"\n"))})
		if err != nil || *d.WorkerPools[0].Spec.Bootstrap != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The strategies that install or verify a driver need gpuworker-guest, so they need a
// bootstrap. What is written stays as it is.
func TestTheDriverStrategyDecidesWhetherThereIsABootstrap(t *testing.T) {
	iso := &v1alpha1.Bootstrap{Seed: v1alpha1.SeedISO, Delivery: v1alpha1.DeliverySeedISO}
	proxmox := &v1alpha1.Bootstrap{Seed: v1alpha1.SeedProxmoxCloudInit, Delivery: v1alpha1.DeliveryGuestAgent}
	for _, test := range []struct {
		driver, bootstrap string
		want              *v1alpha1.Bootstrap
	}{
		{"{strategy: Preinstalled, branch: \"580\"}", "", iso},
		{"{strategy: Packages}", "", iso},
		{"{strategy: Ansible}", "", iso},
		{"{strategy: Operator}", "", nil},
		{"{strategy: None}", "", nil},
		{"null", "", nil},
		{"{strategy: Operator}", "{}", iso},
		{"{strategy: Packages}", "{seed: ProxmoxCloudInit}", proxmox},
	} {
		spec := "  gpus: [{model: T4}]\n  driver: " + test.driver + "\n"
		if test.bootstrap != "" {
			spec += "  bootstrap: " + test.bootstrap + "\n"
		}
		pool, _ := loadSpec(t, "  template: {name: t, os: ubuntu-24.04}\n"+spec)
		if diff := cmp.Diff(test.want, pool.Spec.Bootstrap); diff != "" {
			t.Errorf("%s%s: (-want +got):\n%s", test.driver, test.bootstrap, diff)
		}
	}
}
