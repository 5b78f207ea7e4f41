package check

import (
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"

	hostbind "github.com/gpuworker/gpuworker/internal/host/bind"
	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

var errNoEntry = errors.New("has no entry for this kernel")

// facts is everything that is read from a host before the checks.
type facts struct {
	tree    hosttree.Reader
	name    string // of the host
	seeMore string // says what to do when something could not be read
	release string // of the kernel
	system  map[string]string
	proxmox bool
	boot    boot

	pci     *hostpci.Host
	pciErr  error // the devices could not be listed
	holders *hostpci.Holders

	tables list // of ACPI
	iommus list
	groups list

	modules  text // /proc/modules
	loaded   map[string]bool
	builtin  map[string]bool
	built    text // modules.builtin
	shipped  map[string]bool
	deps     text // modules.dep
	listed   map[string]text
	modprobe modprobe
	rules    map[pci.Slot]text // our own records that bind a card at boot

	driverctl bool // driverctl is installed

	mechanism hostbind.Mechanism // binds them at boot
	images    map[string]hostbind.Listing
	bootID    string

	regions []region
	iomem   text
	zeroed  bool

	log      text // the kernel's
	vms      []vmConf
	vmDir    list
	mappings []mapped
	mapFile  text
}

// readFacts reads the host once.
func readFacts(tree hosttree.Reader, o Options) *facts {
	f := &facts{tree: tree, seeMore: hosttree.ToSeeMore(tree), system: assignments(nil, read(tree, "etc/os-release").body)}
	if len(f.system) == 0 {
		f.system = assignments(nil, read(tree, "usr/lib/os-release").body)
	}
	f.release = read(tree, "proc/sys/kernel/osrelease").value()
	if trim(f.release) != f.release || strings.Contains(f.release, " ") { // not a valid release, and it becomes part of file names
		f.release = ""
	}
	f.name, _, _ = strings.Cut(read(tree, "proc/sys/kernel/hostname").value(), ".")
	if f.name == "" || f.name == "(none)" { // the kernel's name for a host without one
		f.name, _, _ = strings.Cut(read(tree, "etc/hostname").value(), ".")
	}
	f.boot = readBoot(tree, f.release, f.system)
	f.tables, f.iommus, f.groups = readDir(tree, "sys/firmware/acpi/tables"), readDir(tree, "sys/class/iommu"), readDir(tree, "sys/kernel/iommu_groups")
	f.pci, f.pciErr = hostpci.Read(tree)
	if f.pciErr != nil {
		f.pci = &hostpci.Host{}
	}
	f.holders = hostpci.ReadHolders(tree, f.pci)
	f.readModules()
	f.readRules()
	f.driverctl = hostbind.Installed(tree, "driverctl")
	f.mechanism, f.images, f.bootID = hostbind.FindMechanism(tree), o.Images, hostbind.BootID(tree)
	f.iomem = read(tree, "proc/iomem")
	f.regions, f.zeroed = parseIomem(f.iomem.body)
	f.log = kernelLog(tree, o.KernelLog)
	f.readVMs()
	return f
}

// kernelLog returns the log of the kernel: from the caller for the running kernel,
// or from a file of the tree.
func kernelLog(tree hosttree.Reader, running []byte) text {
	if running != nil {
		return text{name: "dev/kmsg", body: strings.ToValidUTF8(string(running), "\uFFFD")}
	}
	if kept := read(tree, hosttree.CapturedKmsg); kept.ok() {
		return text{name: "dev/kmsg", body: kept.body}
	}
	var first text
	for _, name := range []string{"var/log/dmesg", "var/log/kern.log"} {
		log := read(tree, name)
		if log.ok() {
			return log
		}
		if first.name == "" || log.hidden() {
			first = log
		}
	}
	return first
}

// logged finds the first line of the kernel's log that has all of the words.
func (f *facts) logged(words ...string) (Evidence, bool) {
	for line := range strings.Lines(f.log.body) {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			return f.log.line(line), true
		}
	}
	return Evidence{}, false
}

