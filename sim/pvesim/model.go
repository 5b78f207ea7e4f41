package pvesim

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// host is a physical machine with the state of its kernel.
type host struct {
	Host
	id       int // in the cluster, from 1
	booted   time.Time
	boots    int
	drivers  map[string]string // BDF → current kernel driver
	reserved map[string]int    // BDF → running or starting VM
	shown    struct {          // copies in the last snapshot
		drivers  map[string]string
		reserved map[string]int
	}
}

func newHost(h Host, index int, now time.Time) *host {
	n := &host{Host: h, id: index + 1, booted: now.Add(-time.Duration(h.Uptime))}
	if n.IP == "" {
		n.IP = fmt.Sprintf("192.0.2.%d", 10+index)
	}
	n.PCI = slices.Clone(h.PCI)
	slices.SortFunc(n.PCI, func(a, b PCIFunction) int { return compareBDF(a.Address, b.Address) })
	n.resetDevices()
	return n
}

// resetDevices sets the drivers to those after a boot.
func (h *host) resetDevices() {
	h.drivers, h.reserved = map[string]string{}, map[string]int{}
	for _, f := range h.PCI {
		h.drivers[f.Address] = f.Driver
	}
}

// function finds a PCI function by its full address.
func (h *host) function(address string) *PCIFunction {
	for i := range h.PCI {
		if h.PCI[i].Address == address {
			return &h.PCI[i]
		}
	}
	return nil
}

// vm is a virtual machine.
type vm struct {
	id      int
	node    string
	conf    map[string]string
	pending map[string]string
	deletes map[string]bool
	// forced are the deletes that also remove the disk.
	forced map[string]bool
	// snapshots in the order of taking.
	snapshots []*snapshot
	run       *run // nil when the VM is stopped
	// starting is set while a start task holds devices for it.
	starting bool
	guest    Guest
	files    map[string]string // on the guest's disk
	socket   string            // of a real agent, instead of the guest
	disk     guestDisk         // beside its files
	shown    shownVM
	// ha is its resource of the HA manager, nil for none.
	ha *haResource
}

// run is a running QEMU process.
type run struct {
	pid     int
	paused  bool
	since   time.Time
	pinned  int64 // bytes of host memory
	agentUp time.Time
	osUp    time.Time // the guest reacts to ACPI from then on
	devices []string  // BDFs
	conf    map[string]string
	seed    map[string]string // the options at the last write of its cloud-init drive
	execs   map[int]*guestProcess
	nextPID int
	handles map[int]*guestHandle
	// nextHandle counts the opened files.
	nextHandle int
	boot       guestBoot
	// frozen is set while the file systems are frozen: there are no writes, and most
	// commands of the agent fail.
	frozen bool
}

func (v *vm) name() string   { return v.conf["name"] }
func (v *vm) template() bool { return v.conf["template"] == "1" }

// newVM returns a VM with this configuration.
func newVM(id int, node string, conf map[string]string) *vm {
	return &vm{id: id, node: node, conf: conf, pending: map[string]string{}, deletes: map[string]bool{}, forced: map[string]bool{}}
}

// memoryOf is the configured memory in bytes.
func memoryOf(conf map[string]string) int64 {
	n, err := strconv.ParseInt(memoryFormat.parse(conf["memory"])["current"], 10, 64)
	if err != nil {
		n = 512
	}
	return n * mib
}

// merged is the configuration with the pending changes applied, as returned by GET
// config without current.
func (v *vm) merged() map[string]string {
	out := maps.Clone(v.conf)
	for key := range v.deletes {
		delete(out, key)
	}
	maps.Copy(out, v.pending)
	return out
}

// digest is the SHA-1 of the configuration file.
func (v *vm) digest() string { return v.look().digest }

func (v *vm) hash() string {
	var b strings.Builder
	writeSection(&b, v.conf)
	if len(v.pending)+len(v.deletes) > 0 {
		b.WriteString("[PENDING]\n")
		writeSection(&b, v.pending)
		fmt.Fprintln(&b, slices.Sorted(maps.Keys(v.deletes)))
	}
	for _, snap := range v.snapshots {
		fmt.Fprintf(&b, "[%s]\n", snap.name)
		writeSection(&b, snap.conf)
	}
	return sha1Hex(b.String())
}

func writeSection(b *strings.Builder, section map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(section)) {
		fmt.Fprintf(b, "%s: %s\n", key, strconv.Quote(section[key]))
	}
}

func sha1Hex(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// pool is a resource pool.
type pool struct {
	id, comment string
	vms         []int
}

func (s *Sim) pool(id string) *pool {
	for _, p := range s.pools {
		if p.id == id {
			return p
		}
	}
	return nil
}

// poolOf returns the pool of a VM, nil for none.
func (s *Sim) poolOf(vmid int) *pool {
	return s.poolByVM[vmid]
}

// joinPool adds a VM to a pool.
func (s *Sim) joinPool(id string, vmid int) {
	if p := s.pool(id); p != nil {
		s.leavePool(vmid)
		p.vms = append(p.vms, vmid)
		s.poolByVM[vmid] = p
	}
}

func (s *Sim) leavePool(vmid int) {
	if p := s.poolOf(vmid); p != nil {
		p.vms = slices.DeleteFunc(p.vms, func(id int) bool { return id == vmid })
		delete(s.poolByVM, vmid)
	}
}

// vmIDs returns the ids of all VMs, sorted.
func (s *Sim) vmIDs() []int { return slices.Sorted(maps.Keys(s.vms)) }

// vmOn returns a VM of a host, or the error for a missing configuration file.
func (s *Sim) vmOn(node string, id int) (*vm, error) {
	v := s.vms[id]
	if v == nil || v.node != node {
		return nil, die("Configuration file 'nodes/%s/qemu-server/%d.conf' does not exist", node, id)
	}
	return v, nil
}
