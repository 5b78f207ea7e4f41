package steps

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/thorough"
)

func states(s *guest.Status) string {
	var b strings.Builder
	for _, step := range s.Steps {
		fmt.Fprintf(&b, "%s %s\n", step.Name, step.State)
	}
	return b.String()
}

func TestABootstrapMakesAReadyWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		status, _, err := s.bootstrap(t)
		if err != nil {
			t.Fatal(err)
		}
		if !status.Ready || len(status.GPUs) != 1 || status.GPUs[0].UUID != t4UUID || status.Driver.Version != "580.95.05" {
			t.Errorf("%+v", status)
		}
		const want = "card Done\nnouveau Done\nupdates Done\noptions Done\npackages Done\nmodules Done\npersistence Done\ntoolkit Done\nverify Done\ncopies Done\n"
		if diff := cmp.Diff(want, states(status)); diff != "" {
			t.Error(diff)
		}
		commands := []string{
			"update-initramfs -u -k all", "modprobe -r nouveau", "apt-mark hold linux-image-" + kernel,
			aptGet(0, "update").String(),
			aptGet(0, "install", "--no-install-recommends", "--allow-change-held-packages", "linux-modules-nvidia-580-server-open-"+kernel, "nvidia-headless-no-dkms-580-server-open", "nvidia-utils-580-server", "nvidia-modprobe", "nvidia-container-toolkit").String(),
			"apt-mark hold linux-modules-nvidia-580-server-open-" + kernel + " nvidia-container-toolkit nvidia-headless-no-dkms-580-server-open nvidia-modprobe nvidia-utils-580-server",
			"modprobe nvidia", "modprobe nvidia_uvm", "systemctl start nvidia-persistenced.service",
		}
		if diff := cmp.Diff(commands, s.commands); diff != "" {
			t.Errorf("commands (-want +got):\n%s", diff)
		}
		read, err := guest.ParseStatus([]byte(s.read(relative(guest.StatusFile))))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(states(status), states(read)); diff != "" || !read.Ready {
			t.Errorf("the written status differs: %s", diff)
		}
	})
}

func TestASecondRunChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		first, _, err := s.bootstrap(t)
		if err != nil {
			t.Fatal(err)
		}
		before := s.result(t)
		s.commands = nil
		time.Sleep(time.Hour)
		second, _, err := s.bootstrap(t)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.commands) > 0 || s.result(t) != before {
			t.Errorf("commands: %q\n%s", s.commands, cmp.Diff(before, s.result(t)))
		}
		if diff := cmp.Diff(first.Steps, second.Steps); diff != "" {
			t.Errorf("the records changed:\n%s", diff)
		}
	})
}

func TestAfterARestartOnlyTheMemoryIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		if _, _, err := s.bootstrap(t); err != nil {
			t.Fatal(err)
		}
		s.boot("boot-1")
		s.commands = nil
		status, _, err := s.bootstrap(t)
		if err != nil || !status.Ready || status.BootID != "boot-1" {
			t.Errorf("%v, %+v", err, status)
		}
		want := []string{"modprobe nvidia", "modprobe nvidia_uvm", "systemctl start nvidia-persistenced.service"}
		if diff := cmp.Diff(want, s.commands); diff != "" {
			t.Errorf("commands (-want +got):\n%s", diff)
		}
	})
}

// The program is killed at each moment, before and after each command and each write, and
// in the middle of apt-get. The VM goes on, or is restarted. The next run must end with
// the same guest as a run that was not killed.
func TestABootstrapThatIsKilledAnywhereConverges(t *testing.T) {
	whole := newSim()
	synctest.Test(t, func(t *testing.T) {
		if _, _, err := whole.bootstrap(t); err != nil {
			t.Fatal(err)
		}
	})
	want := whole.result(t)
	if whole.moments < 60 {
		t.Fatalf("only %d moments", whole.moments)
	}
	kills := 0
	for _, restart := range []bool{false, true} {
		for at := 1; at <= whole.moments; at += thorough.Every {
			kills++
			synctest.Test(t, func(t *testing.T) { killAndRepeat(t, at, restart, want) })
		}
	}
	t.Logf("%d moments, %d kills", whole.moments, kills)
}

