package bind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
	"github.com/gpuworker/gpuworker/sim/sysfsim"
)

// testHost is a simulated host; the files of gpuworker-host are in memory or on a
// real disk. It counts all effects (writes to the kernel, files, commands) and can
// make one of them fail.
type testHost struct {
	t         *testing.T
	sim       *sysfsim.Host
	disk      Files
	initramfs map[string]string // files in it: cards, and the boot script
	smi       string            // answer of nvidia-smi
	before    map[string]string // driver of each function at the start
	said      []string
	reads     []string // files that were read since the first effect
	hookFails bool     // update-initramfs leaves out what our hook adds

	effects int
	cut     cut
	dead    bool // the process was killed
}

// cut says which effect fails, and how.
type cut struct {
	at   int // from 1; 0 never
	kind string
}

const (
	failure   = "an error"
	killing   = "kill -9"
	powerLoss = "a power loss"
	hanging   = "a hang"
)

var errKilled = errors.New("the process is dead")

func newTestHost(t *testing.T, tree sysfsim.Tree) *testHost {
	t.Helper()
	tree.WriteFile("usr/sbin/update-initramfs", nil)
	tree.WriteFile("boot/initrd.img-6.12.1-amd64", nil)
	tree.WriteFile("boot/initrd.img-6.1.0-old", nil) // of a kernel that is gone
	tree.Mkdir("lib/modules/6.12.1-amd64")
	w := &testHost{t: t, sim: sysfsim.New(tree.Archive), disk: memory{hosttree.NewArchive(), new(sync.Mutex)}, smi: "Disabled", initramfs: map[string]string{}, before: map[string]string{}}
	w.before = w.drivers()
	return w
}

// onDisk is a test host with real files.
func onDisk(t *testing.T, tree sysfsim.Tree) *testHost {
	t.Helper()
	w := newTestHost(t, tree)
	disk, err := OpenDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	w.disk = disk
	return w
}

// memory implements Files in memory, which is faster than a disk.
type memory struct {
	*hosttree.Archive
	lock *sync.Mutex
}

// WriteFile implements Files.
func (m memory) WriteFile(name string, data []byte, _ fs.FileMode) error {
	m.Archive.WriteFile(name, data)
	return nil
}

// Remove implements Files.
func (m memory) Remove(name string) error {
	_, err := m.ReadFile(name)
	m.Archive.Remove(name)
	return err
}

// Lock implements Files.
func (m memory) Lock(string) (func(), error) {
	if !m.lock.TryLock() {
		return nil, errBusy
	}
	return m.lock.Unlock, nil
}

func (w *testHost) machine() *Machine {
	return &Machine{Tree: w, Files: w, Kernel: w, Runner: w, Say: func(text string) { w.said = append(w.said, text) }, Deadline: time.Minute,
		Now: func() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }}
}

func (w *testHost) bind(slot string, o Options) error {
	m := w.machine()
	p, err := m.PlanBind(context.Background(), pci.MustBDF(slot+".0"), o)
	if err != nil {
		return err
	}
	return m.Apply(context.Background(), p)
}

func (w *testHost) unbind(slot string) error {
	m := w.machine()
	p, err := m.PlanUnbind(context.Background(), pci.MustBDF(slot+".0"))
	if err != nil {
		return err
	}
	return m.Apply(context.Background(), p)
}

// effect is called before each effect. do says whether it happens, err is the
// result for its caller.
func (w *testHost) effect(isWrite bool) (do bool, err error) {
	if w.dead {
		return false, errKilled
	}
	w.effects++
	if w.effects != w.cut.at {
		return true, nil
	}
	switch w.cut.kind {
	case failure:
		return false, syscall.EINVAL
	case killing, powerLoss:
		w.dead = true
		return false, errKilled
	}
	if !isWrite {
		return true, nil
	}
	w.sim.AddFault(sysfsim.Fault{Hang: true, Times: 1})
	return true, nil
}

// Write implements Kernel.
func (w *testHost) Write(ctx context.Context, name string, data []byte) error {
	do, err := w.effect(true)
	if do {
		err = errors.Join(err, w.sim.Write(ctx, name, data))
	}
	return err
}

