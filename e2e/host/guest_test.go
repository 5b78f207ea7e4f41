package host

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gpuworker/gpuworker/e2e/host/call"
)

// machine is one kind of host.
type machine struct {
	name    string
	cpu     string   // QEMU's own default when ""
	devices []string // in addition to the cards
	kernel  string   // arguments
	cards   []string // replace the default cards
	files   map[string]string
	initrd  string // replaces ours; it must start our /init at its end
}

// cards are the default cards of the machines, each behind a root port as on a board:
//
//	01:00.0 a GPU and 01:00.1 its sound
//	02:00.0 a second card of the same model, alone in its group
//	04:01.0 a third one and 04:02.0 a network card, behind one bridge to
//	        conventional PCI, which puts them into one group
//
// The first slots of the board stay free, because the AMD IOMMU needs one.
var cards = []string{
	"pcie-root-port,id=port1,bus=pcie.0,addr=4,chassis=1",
	"bochs-display,bus=port1,addr=0.0,multifunction=on",
	"intel-hda,id=hda,bus=port1,addr=0.1",
	"hda-output,bus=hda.0,audiodev=quiet",
	"pcie-root-port,id=port2,bus=pcie.0,addr=5,chassis=2",
	"bochs-display,bus=port2,addr=0.0",
	"pcie-root-port,id=port3,bus=pcie.0,addr=6,chassis=3",
	"pcie-pci-bridge,id=old,bus=port3,addr=0",
	"bochs-display,bus=old,addr=1",
	"e1000,bus=old,addr=2,romfile=",
}

var (
	intel = machine{
		name: "intel", devices: []string{"intel-iommu,intremap=on,caching-mode=on"},
		kernel: "intel_iommu=on iommu=pt",
	}
	amd  = machine{name: "amd", cpu: "EPYC", devices: []string{"amd-iommu,intremap=on"}, kernel: "iommu=pt"}
	none = machine{name: "none"}
)

// The timeouts for booting and for an answer. A boot takes 12 seconds on an idle
// machine and four times as long on a busy one.
const (
	bootTime   = 4 * time.Minute
	answerTime = 2 * time.Minute
)

// guest is a running machine.
type guest struct {
	machine
	nvidia  bool // its cards are 10de:1eb8
	console *console
	in      *bufio.Reader
	out     net.Conn
	qemu    *exec.Cmd
}

// boot starts a machine and waits until its /init answers.
func boot(t *testing.T, m machine) *guest {
	t.Helper()
	l := theLab(t)
	socket := filepath.Join(scratch, m.name+".sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	g := &guest{machine: m, nvidia: l.qemu.Why == "", console: &console{}}
	initrd := cmp.Or(m.initrd, l.initrd)
	if len(m.files) > 0 {
		if initrd, err = l.withFiles(m.name, m.files); err != nil {
			t.Fatal(err)
		}
	}
	g.qemu = l.command(m, initrd, socket)
	g.qemu.Stdout, g.qemu.Stderr = g.console, g.console
	if err := g.qemu.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.end(t) })
	began := time.Now()
	listener.(*net.UnixListener).SetDeadline(began.Add(bootTime))
	if g.out, err = listener.Accept(); err != nil {
		t.Fatalf("QEMU did not start: %v", err)
	}
	g.in = bufio.NewReader(g.out)
	if _, err := g.answer(bootTime); err != nil {
		t.Fatalf("the machine did not come up: %v", err)
	}
	t.Logf("Linux %s on machine %q came up in %.1f s", l.version, m.name, time.Since(began).Seconds())
	if l.qemu.Why != "" {
		t.Logf("its cards are QEMU's, not NVIDIA's: %s", l.qemu.Why)
	}
	g.giveDrivers(t)
	return g
}

// command is QEMU's command line. It has no_timer_check, because a slowly emulated
// kernel would consider its timer broken, and panic.
func (l *lab) command(m machine, initrd, socket string) *exec.Cmd {
	args := append([]string{
		"-accel", "tcg", "-machine", "q35,kernel-irqchip=split", "-m", "512", "-nodefaults", "-nographic", "-no-reboot",
		"-kernel", l.kernel, "-initrd", initrd,
		"-append", strings.TrimSpace("console=ttyS0 loglevel=5 panic=-1 no_timer_check rdinit=/init " + m.kernel),
		"-audiodev", "none,id=quiet", "-serial", "stdio", "-chardev", "socket,id=test,path=" + socket, "-serial", "chardev:test",
	}, l.qemu.Args...)
	if m.cpu != "" {
		args = append(args, "-cpu", m.cpu)
	}
	if m.cards == nil {
		m.cards = cards
	}
	for _, d := range slices.Concat(m.devices, m.cards) {
		args = append(args, "-device", d)
	}
	cmd := exec.Command(l.qemu.Path, args...)
	cmd.Env = append(os.Environ(), l.qemu.Env...)
	return cmd
}

