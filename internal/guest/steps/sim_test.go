package steps

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gpuworker/gpuworker/internal/guest"
	"github.com/gpuworker/gpuworker/internal/guest/run"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

const (
	vmUUID  = "6e3c9f0a-1111-4222-8333-123456789abc"
	t4UUID  = "GPU-3291dfa4-fcc4-0110-615b-c894a0d7c689"
	kernel  = "6.8.0-45-generic"
	gpuDir  = "sys/devices/pci0000:00/0000:00:10.0"
	nouveau = "sys/bus/pci/drivers/nouveau"
	ordered = `{"version":1,"program":"v0.3.0","worker":"gpu-1","uuid":"` + vmUUID + `","driver":{"strategy":"Packages","branch":"580","version":"580.95.05","open":true,"toolkit":true},"gpu":{"id":"10de:1eb8"}}`
)

// secret is what an operator wrote into a file of the seed.
const secret = "ca4a4333-0000-4000-8000-5ec4e7000003"

// errKilled is the panic with which the simulated process is killed.
var errKilled = errors.New("killed")

// sim is a simulated Ubuntu guest with a T4: its files, and commands that change them as
// the real ones do. It can kill the program before, after or in the middle of a change.
type sim struct {
	tree *hosttree.Archive
	// killAt is the number of the moment at which the program is killed; 0 for never.
	killAt, moments int
	rpm             map[string]string // packages of a guest with dnf; nil for dpkg
	commands        []string          // that changed something, in order
	fails           map[string]string // beginning of a command line to its output, with exit code 100
	failing         map[string]int    // how often it fails; 0 for always
}

// newSim is a new guest: nouveau has the card, and unattended-upgrades is on.
func newSim() *sim {
	s := &sim{tree: hosttree.NewArchive(), fails: map[string]string{}, failing: map[string]int{}}
	for name, text := range map[string]string{
		"sys/class/dmi/id/product_uuid": vmUUID, "proc/sys/kernel/osrelease": kernel,
		"etc/os-release":                         "ID=ubuntu\nVERSION_ID=\"24.04\"\nPRETTY_NAME=\"Ubuntu 24.04.3 LTS\"",
		"etc/gpuworker/orders.json":              ordered,
		"etc/apt/apt.conf.d/20auto-upgrades":     `APT::Periodic::Unattended-Upgrade "1";`,
		"etc/modprobe.d/other.conf":              "# of the system",
		"lib/modules/" + kernel + "/modules.dep": "kernel/drivers/gpu/drm/nouveau/nouveau.ko.zst:",
		gpuDir + "/class":                        "0x030200",
		gpuDir + "/vendor":                       "0x10de",
		gpuDir + "/device":                       "0x1eb8",
		"sys/firmware/acpi/x":                    "",
		"usr/bin/true":                           "",
		nouveau + "/bind":                        "",
		"var/lib/cloud/instances/" + vmUUID + "/user-data.txt":  "#cloud-config\nruncmd: [sh /etc/gpuworker/gpu-bootstrap.sh]\n" + secret,
		"var/lib/cloud/instances/" + vmUUID + "/obj.pkl":        secret,
		"var/lib/cloud/instances/" + vmUUID + "/scripts/runcmd": secret,
		"var/lib/cloud/instances/" + vmUUID + "/boot-finished":  "1",
		"run/cloud-init/combined-cloud-config.json":             `{"write_files": [{"path": "/etc/gpuworker/orders.json"}, "` + secret + `"]}`,
		"etc/machine-id": "0d1c2b3a495867768594a3b2c1d0e0f1",
	} {
		s.tree.WriteFile(name, []byte(text+"\n"))
	}
	s.tree.Symlink("sys/bus/pci/devices/0000:00:10.0", "../../../devices/pci0000:00/0000:00:10.0")
	s.packages(map[string]string{"unattended-upgrades": "install ok installed", "linux-image-" + kernel: "install ok installed"})
	s.boot("boot-0")
	return s
}

// boot is a start of the kernel: what is only in memory is lost, and the kernel loads what
// it finds.
func (s *sim) boot(id string) {
	for _, name := range []string{"proc/driver", "dev", "run", "proc/modules", gpuDir + "/driver"} {
		s.tree.Remove(name)
	}
	s.tree.WriteFile("proc/sys/kernel/random/boot_id", []byte(id+"\n"))
	s.tree.Mkdir("dev")
	modules := "virtio_net 61440 0 - Live 0x0\n"
	if _, err := s.tree.ReadFile("boot/initramfs-spares-nouveau"); err != nil {
		modules += "nouveau 3096576 0 - Live 0x0\n"
		s.tree.Symlink(gpuDir+"/driver", "../../../bus/pci/drivers/nouveau")
	}
	s.tree.WriteFile("proc/modules", []byte(modules))
}