// WriteFile implements Files.
func (w *testHost) WriteFile(name string, data []byte, mode fs.FileMode) error {
	do, err := w.effect(false)
	if do {
		err = errors.Join(err, w.disk.WriteFile(name, data, mode))
	}
	return err
}

// Remove implements Files.
func (w *testHost) Remove(name string) error {
	do, err := w.effect(false)
	if do {
		err = errors.Join(err, w.disk.Remove(name))
	}
	return err
}

// Lock implements Files.
func (w *testHost) Lock(name string) (func(), error) { return w.disk.Lock(name) }

// ours reports whether a file is on the disk and not in the simulated host.
func ours(name string) bool {
	return strings.HasPrefix(name, "var/lib/gpuworker-host") || strings.HasPrefix(name, "etc/gpuworker-host") || strings.HasPrefix(name, "etc/initramfs-tools") ||
		strings.HasPrefix(name, "etc/udev") || strings.HasPrefix(name, "usr/lib/dracut")
}

func (w *testHost) reader(name string) hosttree.Reader {
	if ours(name) {
		return w.disk
	}
	return w.sim
}

// ReadFile implements hosttree.Reader.
func (w *testHost) ReadFile(name string) ([]byte, error) {
	if w.dead {
		return nil, errKilled
	}
	if w.effects > 0 {
		w.reads = append(w.reads, name)
	}
	return w.reader(name).ReadFile(name)
}

// ReadDir implements hosttree.Reader.
func (w *testHost) ReadDir(name string) ([]string, error) {
	if w.dead {
		return nil, errKilled
	}
	return w.reader(name).ReadDir(name)
}

// Readlink implements hosttree.Reader.
func (w *testHost) Readlink(name string) (string, error) {
	if w.dead {
		return "", errKilled
	}
	return w.reader(name).Readlink(name)
}

// Run implements Runner.
func (w *testHost) Run(_ context.Context, _ io.Writer, argv ...string) (string, error) {
	if w.dead {
		return "", errKilled
	}
	do, err := w.effect(false)
	if !do {
		return "it went wrong", err
	}
	switch argv[0] {
	case "modprobe":
		return "", errors.Join(err, w.sim.Modprobe(argv[1]))
	case "update-initramfs", "dracut":
		w.makeInitramfs(map[string]string{"update-initramfs": "etc/initramfs-tools/hooks/gpuworker-host", "dracut": "usr/lib/dracut/modules.d/90gpuworker-host/module-setup.sh"}[argv[0]])
		return "update-initramfs: Generating /boot/initrd.img-6.12.1-amd64\n", err
	}
	return "", fmt.Errorf("%s: not found", argv[0])
}

// hung, as the answer of nvidia-smi, means that it never ends.
const hung = "nothing"

// Ask implements Runner.
func (w *testHost) Ask(ctx context.Context, argv ...string) (string, error) {
	switch {
	case w.dead:
		return "", errKilled
	case argv[0] == "lsinitramfs" || argv[0] == "lsinitrd":
		return strings.Join(slices.Sorted(maps.Keys(w.initramfs)), "\n") + "\n", nil
	case argv[0] == "nvidia-smi" && w.smi == hung:
		began := time.Now()
		<-ctx.Done()
		return "", &hungError{fmt.Sprintf("it did not end within %v and was killed", time.Since(began)), ctx.Err()}
	case argv[0] == "nvidia-smi":
		return w.smi + "\n", nil
	}
	return "", fmt.Errorf("%s: not found", argv[0])
}

// makeInitramfs copies the same files as our hook, if the hook is installed.
func (w *testHost) makeInitramfs(hook string) {
	w.initramfs = map[string]string{}
	if _, err := w.disk.ReadFile(hook); err != nil || w.hookFails {
		return
	}
	names, _ := w.disk.ReadDir(cardsDir)
	for _, name := range append(names, "../boot") {
		data, err := w.disk.ReadFile(path.Join(cardsDir, name))
		if err != nil {
			w.t.Fatal(err)
		}
		w.initramfs[path.Join(cardsDir, name)] = string(data)
	}
}