// end turns the machine off, and prints its console if the test failed.
func (g *guest) end(t *testing.T) {
	if g.out != nil {
		json.NewEncoder(g.out).Encode(call.Request{Op: call.Off})
	}
	ended := make(chan struct{})
	go func() { g.qemu.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		g.qemu.Process.Kill()
		<-ended
	}
	if t.Failed() {
		t.Logf("console of machine %q:\n%s", g.name, g.console.tail())
	}
}

// giveDrivers binds the cards to the display driver, as nouveau does on an unprepared
// host. For an NVIDIA ID this driver needs new_id.
func (g *guest) giveDrivers(t *testing.T) {
	t.Helper()
	if g.nvidia {
		g.mustWrite(t, "/sys/bus/pci/drivers/bochs-drm/new_id", "10de 1eb8")
	}
}

// do sends one request to the machine.
func (g *guest) do(t *testing.T, r call.Request) call.Reply {
	t.Helper()
	if err := json.NewEncoder(g.out).Encode(r); err != nil {
		t.Fatalf("%s %s%s: %v", r.Op, r.Path, r.Argv, err)
	}
	reply, err := g.answer(answerTime)
	if err != nil {
		t.Fatalf("%s %s%s: %v", r.Op, r.Path, r.Argv, err)
	}
	return reply
}

func (g *guest) answer(wait time.Duration) (reply call.Reply, err error) {
	g.out.SetReadDeadline(time.Now().Add(wait))
	line, err := g.in.ReadBytes('\n')
	if err != nil {
		return reply, err
	}
	if err := json.Unmarshal(bytes.TrimLeft(line, "\x00"), &reply); err != nil {
		return reply, fmt.Errorf("%q: %w", line, err)
	}
	return reply, nil
}

// tool runs gpuworker-host in the machine.
func (g *guest) tool(t *testing.T, args ...string) call.Reply {
	t.Helper()
	r := g.do(t, call.Request{Op: call.Run, Argv: append([]string{"/bin/gpuworker-host"}, args...)})
	if r.Error != "" || r.Stuck {
		t.Fatalf("gpuworker-host %s: %s, stuck %t\n%s%s", strings.Join(args, " "), r.Error, r.Stuck, r.Text, r.Stderr)
	}
	return r
}

func (g *guest) write(t *testing.T, path, text string) call.Reply {
	t.Helper()
	return g.do(t, call.Request{Op: call.Write, Path: path, Text: text})
}

func (g *guest) mustWrite(t *testing.T, path, text string) {
	t.Helper()
	if r := g.write(t, path, text); r.Error != "" || r.Stuck {
		t.Fatalf("write %q: %s, stuck %t", text, r.Error, r.Stuck)
	}
}

// read returns the trimmed content of a file of the machine; "" when it is missing.
func (g *guest) read(t *testing.T, path string) string {
	t.Helper()
	return strings.TrimSpace(g.do(t, call.Request{Op: call.Read, Path: path}).Text)
}

// link returns the target of a link as written in it; "" when there is none.
func (g *guest) link(t *testing.T, path string) string {
	t.Helper()
	return g.do(t, call.Request{Op: call.Readlink, Path: path}).Text
}

// leads returns the last element of the target.
func (g *guest) leads(t *testing.T, path string) string {
	t.Helper()
	target := g.link(t, path)
	return target[strings.LastIndexByte(target, '/')+1:]
}

func (g *guest) names(t *testing.T, path string) []string {
	t.Helper()
	return g.do(t, call.Request{Op: call.List, Path: path}).Names
}

// keep writes output of a machine to the directory of -keep.
func (g *guest) keep(t *testing.T, what, text string) {
	t.Helper()
	if *kept == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(*kept, g.name+"-"+what+".txt"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// files returns the files below a directory of the machine.
func (g *guest) files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range g.names(t, dir) {
		name = dir + "/" + name
		r := g.do(t, call.Request{Op: call.Read, Path: name})
		switch r.Errno {
		case 0:
			found[name] = r.Text
		case syscall.EISDIR:
			maps.Copy(found, g.files(t, name))
		default:
			t.Fatal(r.Error)
		}
	}
	return found
}

// console is the output of a machine on its first serial line.
type console struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (c *console) Write(data []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(data)
}

// tail returns its end.
func (c *console) tail() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(c.text.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-60):], "\n")
}
