package bootstrap

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/driver"
)

// agentGuest is a directory that the scripts for the guest agent take for the root of a
// guest. Its programs write down how they were called.
type agentGuest struct{ dir string }

func newAgentGuest(t *testing.T, programs ...string) agentGuest {
	t.Helper()
	g := agentGuest{t.TempDir()}
	for _, dir := range []string{"bin", "etc/systemd/system", "sys/fs/selinux", "var/lib/gpuworker"} {
		if err := os.MkdirAll(filepath.Join(g.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range append(programs, "systemctl") {
		g.program(t, p, "")
	}
	for _, p := range []string{"sh", "cat", "mkdir", "grep", "tee"} {
		path, err := exec.LookPath(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(g.dir, "bin", p)); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// program makes a program that does this after it has written down its call.
func (g agentGuest) program(t *testing.T, name, does string) {
	t.Helper()
	file := filepath.Join(g.dir, "bin", name)
	write(t, file, []byte("#!/bin/sh\necho "+name+" \"$@\" >>"+g.dir+"/calls\n"+does+"\n"))
	if err := os.Chmod(file, 0o755); err != nil {
		t.Fatal(err)
	}
}

// run runs a script, and returns its output and the calls of programs.
func (g agentGuest) run(t *testing.T, script string) (out, calls string, err error) {
	t.Helper()
	os.Remove(filepath.Join(g.dir, "calls"))
	script = strings.NewReplacer("/etc/", g.dir+"/etc/", "/var/lib", g.dir+"/var/lib", "/sys/fs", g.dir+"/sys/fs", "/dev/console", "/dev/null").Replace(script)
	cmd := exec.Command("sh", "-c", script, "gpuworker-seed", uuid)
	cmd.Env = []string{"PATH=" + g.dir + "/bin"}
	output, err := cmd.CombinedOutput()
	data, _ := os.ReadFile(filepath.Join(g.dir, "calls"))
	return string(output), string(data), err
}

func TestTheGuestAgentIsInstalledAndStartedOnEachRelease(t *testing.T) {
	for _, release := range driver.Systems {
		manager := "apt-get"
		if release.IsRHEL() {
			manager = "dnf"
		}
		t.Run(string(release), func(t *testing.T) {
			seed := configOf(t, mustRender(t, worker(t, driver.None, "dhcp", release)).UserData)
			if first := strings.Join(seed.Runcmd[0], " "); !strings.Contains(first, agentPath) || seed.content(t, agentPath) != agentScript {
				t.Errorf("the first command is %s", first)
			}
			g := newAgentGuest(t)
			installs := "case \"$*\" in *install\\ qemu-guest-agent) echo '#!/bin/sh' >" + g.dir + "/bin/qemu-ga; /bin/chmod +x " + g.dir + "/bin/qemu-ga ;; esac"
			g.program(t, manager, installs)
			out, calls, err := g.run(t, agentScript)
			if err != nil || !strings.Contains(calls, "install qemu-guest-agent\n") || !strings.HasSuffix(calls, "systemctl start --no-block qemu-guest-agent.service\n") {
				t.Errorf("%v: %s%s", err, out, calls)
			}
			if _, calls, err := g.run(t, agentScript); err != nil || calls != "systemctl start --no-block qemu-guest-agent.service\n" {
				t.Errorf("with an agent: %v: %s", err, calls)
			}
			g = newAgentGuest(t, manager)
			if out, calls, err := g.run(t, agentScript); err == nil || !strings.Contains(out, "cannot be installed") || strings.Contains(calls, "systemctl") {
				t.Errorf("without a mirror: %v: %s%s", err, out, calls)
			}
		})
	}
}

// redHat is a guest with RHEL and SELinux.
func redHat(t *testing.T) agentGuest {
	g := newAgentGuest(t, "semodule", "qemu-ga")
	for _, file := range []string{"etc/redhat-release", "sys/fs/selinux/enforce"} {
		write(t, filepath.Join(g.dir, file), nil)
	}
	return g
}

func TestTheGuestAgentOfRHELMayDoWhatGpuworkerNeeds(t *testing.T) {
	g := redHat(t)
	out, calls, err := g.run(t, allowAgent)
	want := "semodule -l\nsemodule -i " + g.dir + agentPolicyPath + "\nsystemctl daemon-reload\nsystemctl --no-block try-restart qemu-guest-agent.service\n"
	if err != nil || out != "" || calls != want {
		t.Fatalf("%v: %s\n%s\nwant %s", err, out, calls, want)
	}
	for file, text := range map[string]string{
		agentDropInPath: "\nEnvironmentFile=-" + g.dir + agentEnvPath + "\n",
		agentEnvPath:    "\nBLOCK_RPCS=\nFILTER_RPC_ARGS=\n",
		agentPolicyPath: "(typepermissive virt_qemu_ga_t)\n",
	} {
		data, err := os.ReadFile(g.dir + file)
		if err != nil || !strings.Contains(string(data), text) {
			t.Errorf("%s: %v %s", file, err, data)
		}
	}
	g.program(t, "semodule", "[ \"$1\" != -l ] || printf 'abrt\\ngpuworker_guest_agent\\nzebra\\n'")
	if _, calls, err := g.run(t, allowAgent); err != nil || strings.Contains(calls, "semodule -i") {
		t.Errorf("again: %v: %s", err, calls)
	}
	write(t, g.dir+seededPath, []byte(uuid+"\n"))
	if _, calls, err := g.run(t, allowAgent); err != nil || calls != "" {
		t.Errorf("at a later boot: %v: %s", err, calls)
	}
}

func TestTheGuestAgentOfOtherGuestsStaysAsItIs(t *testing.T) {
	g := newAgentGuest(t, "semodule", "qemu-ga")
	if out, calls, err := g.run(t, allowAgent); err != nil || out != "" || calls != "" {
		t.Errorf("%v: %s%s", err, out, calls)
	}
	for _, release := range append([]driver.OS{""}, driver.Systems...) {
		commands := configOf(t, mustRender(t, worker(t, driver.None, "dhcp", release)).UserData).Bootcmd
		has := slices.ContainsFunc(commands, func(c []string) bool { return slices.Contains(c, allowAgent) && c[len(c)-1] == uuid })
		if want := release == "" || release.IsRHEL(); has != want {
			t.Errorf("%q: %t", release, has)
		}
	}
}

// A failure is said, and the boot goes on.
func TestSELinuxThatRefusesTheModuleIsSaid(t *testing.T) {
	g := redHat(t)
	g.program(t, "semodule", "exit 1")
	if out, calls, err := g.run(t, allowAgent); err != nil || !strings.Contains(out, "semanage permissive -a virt_qemu_ga_t") || !strings.Contains(calls, "try-restart") {
		t.Errorf("%v: %s%s", err, out, calls)
	}
	os.Remove(filepath.Join(g.dir, "sys/fs/selinux/enforce"))
	if out, calls, err := g.run(t, allowAgent); err != nil || out != "" || strings.Contains(calls, "semodule") {
		t.Errorf("without SELinux: %v: %s%s", err, out, calls)
	}
}