func (s *sim) read(name string) string {
	data, _ := s.tree.ReadFile(name)
	return string(data)
}

// moment is a moment at which the program may be killed.
func (s *sim) moment() {
	if s.moments++; s.moments == s.killAt {
		panic(errKilled)
	}
}

// Write implements files.Writer. A replaced file has its old or its new content.
func (s *sim) Write(name string, data []byte, _ fs.FileMode) error {
	s.moment()
	s.tree.WriteFile(name, data)
	s.moment()
	return nil
}

// Append implements files.Writer. A line may be written in part.
func (s *sim) Append(name string, data []byte, _ fs.FileMode) error {
	old := s.read(name)
	s.tree.WriteFile(name, []byte(old+string(data[:len(data)/2])))
	s.moment()
	s.tree.WriteFile(name, []byte(old+string(data)))
	return nil
}

// Remove implements files.Writer.
func (s *sim) Remove(name string) error {
	s.moment()
	s.tree.Remove(name)
	return nil
}

// packages writes the database of dpkg.
func (s *sim) packages(status map[string]string) {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(status)) {
		b.WriteString("Package: " + name + "\nStatus: " + status[name] + "\nVersion: 580.95.05-1\n\n")
	}
	s.tree.WriteFile("var/lib/dpkg/status", []byte(b.String()))
}

func (s *sim) installed() map[string]string {
	status := map[string]string{}
	for paragraph := range strings.SplitSeq(s.read("var/lib/dpkg/status"), "\n\n") {
		var name string
		for line := range strings.Lines(paragraph) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			switch key {
			case "Package":
				name = value
			case "Status":
				status[name] = value
			}
		}
	}
	return status
}

// Run implements run.Runner.
func (s *sim) Run(_ context.Context, c run.Command) run.Result {
	line := c.String()
	switch {
	case line == "nvidia-smi -L":
		return s.smi()
	case c.Name == "rpm":
		return s.rpms()
	}
	s.moment()
	s.commands = append(s.commands, line)
	for beginning, output := range s.fails {
		if !strings.HasPrefix(line, beginning) {
			continue
		}
		if left, counted := s.failing[beginning]; counted {
			if left == 0 {
				continue
			}
			s.failing[beginning]--
		}
		return run.Result{State: run.Ended, Code: 100, Output: output}
	}
	result := s.effect(c)
	s.moment()
	return result
}

var ok = run.Result{State: run.Ended}

func failed(output string) run.Result { return run.Result{State: run.Ended, Code: 1, Output: output} }

func (s *sim) effect(c run.Command) run.Result {
	switch c.Name + " " + strings.Join(c.Args[:1], " ") {
	case "apt-get -y":
		if args := c.Args[len(aptOptions):]; args[0] == "install" {
			return s.install(args[1:])
		}
		return ok
	case "dnf -y":
		s.dnf(c.Args[1:])
		return ok
	case "dpkg --configure":
		s.finish()
		return ok
	case "apt-mark hold":
		status := s.installed()
		for _, name := range c.Args[1:] {
			status[name] = strings.Replace(status[name], "install ", "hold ", 1)
		}
		s.packages(status)
		return ok
	case "apt-mark unhold":
		status := s.installed()
		for _, name := range c.Args[1:] {
			status[name] = strings.Replace(status[name], "hold ", "install ", 1)
		}
		s.packages(status)
		return ok
	case "update-initramfs -u", "dracut --force":
		if s.read(nouveauFile) != "" {
			s.tree.WriteFile("boot/initramfs-spares-nouveau", nil)
		}
		return ok
	case "modprobe -r":
		s.tree.WriteFile("proc/modules", []byte(strings.ReplaceAll(s.read("proc/modules"), "nouveau 3096576 0 - Live 0x0\n", "")))
		s.tree.Remove(gpuDir + "/driver")
		return ok
	case "modprobe nvidia", "modprobe nvidia_uvm":
		return s.load(c.Args[0])
	case "systemctl start":
		s.tree.WriteFile("run/nvidia-persistenced/socket", nil)
		return ok
	case "cloud-init clean":
		s.tree.Remove("var/lib/cloud")
		return ok
	case "modinfo -F":
		if !strings.Contains(s.read("lib/modules/"+kernel+"/modules.dep"), "nvidia.ko") {
			return failed("modinfo: ERROR: Module nvidia not found.\n")
		}
		return run.Result{State: run.Ended, Output: map[string]string{"version": "580.95.05\n", "license": "Dual MIT/GPL\n"}[c.Args[1]]}
	}
	return run.Result{State: run.NotFound}
}

