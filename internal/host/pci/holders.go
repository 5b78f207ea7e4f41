package pci

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Holder is a process or VM that uses a card, or is about to use it.
type Holder struct {
	PID  int    `json:"pid,omitempty"`
	Name string `json:"name,omitempty"` // of the process
	VMID int    `json:"vmid,omitempty"` // of the VM that the process runs
	// By is the file that shows it: "/dev/vfio/14", "/dev/nvidia0", or the file of
	// Proxmox's reservations.
	By string `json:"by"`
}

// Holders are the users of all cards.
type Holders struct {
	BySlot map[pci.Slot][]Holder
	// Unseen counts the processes whose open files could not be read, for example
	// without root. Unreadable reservations count as one more, and so do all processes
	// that a PID namespace hides.
	Unseen int
	// Why has one reason for each of them.
	Why []string
}

func (h *Holders) unseen(what string, err error) {
	h.Unseen++
	h.Why = append(h.Why, what+": "+reason(err))
}

// Blind says what could not be read; "" when everything could.
func (h *Holders) Blind() string {
	switch {
	case h.Unseen == 0:
		return ""
	case len(h.Why) == 0:
		return fmt.Sprintf("%d possible holders could not be read", h.Unseen)
	case len(h.Why) == 1:
		return h.Why[0]
	}
	return fmt.Sprintf("%s, and %d more", h.Why[0], len(h.Why)-1)
}

// Of returns the holders of a card.
func (h *Holders) Of(slot pci.Slot) []Holder { return h.BySlot[slot] }

// Reservations is Proxmox's list of the devices of running and starting VMs
// (PVE::QemuServer::PCI).
const Reservations = "run/qemu-server/pci-id-reservations"

// ReadHolders finds the users of the cards. It looks for processes with open device
// files: VFIO group files (QEMU), files of the NVIDIA and display drivers, and files
// of devices that are plugged into a card. It also reads Proxmox's reservations.
func ReadHolders(tree hosttree.Reader, h *Host) *Holders {
	r := &holderReader{tree: tree, host: h, found: &Holders{BySlot: map[pci.Slot][]Holder{}}, minors: nvidiaMinors(tree), cards: classFiles(tree), patience: hosttree.Patience}
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

	patience time.Duration // timeout for processes that hang
}

func (r *holderReader) add(slot pci.Slot, holder Holder) {
	if !slices.Contains(r.found.BySlot[slot], holder) {
		r.found.BySlot[slot] = append(r.found.BySlot[slot], holder)
	}
}

// open records that a process has a device file open.
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

// slots returns the slots that a device file belongs to.
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

// vmid returns the number of the VM that a QEMU process of Proxmox runs: the argument
// after -id.
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
	switch {
	case errors.Is(err, fs.ErrNotExist): // not Proxmox, or no VM with a device was started since the boot
		return
	case err != nil:
		r.found.unseen("/"+Reservations, err)
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
