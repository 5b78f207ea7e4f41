package bootstrap

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/api/v1alpha1"
	"github.com/gpuworker/gpuworker/internal/driver"
)

// system is a directory that the script takes for the root of a guest.
type system struct {
	dir, script, program string
	systemctl            string // a file with the calls of systemctl
}

// newSystem prepares the script of a worker; the ISO is mounted.
func newSystem(t *testing.T, change func(*Worker)) system {
	t.Helper()
	w := worker(t, driver.Packages, "dhcp", driver.Ubuntu2404)
	w.Program.Builds = []Build{NewBuild("amd64", program.Data), NewBuild("arm64", program.Data)}
	if change != nil {
		change(&w)
	}
	text, err := Script(w)
	if err != nil {
		t.Fatal(err)
	}
	s := system{dir: t.TempDir()}
	s.program, s.systemctl = filepath.Join(s.dir, "usr/local/sbin/gpuworker-guest"), filepath.Join(s.dir, "calls")
	for _, dir := range []string{"usr/local/sbin", "etc/systemd/system", "run/gpuworker-seed", "run/systemd/system", "bin"} {
		if err := os.MkdirAll(filepath.Join(s.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range []string{"amd64", "arm64"} {
		write(t, filepath.Join(s.dir, "run/gpuworker-seed/gpuworker-guest-linux-"+b), program.Data)
	}
	write(t, filepath.Join(s.dir, "bin/systemctl"), []byte("#!/bin/sh\necho \"$@\" >>"+s.systemctl+"\n"))
	if err := os.Chmod(filepath.Join(s.dir, "bin/systemctl"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.script = strings.NewReplacer("/usr/local", s.dir+"/usr/local", "/etc/systemd", s.dir+"/etc/systemd", "/run/", s.dir+"/run/", "/dev/console", "/dev/null").Replace(string(text))
	return s
}

func (s system) run(args ...string) (string, error) {
	cmd := exec.Command("sh", append([]string{"-c", s.script, "gpu-bootstrap.sh"}, args...)...)
	cmd.Env = []string{"PATH=" + s.dir + "/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s system) content(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTheScriptInstallsTheProgramAndItsService(t *testing.T) {
	s := newSystem(t, nil)
	for _, round := range []string{"first", "again", "after damage"} {
		if round == "after damage" {
			write(t, s.program, []byte("damaged"))
		}
		if out, err := s.run(); err != nil {
			t.Fatalf("%s: %v %s", round, err, out)
		}
		if got := s.content(t, s.program); got != string(program.Data) {
			t.Errorf("%s: the program is %q", round, got)
		}
	}
	if out, err := exec.Command(s.program, "bootstrap").Output(); err != nil || string(out) != "gpuworker-guest bootstrap\n" {
		t.Errorf("%v: %s", err, out)
	}
	if got := s.content(t, filepath.Join(s.dir, "etc/systemd/system/gpuworker-guest.service")); !strings.Contains(got, "ExecStart="+s.program+" bootstrap\n") {
		t.Errorf("unit: %s", got)
	}
	if got := s.content(t, s.systemctl); !strings.Contains(got, "enable gpuworker-guest.service\n") || !strings.Contains(got, "start --no-block gpuworker-guest.service\n") {
		t.Errorf("systemctl: %s", got)
	}
}

func TestTheScriptRunsNoProgramWithAnotherChecksum(t *testing.T) {
	for name, change := range map[string]func(system){
		"changed": func(s system) {
			for _, b := range []string{"amd64", "arm64"} {
				write(t, filepath.Join(s.dir, "run/gpuworker-seed/gpuworker-guest-linux-"+b), []byte("#!/bin/sh\nreboot\n"))
			}
		},
		"missing": func(s system) { os.RemoveAll(filepath.Join(s.dir, "run/gpuworker-seed")) },
	} {
		s := newSystem(t, nil)
		change(s)
		out, err := s.run()
		if err == nil || !strings.Contains(out, "gpuworker: ") {
			t.Errorf("%s: %v %s", name, err, out)
		}
		if _, err := os.Stat(s.program); err == nil {
			t.Errorf("%s: it is installed", name)
		}
		if _, err := os.Stat(s.systemctl); err == nil {
			t.Errorf("%s: its service is enabled", name)
		}
	}
}

func TestTheScriptInATemplateOrWithTheGuestAgentCopiesNothing(t *testing.T) {
	for _, delivery := range []v1alpha1.Delivery{v1alpha1.DeliveryTemplate, v1alpha1.DeliveryGuestAgent} {
		s := newSystem(t, func(w *Worker) { w.Program.Delivery = delivery })
		if out, err := s.run(); err == nil {
			t.Errorf("%s, without the program: %s", delivery, out)
		}
		write(t, s.program, program.Data)
		os.Chmod(s.program, 0o755)
		if out, err := s.run(); err != nil {
			t.Errorf("%s: %v %s", delivery, err, out)
		}
	}
}

// A wget and a curl that are none: the download is what the test says.
func TestTheScriptDownloadsWithAChecksum(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		ok      bool
	}{"the program": {string(program.Data), true}, "another file": {"<html>login</html>", false}} {
		s := newSystem(t, by(v1alpha1.DeliveryURL))
		write(t, filepath.Join(s.dir, "download"), []byte(c.content))
		write(t, filepath.Join(s.dir, "bin/curl"), []byte("#!/bin/sh\n[ \"$8\" = 'https://mirror.example.org/gpuworker-guest?a=1&b=2' ] && cp "+s.dir+"/download \"$7\"\n"))
		os.Chmod(filepath.Join(s.dir, "bin/curl"), 0o755)
		out, err := s.run()
		_, missing := os.Stat(s.program)
		if ok := err == nil && missing == nil; ok != c.ok {
			t.Errorf("%s: %v %v %s", name, err, missing, out)
		}
	}
}

func TestShellcheckFindsNothing(t *testing.T) {
	if _, err := exec.LookPath("shellcheck"); err != nil {
		t.Skip("NOT TESTED: the scripts with shellcheck; apt-get install shellcheck")
	}
	scripts := map[string]string{"agent": agentScript, "agent of RHEL": "#!/bin/sh\n" + allowAgent}
	for _, delivery := range []v1alpha1.Delivery{v1alpha1.DeliverySeedISO, v1alpha1.DeliveryGuestAgent, v1alpha1.DeliveryTemplate, v1alpha1.DeliveryURL} {
		w := worker(t, driver.Packages, "dhcp", driver.Ubuntu2404)
		by(delivery)(&w)
		text, err := Script(w)
		if err != nil {
			t.Fatal(err)
		}
		scripts[string(delivery)] = string(text)
	}
	for _, part := range []string{repeatFirstBoot, mountSeed, markSeeded, install, installAndUnmount} {
		scripts[part] = "#!/bin/sh\n" + part + "\n"
	}
	for name, text := range scripts {
		cmd := exec.Command("shellcheck", "--shell=sh", "--exclude=SC1091", "-")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %s", name, out)
		}
	}
}
