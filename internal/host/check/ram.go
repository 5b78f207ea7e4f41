package check

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
)

// checkMemory is condition 24: not enough memory to pin. It looks at the stopped VMs
// that name the card.
func checkMemory(f *facts, card hostpci.Card) []Finding {
	meminfo, arc := read(f.tree, "proc/meminfo"), read(f.tree, "proc/spl/kstat/zfs/arcstats")
	memory, stats := parseMeminfo(meminfo.body), parseArcstats(arc.body)
	free, known := memory["MemAvailable"]
	cache := uint64(0) // memory that ZFS can release
	if stats["size"] > stats["c_min"] {
		cache = stats["size"] - stats["c_min"]
	}
	evidence := []Evidence{meminfo.line(fmt.Sprintf("MemAvailable: %d kB", free>>10))}
	if cache > 0 {
		evidence = append(evidence, arc.line(fmt.Sprintf("size %d, c_min %d", stats["size"], stats["c_min"])))
	}
	for _, c := range f.vmsOf(card.Slot) {
		need := c.vm.memory() + c.vm.memory()/20
		switch {
		case f.running(c.vm.vmid):
		case !known || arc.hidden():
			return one(found(finding.HostMemoryShort, finding.Unknown, fmt.Sprintf("it is not known whether there is enough memory for VM %d", c.vm.vmid)).see(meminfo.evidence()))
		case need > free+cache:
			return one(found(finding.HostMemoryShort, finding.Fail, fmt.Sprintf("VM %d needs %s to start, but the host can free only %s", c.vm.vmid, bytesText(need), bytesText(free+cache))).
				after(f.memoryNext(c.vm, memory["MemTotal"])).see(evidence...).
				fix("give the VM less memory or stop others; with ZFS limit its cache (zfs_arc_max)").then("MemAvailable is more than the VM needs"))
		}
	}
	if !known {
		return one(found(finding.HostMemoryShort, finding.Unknown, "it is not known how much memory is free").see(meminfo.evidence()))
	}
	return one(found(finding.HostMemoryShort, finding.Pass, bytesText(free+cache)+" can be freed for VMs").see(evidence...))
}

// memoryNext returns whether there will be memory for the VM after a reboot, besides
// the VMs that are started with the host.
func (f *facts) memoryNext(vm vmConf, total uint64) finding.Verdict {
	need := vm.memory()
	for _, other := range f.vms {
		if other.vmid != vm.vmid && other.values["onboot"] == "1" {
			need += other.memory()
		}
	}
	if need+need/20 > total {
		return finding.Fail
	}
	return finding.Pass
}

// checkMemlock is condition 25: QEMU may not lock enough memory. A QEMU with the card
// has already locked its memory, so its limit is sufficient; the limit of a QEMU
// without a card proves nothing.
func checkMemlock(f *facts, card hostpci.Card) []Finding {
	if f.proxmox {
		return one(found(finding.HostMemlock, finding.Pass, "on Proxmox, QEMU runs as root, which has no limit"))
	}
	if line, logged := f.logged("RLIMIT_MEMLOCK", "exceeded"); logged {
		return one(found(finding.HostMemlock, finding.Fail, "a QEMU process failed to lock its memory since the last boot").after(finding.Unknown).see(line).
			fix("with libvirt, set memtune hard_limit of the domain; otherwise set LimitMEMLOCK=infinity in its service").then("the VM starts with its card"))
	}
	for _, h := range f.holders.Of(card.Slot) {
		if h.PID != 0 && strings.HasPrefix(h.By, "/dev/vfio/") {
			return one(found(finding.HostMemlock, finding.Pass, fmt.Sprintf("%s (process %d) has locked its memory", trim(h.Name), h.PID)))
		}
	}
	for _, pid := range f.qemus() {
		limits := read(f.tree, path.Join("proc", strconv.Itoa(pid), "limits"))
		if bytes, limited, ok := lockedLimit(limits.body); ok && limited {
			return one(found(finding.HostMemlock, finding.Info, fmt.Sprintf("a QEMU without a card (process %d) may lock %s; libvirt raises this limit for a VM with a card, other tools must do it too", pid, bytesText(bytes))).
				see(limits.line(fmt.Sprintf("Max locked memory %d", bytes))))
		}
	}
	return one(found(finding.HostMemlock, finding.Info, "no QEMU is running, so the limit of locked memory is not known"))
}

// qemus returns the processes that look like QEMU.
func (f *facts) qemus() []int {
	var pids []int
	for _, name := range readDir(f.tree, "proc").names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if comm := read(f.tree, path.Join("proc", name, "comm")).value(); strings.HasPrefix(comm, "qemu") || comm == "kvm" {
			pids = append(pids, pid)
		}
	}
	return pids
}

// checkStartTime is condition 26: how long a start may take.
func checkStartTime(f *facts, card hostpci.Card) []Finding {
	const usual = 150 // seconds; most clients wait this long
	for _, c := range f.vmsOf(card.Slot) {
		seconds := c.vm.startSeconds()
		if seconds > usual {
			return one(found(finding.HostStartTimeout, finding.Info, fmt.Sprintf("the start of VM %d, which has %s of memory, may take up to %d s", c.vm.vmid, bytesText(c.vm.memory()), seconds)).
				see(c.vm.file.line("memory: " + c.vm.values["memory"])).fix(fmt.Sprintf("set the timeout of API clients to at least %d s, and let them poll the task", seconds)))
		}
	}
	return one(found(finding.HostStartTimeout, finding.Pass, "no VM with the card needs long to start"))
}

// checkNUMA is condition 27: memory and card are on different sockets.
func checkNUMA(f *facts, card hostpci.Card) []Finding {
	node := card.Main().NUMANode
	for _, c := range f.vmsOf(card.Slot) {
		for key, value := range c.vm.values {
			nodes := property(value, "hostnodes", "")
			if number, is := strings.CutPrefix(key, "numa"); !is || number == "" || nodes == "" || node < 0 || covers(nodes, node) {
				continue
			}
			return one(found(finding.HostNUMA, finding.Info, fmt.Sprintf("VM %d has its memory on NUMA node %s, the card is on node %d: this works, but more slowly", c.vm.vmid, trim(nodes), node)).
				see(c.vm.file.line(key+": "+value), Evidence{File: "/sys/bus/pci/devices/" + card.Main().BDF.String() + "/numa_node", Says: strconv.Itoa(node)}).
				fix(fmt.Sprintf("set hostnodes=%d in %s of VM %d", node, key, c.vm.vmid)))
		}
	}
	return one(found(finding.HostNUMA, finding.Pass, "no VM with the card is placed on another NUMA node"))
}

// covers reports whether a list such as "0-1;3" contains the node.
func covers(list string, node int) bool {
	for _, part := range strings.FieldsFunc(list, func(r rune) bool { return r == ';' || r == ',' }) {
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		last := first
		if isRange {
			last, _ = strconv.Atoi(to)
		}
		if err == nil && first <= node && node <= last {
			return true
		}
	}
	return false
}
