package guest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The networks of the guest. The first one has the package repository, and a port of this
// machine leads to the guest's SSH server. Nothing else can be reached.
const (
	firstMAC, secondMAC = "bc:24:11:00:00:01", "bc:24:11:00:00:02"
	firstNet            = "10.77.0.0/24,host=10.77.0.2,dns=10.77.0.3,ipv6=off,restrict=on"
	secondNet           = "10.78.0.0/24,host=10.78.0.2,dns=10.78.0.3,ipv6=off,restrict=on"
	firstAddress        = "10.77.0.21"
	repositoryAddress   = "10.77.0.100"
)

// settings are how a machine is started.
type settings struct {
	uuid   string
	disk   string // qcow2, which the guest changes
	seed   string // file; "" for an empty drive
	card   bool   // a GPU at the port
	append string // for the kernel's command line
	dir    string // for the sockets; "" for a new one
	more   []string
}

// machine is a running QEMU.
type machine struct {
	dir     string // with the sockets: of the agent, and of QEMU itself
	console *console
	qemu    *exec.Cmd
	ended   chan struct{}
	control net.Conn // QMP
	answers *bufio.Reader
	sshPort int
	began   time.Time
}

// console keeps what a machine wrote to its serial line.
type console struct {
	mu   sync.Mutex
	text []byte
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, p...)
	return len(p), nil
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.text)
}

// newDisk makes a disk that has the content of the prepared one.
func (l *lab) newDisk(t *testing.T, name string) string {
	t.Helper()
	disk := filepath.Join(l.scratch, name+".qcow2")
	out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", filepath.Join(l.dir, "disk.qcow2"), disk).CombinedOutput()
	if err != nil {
		t.Fatalf("qemu-img: %v: %s", err, out)
	}
	return disk
}