func killAndRepeat(t *testing.T, at int, restart bool, want string) {
	s := newSim()
	s.killAt = at
	if _, killed, err := s.bootstrap(t); !killed {
		t.Fatalf("moment %d: not killed: %v", at, err)
	}
	if text := s.read(relative(guest.StatusFile)); text != "" && !json.Valid([]byte(text)) {
		t.Errorf("moment %d: the status is damaged: %q", at, text)
	}
	if restart {
		s.boot("boot-1")
	}
	status, killed, err := s.bootstrap(t)
	if killed || err != nil || !status.Ready {
		t.Fatalf("moment %d, restart %t: killed %t, %v\n%s", at, restart, killed, err, s.read(relative(guest.LogFile)))
	}
	if got := s.result(t); got != want {
		t.Errorf("moment %d, restart %t: another guest (-whole +killed):\n%s", at, restart, cmp.Diff(want, got))
	}
}

func TestAFailureOfTheNetworkIsTriedAgainWithPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		update := aptGet(0, "update").String()
		s.fails[update], s.failing[update] = "E: Failed to fetch http://mirror/x  Temporary failure resolving 'mirror'\n", 2
		began := time.Now()
		status, _, err := s.bootstrap(t)
		if err != nil || !status.Ready {
			t.Fatalf("%v", err)
		}
		i := slices.IndexFunc(status.Steps, func(r guest.Step) bool { return r.Name == "packages" })
		if r := status.Steps[i]; r.Tries != 3 || r.Problem != "" {
			t.Errorf("%+v", r)
		}
		if took := time.Since(began); took < firstPause*3 || took > firstPause*5 {
			t.Errorf("the pauses are %s", took)
		}
	})
}

func TestRetriesAreBoundedAndTheCauseIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		s.fails[aptGet(0, "install").String()] = "E: Unable to locate package linux-modules-nvidia-580-server-open-6.8.0-45-generic\n"
		status, _, err := s.bootstrap(t)
		if !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.FixOf(err), "check the branch") {
			t.Fatalf("%v, %s", err, fault.FixOf(err))
		}
		i := slices.IndexFunc(status.Steps, func(r guest.Step) bool { return r.Name == "packages" })
		r := status.Steps[i]
		if r.State != guest.StepFailed || r.Tries != maxTries || !strings.Contains(r.Problem, "Unable to locate package") || r.Fix == "" {
			t.Errorf("%+v", r)
		}
		if !strings.Contains(states(status), "packages Failed\nmodules Pending\npersistence Pending\ntoolkit Pending\nverify Pending\n") || status.Ready {
			t.Errorf("%s", states(status))
		}
		if !slices.ContainsFunc(status.Findings, func(f finding.Finding) bool { return f.ID == finding.GuestBootstrap && f.Verdict == finding.Fail }) {
			t.Errorf("the findings do not name the step: %+v", status.Findings)
		}
		// The cause is gone: the next run does the rest.
		delete(s.fails, aptGet(0, "install").String())
		if status, _, err := s.bootstrap(t); err != nil || !status.Ready {
			t.Errorf("%v", err)
		}
	})
}

func TestFailuresThatARetryCannotHealAreNotRetried(t *testing.T) {
	for name, test := range map[string]struct{ command, output, fix string }{
		"no room":     {aptGet(0, "install").String(), "E: You don't have enough free space in /var/cache/apt/archives/.\n", "larger one"},
		"secure boot": {"modprobe nvidia", "modprobe: ERROR: could not insert 'nvidia': Key was rejected by service\n", "Secure Boot"},
		"nouveau":     {"modprobe -r nouveau", "modprobe: FATAL: Module nouveau is in use.\n", "restart the VM once"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSim()
			s.fails[test.command] = test.output
			_, _, err := s.bootstrap(t)
			if !fault.Is(err, fault.Refused) || !strings.Contains(fault.FixOf(err), test.fix) {
				t.Errorf("%s: %v, %s", name, err, fault.FixOf(err))
			}
			tries := slices.DeleteFunc(slices.Clone(s.commands), func(line string) bool { return !strings.HasPrefix(line, test.command) })
			if len(tries) != 1 {
				t.Errorf("%s: tried %d times", name, len(tries))
			}
			if strings.Contains(strings.Join(s.commands, "\n"), "reboot") {
				t.Errorf("%s: it restarts the VM", name)
			}
		})
	}
}

func TestOrdersOfAnotherVMAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		s.tree.WriteFile("sys/class/dmi/id/product_uuid", []byte("11111111-2222-4333-8444-555555555555\n"))
		status, _, err := s.bootstrap(t)
		if !fault.Is(err, fault.Refused) || status != nil || len(s.commands) > 0 || s.read(relative(guest.StatusFile)) != "" {
			t.Errorf("%v, %+v, %q", err, status, s.commands)
		}
		if !strings.Contains(err.Error(), "copy") || !strings.Contains(fault.FixOf(err), "gpuworker-guest seal --worker gpu-1 --yes") {
			t.Errorf("%v, %s", err, fault.FixOf(err))
		}
	})
}

func TestAProblemOfAnOptionalStepDoesNotStopTheBootstrap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		s.fails["systemctl start"], s.fails["nvidia-smi -pm"] = "Unit not found.\n", "no\n"
		status, _, err := s.bootstrap(t)
		if err == nil || !status.Ready || !strings.Contains(states(status), "persistence Failed\ntoolkit Done\nverify Done") {
			t.Errorf("%v\n%s", err, states(status))
		}
	})
}

func TestWithOperatorOnlyTheCardIsPrepared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		s.tree.WriteFile("etc/gpuworker/orders.json", []byte(`{"version":1,"program":"v","worker":"gpu-1","uuid":"`+vmUUID+`","driver":{"strategy":"Operator"},"gpu":{"id":"10de:1eb8"}}`))
		status, _, err := s.bootstrap(t)
		if err != nil || !status.Ready || strings.Contains(strings.Join(s.commands, "\n"), "apt-get") {
			t.Errorf("%v, %q", err, s.commands)
		}
	})
}

func TestAPlainWorkerNeedsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		s.tree.Remove("sys/bus/pci/devices/0000:00:10.0")
		s.tree.Mkdir("sys/bus/pci/devices")
		s.tree.WriteFile("etc/gpuworker/orders.json", []byte(`{"version":1,"program":"v","worker":"plain-1","uuid":"`+vmUUID+`","driver":{"strategy":"None"}}`))
		status, _, err := s.bootstrap(t)
		if err != nil || !status.Ready || len(s.commands) > 0 || strings.Count(states(status), "Done") != 1 || !strings.Contains(states(status), "copies Done") {
			t.Errorf("%v, %q\n%s", err, s.commands, states(status))
		}
	})
}

// TestNoCopyOfTheSeedStays: cloud-init's own state stays, and other files are not touched.
func TestNoCopyOfTheSeedStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		if _, _, err := s.bootstrap(t); err != nil {
			t.Fatal(err)
		}
		if all := string(s.tree.Format()); strings.Contains(all, secret) {
			t.Errorf("a file has the secret:\n%s", all)
		}
		if s.read("var/lib/cloud/instances/"+vmUUID+"/boot-finished") == "" {
			t.Error("a file of cloud-init without a copy was removed")
		}
		const later = "var/lib/cloud/instances/" + vmUUID + "/user-data.txt"
		s.tree.WriteFile(later, []byte("#cloud-config\nhostname: gpu-1\n")) // of the clean seed
		if _, _, err := s.bootstrap(t); err != nil || s.read(later) == "" {
			t.Errorf("the clean user-data was removed (%v)", err)
		}
	})
}

func TestWithoutPackagesForTheReleaseItSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		s.tree.WriteFile("etc/os-release", []byte("ID=debian\nVERSION_ID=\"12\"\n"))
		_, _, err := s.bootstrap(t)
		if !fault.Is(err, fault.Unsupported) {
			t.Errorf("%v", err)
		}
	})
}

func TestALongLogKeepsItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		s.tree.WriteFile(relative(guest.LogFile), []byte(strings.Repeat("x", maxLog)+"\nend of the old log\n"))
		if _, _, err := s.bootstrap(t); err != nil {
			t.Fatal(err)
		}
		log := s.read(relative(guest.LogFile))
		if len(log) > keptLog+64<<10 || !strings.Contains(log, "end of the old log\n") || !strings.Contains(log, "bootstrap: ready") {
			t.Errorf("%d bytes", len(log))
		}
	})
}

// apt-get may know of an installation that was cut off although the database does not
// show it.
func TestAnInterruptedDpkgIsFinishedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		install := aptGet(0, "install").String()
		s.fails[install], s.failing[install] = "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.\n", 1
		status, _, err := s.bootstrap(t)
		if err != nil || !status.Ready || !slices.Contains(s.commands, "dpkg --configure -a") {
			t.Errorf("%v, %q", err, s.commands)
		}
	})
}

// A card of an SXM board: the option is written before the driver is loaded.
func TestNVLinkIsTurnedOffBeforeTheDriverIsLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		s.tree.WriteFile(gpuDir+"/device", []byte("0x2330\n"))
		s.tree.WriteFile("etc/gpuworker/orders.json", []byte(strings.Replace(strings.Replace(ordered, `"toolkit":true`, `"noNVLink":true`, 1), "1eb8", "2330", 1)))
		if _, _, err := s.bootstrap(t); err != nil {
			t.Fatal(err)
		}
		log := s.read(relative(guest.LogFile))
		written, loaded := strings.Index(log, "write /etc/modprobe.d/gpuworker-nvidia.conf"), strings.Index(log, "run modprobe nvidia:")
		if written < 0 || loaded < written {
			t.Errorf("written at %d, loaded at %d of the log:\n%s", written, loaded, log)
		}
	})
}

// Rocky Linux 9: NVIDIA's pre-built modules from the repository of the order, by dnf.
func TestABootstrapOnRocky(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim()
		const rocky = "5.14.0-611.24.1.el9_7.x86_64"
		s.tree.WriteFile("etc/os-release", []byte("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.7\"\n"))
		s.tree.WriteFile("proc/sys/kernel/osrelease", []byte(rocky+"\n"))
		s.tree.WriteFile(dnfFile, []byte("[main]\ngpgcheck=1\n"))
		s.tree.WriteFile("etc/gpuworker/orders.json", []byte(`{"version":1,"program":"v","worker":"gpu-1","uuid":"`+vmUUID+`","driver":{"strategy":"Packages","branch":"580","version":"580.95.05","repository":"https://mirror.example.org/rhel9/"},"gpu":{"id":"10de:1eb8"}}`))
		s.rpm = map[string]string{"kernel-core": "5.14.0-611.24.1.el9_7"}
		status, _, err := s.bootstrap(t)
		if err != nil || !status.Ready {
			t.Fatalf("%v\n%s", err, s.read(relative(guest.LogFile)))
		}
		want := []string{
			"dracut --force --regenerate-all", "modprobe -r nouveau", "dnf -y module enable nvidia-driver:580",
			"dnf -y --disableexcludes=main --setopt=install_weak_deps=False install kmod-nvidia-580.95.05-5.14.0-611.24.1 nvidia-driver-cuda-580.95.05 python3-dnf-plugin-versionlock",
			"modprobe nvidia", "modprobe nvidia_uvm", "systemctl start nvidia-persistenced.service",
		}
		if diff := cmp.Diff(want, s.commands); diff != "" {
			t.Errorf("commands (-want +got):\n%s", diff)
		}
		if !strings.Contains(s.read("etc/yum.repos.d/gpuworker-driver.repo"), "mirror.example.org") {
			t.Error("the repository is not written")
		}
		s.commands = nil
		if _, _, err := s.bootstrap(t); err != nil || len(s.commands) > 0 {
			t.Errorf("a second run: %v, %q", err, s.commands)
		}
	})
}