// dnf installs the packages that have an exact version or none in their names.
func (s *sim) dnf(args []string) {
	at := slices.Index(args, "install")
	if at < 0 {
		return
	}
	for _, name := range args[at+1:] {
		short, found := strings.CutSuffix(name, "-580.95.05")
		s.rpm[short] = "1-1.el9"
		if found {
			s.rpm[short] = "580.95.05-1.el9"
		}
	}
	s.tree.WriteFile("lib/modules/"+kernel+"/modules.dep", []byte("extra/nvidia.ko.xz:\n"))
}

func (s *sim) rpms() run.Result {
	result := ok
	for _, name := range slices.Sorted(maps.Keys(s.rpm)) {
		result.Output += name + " " + s.rpm[name] + "\n"
	}
	return result
}

// install unpacks packages, and then configures them. A kill in between leaves them
// unpacked, as with the real dpkg.
func (s *sim) install(args []string) run.Result {
	status := s.installed()
	for _, name := range slices.Collect(maps.Values(status)) {
		if strings.Contains(name, "unpacked") {
			return failed("E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.\n")
		}
	}
	for _, name := range args {
		if !strings.HasPrefix(name, "-") && !strings.HasSuffix(status[name], " installed") {
			status[name] = "install ok unpacked"
		}
	}
	s.packages(status)
	s.moment()
	s.finish()
	return ok
}

func (s *sim) finish() {
	status := s.installed()
	for name, state := range status {
		status[name] = strings.Replace(state, "unpacked", "installed", 1)
	}
	s.packages(status)
	if status["linux-modules-nvidia-580-server-open-"+kernel] != "" {
		s.tree.WriteFile("lib/modules/"+kernel+"/modules.dep", []byte("kernel/nvidia-580srv-open/nvidia.ko.zst:\nkernel/nvidia-580srv-open/nvidia-uvm.ko.zst:\n"))
	}
	if status["nvidia-container-toolkit"] != "" {
		s.tree.WriteFile("usr/bin/nvidia-container-runtime", nil)
	}
}

func (s *sim) load(module string) run.Result {
	if !strings.Contains(s.read("lib/modules/"+kernel+"/modules.dep"), "nvidia.ko") {
		return failed("modprobe: FATAL: Module nvidia not found in directory /lib/modules/" + kernel + "\n")
	}
	if strings.Contains(s.read("proc/modules"), "nouveau") {
		return failed("modprobe: ERROR: could not insert 'nvidia': No such device\n")
	}
	if module == "nvidia" {
		version := "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n"
		if s.rpm != nil { // NVIDIA has only the proprietary modules pre-built for RHEL
			version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 10:11:16 UTC 2025\n"
		}
		s.tree.WriteFile("proc/driver/nvidia/version", []byte(version))
		s.tree.WriteFile("dev/nvidia0", nil)
		s.tree.WriteFile("dev/nvidiactl", nil)
	} else {
		s.tree.WriteFile("dev/nvidia-uvm", nil)
	}
	if modules := s.read("proc/modules"); !strings.Contains(modules, module+" ") {
		s.tree.WriteFile("proc/modules", []byte(modules+module+" 4956160 0 - Live 0x0\n"))
	}
	return ok
}

func (s *sim) smi() run.Result {
	if !strings.Contains(s.read("var/lib/dpkg/status"), "nvidia-utils") && s.rpm["nvidia-driver-cuda"] == "" {
		return run.Result{State: run.NotFound}
	}
	return run.Result{State: run.Ended, Output: "GPU 0: Tesla T4 (UUID: " + t4UUID + ")\n"}
}

// machine is the guest for the program.
func (s *sim) machine() *Machine {
	return &Machine{Tree: s.tree, Files: s, Runner: s, Program: "v0.3.0"}
}

// bootstrap runs the bootstrap; killed reports whether it was killed.
func (s *sim) bootstrap(t *testing.T) (status *guest.Status, killed bool, err error) {
	t.Helper()
	killed = s.until(func() { status, err = s.machine().Bootstrap(t.Context()) })
	return status, killed, err
}

// until does something until it ends or is killed.
func (s *sim) until(do func()) (killed bool) {
	defer func() {
		switch r := recover(); r {
		case nil:
		case errKilled:
			killed = true
		default:
			panic(r)
		}
	}()
	do()
	return false
}

// result is what counts of a guest after the bootstrap: all files except the records of
// how it came there.
func (s *sim) result(t *testing.T) string {
	t.Helper()
	data := s.tree.Format()
	tree, err := hosttree.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{guest.LogFile, guest.StatusFile, "proc/sys/kernel/random/boot_id"} {
		tree.Remove(relative(name))
	}
	return string(tree.Format())
}