// restart simulates the time after a kill or a power loss.
func (w *testHost) restart() {
	w.t.Helper()
	if w.cut.kind == powerLoss {
		w.sim.PowerLoss()
		w.reboot()
	}
	w.dead, w.cut = false, cut{}
}

// reboot runs the boot script of the initramfs, and later that of the disk.
func (w *testHost) reboot() {
	w.sim.Reboot(func() { w.boot(w.initramfs) })
}

// boot runs the real script under a real shell on a copy of the tree, and then
// applies the script's changes to the simulated host.
func (w *testHost) boot(files map[string]string) {
	w.t.Helper()
	script, there := files["etc/gpuworker-host/boot"]
	if !there {
		return
	}
	result := bootOnce(w.t, w.sim.Tree(), files, script)
	for bdf, override := range result.overrides {
		if err := w.sim.Write(context.Background(), "sys/bus/pci/devices/"+bdf+"/driver_override", []byte(override)); err != nil {
			w.t.Fatal(err)
		}
	}
	if result.given {
		if err := w.sim.Modprobe("vfio-pci"); err != nil {
			w.t.Fatal(err)
		}
	}
}

// booted holds the changes that the boot script made.
type booted struct {
	overrides map[string]string
	given     bool
}

// boots is a cache: the same script on the same tree and files has the same result.
var boots sync.Map

func bootOnce(t *testing.T, tree *hosttree.Archive, files map[string]string, script string) booted {
	t.Helper()
	_, devices, _ := strings.Cut(string(tree.Format()), "\n-- sys/")
	key := fmt.Sprint(files, devices)
	if result, known := boots.Load(key); known {
		return result.(booted)
	}
	dir := t.TempDir()
	copyTree(t, tree, "sys", dir)
	for name, data := range files {
		write(t, filepath.Join(dir, name), data)
	}
	log := runBoot(t, dir, script)
	result := booted{overrides: map[string]string{}, given: strings.Contains(log, "is given to")}
	names, err := tree.ReadDir("sys/bus/pci/devices")
	if err != nil {
		t.Fatal(err)
	}
	for _, bdf := range names {
		override, err := os.ReadFile(filepath.Join(dir, "sys/bus/pci/devices", bdf, "driver_override"))
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.TrimSpace(string(override)); text != "(null)" {
			result.overrides[bdf] = string(override)
		}
	}
	boots.Store(key, result)
	return result
}

// modprobe and vfioBind replace the kernel when the boot script runs on a copy of a
// tree: modprobe binds all functions with the override, vfioBind binds one, unless
// the file "refuses" has its address.
const (
	modprobe = `#!/bin/sh
[ ! -e DIR/no-vfio ] || exit 1
mkdir -p DIR/sys/bus/pci/drivers/vfio-pci
for device in DIR/sys/bus/pci/devices/*; do
	read -r override <$device/driver_override
	[ "$override" != vfio-pci ] || [ -e $device/driver ] || echo ${device##*/} | vfio-bind
done
`
	vfioBind = `#!/bin/sh
read -r bdf
[ -e DIR/sys/bus/pci/drivers/vfio-pci ] || exit 0
if [ -e DIR/refuses ] && read -r refused <DIR/refuses && [ $refused = $bdf ]; then
	exit 0
fi
mkdir -p DIR/sys/bus/pci/drivers/vfio-pci/$bdf
ln -s DIR/sys/bus/pci/drivers/vfio-pci DIR/sys/bus/pci/devices/$bdf/driver
`
)