// newDir makes a directory for sockets, whose paths must be short.
func (l *lab) newDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(l.scratch, "vm") //nolint:usetesting // as above
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// start starts a machine. The emulated processors run as threads of their own.
func (l *lab) start(t *testing.T, s settings) *machine {
	t.Helper()
	dir := s.dir
	if dir == "" {
		dir = l.newDir(t)
	}
	m := &machine{dir: dir, console: &console{}, ended: make(chan struct{}), sshPort: freePort(t), began: time.Now()}
	m.qemu = exec.Command(l.qemu.Path, l.arguments(m, s)...)
	m.qemu.Env = slices.Concat(os.Environ(), l.qemu.Env, []string{relayVariable + "=" + l.repository})
	// The file is for who watches.
	file, err := os.Create(filepath.Join(dir, "console"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	output := io.MultiWriter(m.console, file)
	m.qemu.Stdout, m.qemu.Stderr = output, output
	if err := m.qemu.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { m.qemu.Wait(); close(m.ended) }()
	t.Cleanup(func() {
		m.stop()
		if t.Failed() {
			text := m.console.String()
			t.Logf("console:\n%s", text[max(0, len(text)-8000):])
		}
	})
	m.connect(t)
	return m
}

// arguments are QEMU's. A slowly emulated kernel would consider its timer broken
// (no_timer_check), and needs no protection against other guests.
func (l *lab) arguments(m *machine, s settings) []string {
	relay, _ := os.Executable()
	cd := []string{"-device", "scsi-cd,id=cd"}
	if s.seed != "" {
		cd = []string{"-drive", "if=none,id=seed,media=cdrom,readonly=on,format=raw,file=" + s.seed, "-device", "scsi-cd,id=cd,drive=seed"}
	}
	args := slices.Concat([]string{
		"-accel", "tcg,thread=multi", "-smp", "2", "-machine", "q35", "-m", "1024", "-nodefaults", "-no-user-config", "-nographic", "-uuid", s.uuid,
		"-kernel", filepath.Join(l.dir, "vmlinuz"), "-initrd", filepath.Join(l.dir, "initrd"),
		"-append", strings.TrimSpace("root=/dev/vda rw console=ttyS0 loglevel=4 panic=-1 no_timer_check mitigations=off audit=0 apparmor=0 " + s.append),
		"-serial", "stdio", "-qmp", "unix:" + filepath.Join(m.dir, "qmp") + ",server=on,wait=off",
		"-drive", "if=none,id=disk,format=qcow2,cache=unsafe,file=" + s.disk, "-device", "virtio-blk-pci,drive=disk",
		"-device", "virtio-scsi-pci",
	}, cd, []string{
		"-device", "virtio-serial-pci", "-chardev", "socket,id=agent,server=on,wait=off,path=" + m.agent(), "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
		"-device", "virtio-rng-pci",
		// The second network comes first on the bus, so that only the MAC address tells.
		"-netdev", "user,id=second,net=" + secondNet, "-device", "virtio-net-pci,romfile=,netdev=second,mac=" + secondMAC,
		"-netdev", fmt.Sprintf("user,id=first,net=%s,hostfwd=tcp:127.0.0.1:%d-%s:22,guestfwd=tcp:%s:80-cmd:%s", firstNet, m.sshPort, firstAddress, repositoryAddress, relay),
		"-device", "virtio-net-pci,romfile=,netdev=first,mac=" + firstMAC,
		"-device", "pcie-root-port,id=port1,chassis=1",
	}, l.qemu.Args, s.more)
	if s.card {
		args = append(args, "-device", "bochs-display,id=card,bus=port1")
	}
	return args
}

func (m *machine) agent() string { return agentSocket(m.dir) }

func agentSocket(dir string) string { return filepath.Join(dir, "agent") }

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// connect connects to QEMU's own control socket (QMP).
func (m *machine) connect(t *testing.T) {
	t.Helper()
	var err error
	for range 300 {
		if m.control, err = net.Dial("unix", filepath.Join(m.dir, "qmp")); err == nil || m.hasEnded() {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("QEMU did not start: %v: %s", err, m.console)
	}
	m.answers = bufio.NewReader(m.control)
	if _, err := m.answers.ReadBytes('\n'); err != nil { // its greeting
		t.Fatal(err)
	}
	m.do(t, "qmp_capabilities", nil)
}

// do carries out a command of QMP.
func (m *machine) do(t *testing.T, command string, arguments map[string]any) json.RawMessage {
	t.Helper()
	if arguments == nil {
		arguments = map[string]any{}
	}
	if err := json.NewEncoder(m.control).Encode(map[string]any{"execute": command, "arguments": arguments}); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	m.control.SetReadDeadline(time.Now().Add(5 * time.Minute))
	for {
		line, err := m.answers.ReadBytes('\n')
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		var answer struct{ Return, Error json.RawMessage }
		if err := json.Unmarshal(line, &answer); err != nil || answer.Error != nil {
			t.Fatalf("%s: %s %v", command, line, err)
		}
		if answer.Return != nil { // the others are events
			return answer.Return
		}
	}
}

// monitor carries out a command of QEMU's monitor for people. Without an error it prints
// nothing.
func (m *machine) monitor(t *testing.T, line string) {
	t.Helper()
	var said string
	_ = json.Unmarshal(m.do(t, "human-monitor-command", map[string]any{"command-line": line}), &said)
	if said = strings.TrimSpace(said); said != "" {
		t.Fatalf("%s: %s", line, said)
	}
}

// insert exchanges the medium in the CD drive, with the commands of Proxmox VE: the guest
// locks the drive, so the medium is ejected by force (vmconfig_update_disk in
// PVE::QemuServer).
func (m *machine) insert(t *testing.T, image string) {
	t.Helper()
	m.do(t, "eject", map[string]any{"id": "cd", "force": true})
	m.do(t, "blockdev-change-medium", map[string]any{"id": "cd", "filename": image, "format": "raw", "read-only-mode": "read-only"})
}

// stop ends QEMU at once.
func (m *machine) stop() {
	if !m.hasEnded() {
		_ = m.qemu.Process.Kill()
		<-m.ended
	}
}

func (m *machine) hasEnded() bool {
	select {
	case <-m.ended:
		return true
	default:
		return false
	}
}

// off waits until the guest has switched itself off.
func (m *machine) off(t *testing.T) {
	t.Helper()
	select {
	case <-m.ended:
	case <-time.After(waitLimit):
		t.Fatalf("the guest did not switch off")
	}
}

// waitConsole waits for a text on the console.
func (m *machine) waitConsole(t *testing.T, text string) {
	t.Helper()
	wait(t, "the console to show "+text, func() error {
		if !strings.Contains(m.console.String(), text) {
			return fmt.Errorf("it does not yet")
		}
		return nil
	})
}

// ssh runs a command line as a user who logs in with the operator's key.
func (l *lab) ssh(m *machine, user, line string) (string, error) {
	cmd := exec.Command("ssh", "-i", l.identity, "-p", fmt.Sprint(m.sshPort), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "LogLevel=ERROR", "-o", "ConnectTimeout=60", user+"@127.0.0.1", line)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return strings.TrimSpace(out.String()), err
}

// waitLimit is the longest time for one thing in a guest. On an idle machine a boot takes
// one and a half minutes; on a busy one three times as long.
const waitLimit = 10 * time.Minute

// wait tries until there is no error.
func wait(t *testing.T, what string, try func() error) {
	t.Helper()
	began := time.Now()
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Since(began) > waitLimit {
			t.Fatalf("waited %v for %s: %v", waitLimit, what, err)
		}
		time.Sleep(500 * time.Millisecond)
	}
}
