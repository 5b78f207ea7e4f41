package bind

import (
	"fmt"
	"path"
	"slices"
	"strings"

	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Below is a device that is connected to a function. The host loses it together
// with the function.
type Below struct {
	BDF pci.BDF `json:"bdf"`
	// What describes it: "network interface eno1, which is up", "disk sda, mounted at
	// /srv", "USB keyboard 3-1 (046d:c31c, Logitech USB Keyboard)".
	What string `json:"what"`
	// Goes reports whether the host can do without it, as without a keyboard. The plan
	// then has a note instead of a reason to refuse.
	Goes bool `json:"goes,omitempty"`
}

// readBelow finds the devices below the functions of a slot.
func readBelow(tree hosttree.Reader, slot pci.Slot) []Below {
	return slices.Concat(readUsed(tree, slot), readConsoles(tree, slot), readUSB(tree, slot))
}

// readUsed finds network interfaces and disks. Each entry of sys/class is a link
// whose target contains the path of the PCI device.
func readUsed(tree hosttree.Reader, slot pci.Slot) []Below {
	var found []Below
	mounts := readMounts(tree)
	for _, class := range []string{"net", "block", "infiniband"} {
		names, _ := tree.ReadDir(path.Join("sys/class", class))
		for _, name := range names {
			target, err := tree.Readlink(path.Join("sys/class", class, name))
			if err != nil {
				continue
			}
			if bdf, below := functionAbove(target, slot); below {
				found = append(found, Below{BDF: bdf, What: describe(tree, class, name, mounts)})
			}
		}
	}
	return found
}

// functionAbove returns the function of the slot that is part of a device's path.
func functionAbove(target string, slot pci.Slot) (pci.BDF, bool) {
	for _, part := range strings.Split(target, "/") {
		if bdf, err := pci.ParseBDF(part); err == nil && bdf.Slot == slot && part == bdf.String() {
			return bdf, true
		}
	}
	return pci.BDF{}, false
}

func describe(tree hosttree.Reader, class, name string, mounts map[string][]string) string {
	dir := path.Join("sys/class", class, name)
	if class != "block" {
		text := "network interface " + name
		if data, err := tree.ReadFile(path.Join(dir, "operstate")); err == nil {
			text += ", which is " + strings.TrimSpace(string(data))
		}
		if target, err := tree.Readlink(path.Join(dir, "master")); err == nil {
			text += ", in " + path.Base(target)
		}
		return text
	}
	text := "disk " + name
	if used := uses(tree, name, mounts, 0); len(used) > 0 {
		text += ", " + strings.Join(used, ", ")
	}
	return text
}

// uses lists what a disk is used for: mounted, swap, or part of another device,
// such as LVM or RAID.
func uses(tree hosttree.Reader, name string, mounts map[string][]string, depth int) []string {
	var used []string
	dir := path.Join("sys/class/block", name)
	if data, err := tree.ReadFile(path.Join(dir, "dev")); err == nil {
		for _, at := range mounts[strings.TrimSpace(string(data))] {
			used = append(used, "mounted at "+at)
		}
	}
	if slices.Contains(mounts["swap"], "/dev/"+name) {
		used = append(used, "used for swap")
	}
	holders, _ := tree.ReadDir(path.Join(dir, "holders"))
	const deep = 8 // LVM on LUKS on RAID is three
	for _, holder := range holders {
		used = append(used, fmt.Sprintf("part of %s", holder))
		if depth < deep {
			used = append(used, uses(tree, holder, mounts, depth+1)...)
		}
	}
	return used
}

// readMounts returns the mount points of disks by "major:minor", and the swap
// devices under the key "swap" (proc_pid_mountinfo(5), proc_swaps(5)).
func readMounts(tree hosttree.Reader) map[string][]string {
	mounts := map[string][]string{}
	for _, file := range []string{"proc/1/mountinfo", "proc/self/mountinfo"} {
		data, err := tree.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			if fields := strings.Fields(line); len(fields) > 5 {
				mounts[fields[2]] = append(mounts[fields[2]], fields[4])
			}
		}
		break
	}
	swaps, _ := tree.ReadFile("proc/swaps")
	for line := range strings.Lines(string(swaps)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[0], "/dev/") {
			mounts["swap"] = append(mounts["swap"], fields[0])
		}
	}
	return mounts
}