// runBoot runs the boot script over the tree below dir and returns what it logged.
func runBoot(t *testing.T, dir, script string, args ...string) string {
	t.Helper()
	write(t, filepath.Join(dir, "bin/modprobe"), strings.ReplaceAll(modprobe, "DIR", dir))
	write(t, filepath.Join(dir, "bin/vfio-bind"), strings.ReplaceAll(vfioBind, "DIR", dir))
	script = strings.ReplaceAll(script, `>"$sys/bus/pci/drivers/vfio-pci/bind"`, `| vfio-bind`)
	script = strings.NewReplacer("=/etc/", "="+dir+"/etc/", "=/sys\n", "="+dir+"/sys\n", "=/dev/kmsg", "="+dir+"/log").Replace(script)
	script = strings.ReplaceAll(script, `>"$log"`, `>>"$log"`)
	write(t, filepath.Join(dir, "boot"), script)
	command := exec.Command("sh", append([]string{filepath.Join(dir, "boot")}, args...)...)
	command.Env = []string{"PATH=" + filepath.Join(dir, "bin") + ":/usr/bin:/bin"}
	if output, err := command.CombinedOutput(); err != nil || len(output) > 0 {
		t.Fatalf("the boot script: %v\n%s", err, output)
	}
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	return string(log)
}

func write(t *testing.T, name, data string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(data), 0o755)); err != nil {
		t.Fatal(err)
	}
}

// copyTree copies a part of a tree to the disk.
func copyTree(t *testing.T, tree hosttree.Reader, name, dir string) {
	t.Helper()
	at := filepath.Join(dir, name)
	if target, err := tree.Readlink(name); err == nil {
		if err := os.Symlink(target, at); err != nil {
			t.Fatal(err)
		}
		return
	}
	if data, err := tree.ReadFile(name); err == nil {
		write(t, at, string(data))
		return
	}
	names, err := tree.ReadDir(name)
	if err := errors.Join(err, os.MkdirAll(at, 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, below := range names {
		copyTree(t, tree, path.Join(name, below), dir)
	}
}

func (w *testHost) drivers() map[string]string {
	drivers := map[string]string{}
	names, err := w.sim.ReadDir("sys/bus/pci/devices")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, bdf := range names {
		drivers[bdf] = w.sim.Driver(bdf)
	}
	return drivers
}

func (w *testHost) journal(slot string) (*Journal, error) {
	s, err := pci.ParseSlot(slot)
	if err != nil {
		w.t.Fatal(err)
	}
	return ReadJournal(w.disk, s)
}

// state returns "free", "bound", or a description of a state that is neither. It
// fails the test when another device has changed its driver.
func (w *testHost) state(slot string) string {
	w.t.Helper()
	bound, free := true, true
	var odd []string
	for bdf, driver := range w.drivers() {
		override := w.sim.Override(bdf)
		switch {
		case !strings.HasPrefix(bdf, slot):
			if driver != w.before[bdf] || override != "" {
				w.t.Errorf("%s is on %q (override %q) and was on %q", bdf, driver, override, w.before[bdf])
			}
			continue
		case driver != VFIO || override != VFIO:
			bound = false
		}
		if driver != w.before[bdf] || override != "" {
			free = false
		}
		odd = append(odd, fmt.Sprintf("%s on %q override %q", bdf, driver, override))
	}
	j, err := w.journal(slot)
	_, cardErr := w.disk.ReadFile(cardsDir + "/" + slot + ".card")
	_, shared := w.disk.ReadFile("etc/udev/rules.d/05-gpuworker-host.rules")
	_, inside := w.initramfs[cardsDir+"/"+slot+".card"]
	switch {
	case bound && err == nil && j != nil && j.Settled && j.Goal == Bound && j.Stuck == nil && (cardErr == nil) == j.Persist && inside == j.Persist:
		return "bound"
	case free && err == nil && j == nil && cardErr != nil && shared != nil && !inside:
		return "free"
	}
	slices.Sort(odd)
	return fmt.Sprintf("neither: %s; journal %+v, %v; card file %v, in the initramfs %v", strings.Join(odd, ", "), j, err, cardErr, inside)
}

// checkJournal fails when the card is neither free nor bound and the journal does
// not say so.
func (w *testHost) checkJournal(slot, when string) {
	w.t.Helper()
	state := w.state(slot)
	if state == "free" || state == "bound" {
		return
	}
	j, err := w.journal(slot)
	if err != nil || j == nil || j.Settled && j.Stuck == nil && !j.AtBoot {
		w.t.Errorf("%s the card is half moved and no journal says so: %s", when, state)
	}
}
