package hostpci

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gpuworker/gpuworker/internal/hosttree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Holder is who uses a card now, or is about to.
type Holder struct {
	PID  int    `json:"pid,omitempty"`
	Name string `json:"name,omitempty"` // of the process
	VMID int    `json:"vmid,omitempty"` // of the VM that it is
	// By is what tells: "/dev/vfio/14", "/dev/nvidia0", or the file of Proxmox's
	// reservations.
	By string `json:"by"`
}

// Holders are the users of all cards.
type Holders struct {
	BySlot map[pci.Slot][]Holder
	// Unseen are the processes whose open files could not be listed: without
	// root nobody can say what they hold.
	Unseen int
}

// Of are the holders of a card.
func (h *Holders) Of(slot pci.Slot) []Holder { return h.BySlot[slot] }

// Reservations is Proxmox's list of devices that VMs have or are starting with
// (PVE::QemuServer::PCI).
const Reservations = "run/qemu-server/pci-id-reservations"

// ReadHolders looks for who uses the cards: QEMU by the group's file of VFIO,
// programs by the files of the NVIDIA and the display drivers, and Proxmox's own
// reservations.
func ReadHolders(tree hosttree.Reader, h *Host) *Holders {
	r := &holderReader{tree: tree, host: h, found: &Holders{BySlot: map[pci.Slot][]Holder{}}, minors: nvidiaMinors(tree), cards: classFiles(tree)}
	r.processes()
	r.reservations()
	return r.found
}

type holderReader struct {
	tree   hosttree.Reader
	host   *Host
	found  *Holders
	minors map[string]pci.Slot // "/dev/nvidia0"
	cards  map[string]pci.Slot // "/dev/dri/card0", "/dev/snd/controlC1"
}

func (r *holderReader) add(slot pci.Slot, holder Holder) {
	if !slices.Contains(r.found.BySlot[slot], holder) {
		r.found.BySlot[slot] = append(r.found.BySlot[slot], holder)
	}
}

func (r *holderReader) processes() {
	names, err := r.tree.ReadDir("proc")
	if err != nil {
		r.found.Unseen++
		return
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		files, err := r.tree.ReadDir(path.Join("proc", name, "fd"))
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) { // it ended meanwhile, or is a thread of the kernel
				r.found.Unseen++
			}
			continue
		}
		for _, file := range files {
			if target, err := r.tree.Readlink(path.Join("proc", name, "fd", file)); err == nil && strings.HasPrefix(target, "/dev/") {
				r.open(pid, target)
			}
		}
	}
}

// open notes that a process has a device file open.
func (r *holderReader) open(pid int, file string) {
	slots := r.slots(file)
	if len(slots) == 0 {
		return
	}
	holder := Holder{PID: pid, By: file}
	if comm, err := r.tree.ReadFile(path.Join("proc", strconv.Itoa(pid), "comm")); err == nil {
		holder.Name = strings.TrimSpace(string(comm))
	}
	holder.VMID = r.vmid(pid)
	for _, slot := range slots {
		r.add(slot, holder)
	}
}

// slots are the cards that a device file stands for.
func (r *holderReader) slots(file string) []pci.Slot {
	if slot, ok := r.minors[file]; ok {
		return []pci.Slot{slot}
	}
	if slot, ok := r.cards[file]; ok {
		return []pci.Slot{slot}
	}
	group, isGroup := strings.CutPrefix(file, "/dev/vfio/")
	number, err := strconv.Atoi(strings.TrimPrefix(group, "noiommu-"))
	if !isGroup || err != nil {
		return nil
	}
	var slots []pci.Slot
	for i := range r.host.Functions {
		if f := &r.host.Functions[i]; f.Group == number && !slices.Contains(slots, f.BDF.Slot) {
			slots = append(slots, f.BDF.Slot)
		}
	}
	return slots
}

// vmid is the number of the VM that a QEMU of Proxmox runs: the argument after
// -id.
func (r *holderReader) vmid(pid int) int {
	data, err := r.tree.ReadFile(path.Join("proc", strconv.Itoa(pid), "cmdline"))
	if err != nil {
		return 0
	}
	args := bytes.Split(data, []byte{0})
	for i := range len(args) - 1 {
		if string(args[i]) == "-id" {
			id, _ := strconv.Atoi(string(args[i+1]))
			return id
		}
	}
	return 0
}

func (r *holderReader) reservations() {
	data, err := r.tree.ReadFile(Reservations)
	if err != nil {
		return
	}
	for line := range strings.Lines(string(data)) {
		if bdf, vmid, pid, ok := parseReservation(line); ok {
			r.add(bdf.Slot, Holder{VMID: vmid, PID: pid, By: "/" + Reservations})
		}
	}
}

// parseReservation reads "0000:01:00.0 101 pid:4711" or "… time:1700000000".
func parseReservation(line string) (bdf pci.BDF, vmid, pid int, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return pci.BDF{}, 0, 0, false
	}
	bdf, err := pci.ParseBDF(fields[0])
	if err != nil {
		return pci.BDF{}, 0, 0, false
	}
	if vmid, err = strconv.Atoi(fields[1]); err != nil {
		return pci.BDF{}, 0, 0, false
	}
	for _, field := range fields[2:] {
		if text, is := strings.CutPrefix(field, "pid:"); is {
			pid, _ = strconv.Atoi(text)
		}
	}
	return bdf, vmid, pid, true
}

// nvidiaMinors are the device files of the cards that the NVIDIA driver has.
func nvidiaMinors(tree hosttree.Reader) map[string]pci.Slot {
	const dir = "proc/driver/nvidia/gpus"
	minors := map[string]pci.Slot{}
	names, _ := tree.ReadDir(dir)
	for _, name := range names {
		bdf, err := pci.ParseBDF(name)
		if err != nil {
			continue
		}
		data, _ := tree.ReadFile(path.Join(dir, name, "information"))
		for line := range strings.Lines(string(data)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "Device Minor" {
				minors["/dev/nvidia"+strings.TrimSpace(value)] = bdf.Slot
			}
		}
	}
	return minors
}

// classFiles are the device files of display drivers and of their I2C buses, by
// which programs speak to monitors and fans, of sound, and of VFIO's devices (those
// of IOMMUFD, which have a file of their own beside the group's). An unbind waits
// for whoever has one open (for I2C it is i2c_del_adapter that waits).
func classFiles(tree hosttree.Reader) map[string]pci.Slot {
	files := map[string]pci.Slot{}
	for class, dir := range map[string]string{
		"drm": "/dev/dri/", "sound": "/dev/snd/", "vfio-dev": "/dev/vfio/devices/",
		"i2c-dev": "/dev/",
	} {
		names, _ := tree.ReadDir(path.Join("sys/class", class))
		for _, name := range names {
			at := path.Join("sys/class", class, name)
			target, _ := tree.Readlink(at)
			device, _ := tree.Readlink(path.Join(at, "device"))
			if slot, ok := lastSlot(target + "/" + device); ok {
				files[dir+name] = slot
			}
		}
	}
	return files
}

// lastSlot is the slot of the last address in a path of sysfs: the device itself,
// behind its bridges.
func lastSlot(target string) (slot pci.Slot, ok bool) {
	for part := range strings.SplitSeq(target, "/") {
		if bdf, err := pci.ParseBDF(part); err == nil {
			slot, ok = bdf.Slot, true
		}
	}
	return slot, ok
}