func (f *facts) readModules() {
	dir := path.Join("lib/modules", f.release)
	if f.release == "" || strings.Contains(f.release, "/") {
		dir = "lib/modules"
	}
	f.modules, f.built, f.deps = read(f.tree, "proc/modules"), read(f.tree, dir+"/modules.builtin"), read(f.tree, dir+"/modules.dep")
	f.loaded, f.builtin, f.shipped = loadedModules(f.modules.body), moduleFiles(f.built.body), moduleFiles(f.deps.body)
	f.modprobe = newModprobe()
	for _, file := range overlaid(f.tree, "modprobe.d") {
		f.modprobe.add(file.body)
	}
	f.listed = map[string]text{}
	for _, file := range append(overlaid(f.tree, "modules-load.d"), read(f.tree, "etc/modules")) {
		for _, name := range listedModules(file.body) {
			f.listed[name] = file
		}
	}
}

// overlaid returns the .conf files of a directory that exists below lib, run and
// etc. A file in etc replaces one of the same name (modprobe.d(5),
// modules-load.d(5)).
func overlaid(tree hosttree.Reader, dir string) []text {
	byName := map[string]text{}
	for _, above := range []string{"lib", "usr/lib", "run", "etc"} {
		for _, file := range readAll(tree, path.Join(above, dir), ".conf") {
			byName[path.Base(file.name)] = file
		}
	}
	var files []text
	for _, file := range byName {
		files = append(files, file)
	}
	slices.SortFunc(files, func(a, b text) int { return strings.Compare(path.Base(a.name), path.Base(b.name)) })
	return files
}

// has reports whether a module is in the running kernel.
func (f *facts) has(module string) bool { return f.loaded[module] || f.builtin[module] }

func (f *facts) readVMs() {
	f.vmDir = readDir(f.tree, "etc/pve/qemu-server")
	f.proxmox = f.vmDir.err == nil || exists(f.tree, "etc/pve/local") || strings.HasSuffix(f.release, "-pve")
	for _, name := range f.vmDir.names {
		number, is := strings.CutSuffix(name, ".conf")
		vmid, err := strconv.Atoi(number)
		if !is || err != nil {
			continue
		}
		vm := vmConf{vmid: vmid, file: read(f.tree, path.Join(f.vmDir.name, name))}
		vm.values, vm.waiting = parseVMConf(vm.file.body)
		f.vms = append(f.vms, vm)
	}
	slices.SortFunc(f.vms, func(a, b vmConf) int { return a.vmid - b.vmid })
	f.mapFile = read(f.tree, "etc/pve/mapping/pci.cfg")
	for _, m := range parseMappings(f.mapFile.body) {
		if m.node == "" || m.node == f.name {
			f.mappings = append(f.mappings, m)
		}
	}
}

// slotsOf returns the slots of this host that a hostpci device of a VM refers to.
func (f *facts) slotsOf(d hostPCI) []pci.Slot {
	slots := slices.Clone(d.slots)
	for _, m := range f.mappings {
		if d.name != "" && m.name == d.name {
			slots = append(slots, m.slot)
		}
	}
	return slots
}

// vmsOf returns the VMs whose configuration names the card.
func (f *facts) vmsOf(slot pci.Slot) []claim {
	var found []claim
	for _, vm := range f.vms {
		for _, d := range vm.devices() {
			if slices.Contains(f.slotsOf(d), slot) {
				found = append(found, claim{vm, d})
				break
			}
		}
	}
	return found
}

// claim is a VM that names a card.
type claim struct {
	vm     vmConf
	device hostPCI
}

// evidence is the line in the VM's configuration.
func (c claim) evidence() Evidence { return c.vm.file.line(c.device.key + ": " + c.device.value) }

// running reports whether a process has the card for the VM.
func (f *facts) running(vmid int) bool {
	for _, holders := range f.holders.BySlot {
		for _, h := range holders {
			if h.VMID == vmid && h.PID != 0 {
				return true
			}
		}
	}
	return false
}
