package bind

import (
	"fmt"
	"slices"
	"strings"

	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Reason says why a card is not changed, and what the operator can do.
type Reason struct {
	ID  string `json:"id"` // stable, for machines
	Why string `json:"why"`
	Fix string `json:"fix"`
}

// Facts is what the rules for a card depend on.
type Facts struct {
	Host    *hostpci.Host
	Card    hostpci.Card
	Holders *hostpci.Holders
	Below   []Below
	NVIDIA  NVIDIA
	// VFIO says for each card whether vfio-pci has it now or after the next boot.
	VFIO map[pci.Slot]VFIOUse
	// SeeMore says what to do when something could not be read.
	SeeMore string
}

// NVIDIA describes how the NVIDIA driver uses a card.
type NVIDIA struct {
	// Minor reports whether the driver names the card's device file. Otherwise it is
	// not known which processes have the card open.
	Minor bool
	// ModeSet reports whether nvidia_drm may use the card as a display.
	ModeSet bool
	// Daemons are running programs that may open the card at any time.
	Daemons []string
	// Persistence is the driver's persistence mode: "Enabled", "Disabled", or ""
	// when it is not known.
	Persistence string
	// Silent says why nvidia-smi failed; "" when it was not run, or answered.
	Silent string
}

// Options are the flags of bind.
type Options struct {
	AtNextBoot    bool `json:"atNextBoot,omitempty"`
	ConsoleLossOK bool `json:"consoleLossOK,omitempty"`
	NoPersist     bool `json:"noPersist,omitempty"`
}

const atNextBoot = "or bind the card at the next boot, which is always safe: --at-next-boot"

// refusals returns the reasons not to bind the card by these steps. Pure.
func refusals(f Facts, o Options, steps []Step) []Reason {
	reasons := slices.Concat(f.unsuitable(), f.divided(), f.groupShared(), f.below(), f.console(o))
	if o.AtNextBoot {
		return reasons
	}
	taking := slices.ContainsFunc(steps, func(s Step) bool { return s.Kind == UnbindDriver })
	moving := slices.ContainsFunc(steps, func(s Step) bool { return s.Kind == BindDriver })
	if moving {
		reasons = append(reasons, f.noIOMMU()...)
	}
	if taking {
		reasons = append(reasons, f.held()...)
	}
	return reasons
}

// unsuitable returns the reasons for devices that are no whole, readable GPU.
func (f Facts) unsuitable() []Reason {
	var reasons []Reason
	if !slices.ContainsFunc(f.Card.Functions, (*hostpci.Function).IsDisplay) {
		return []Reason{{"NOT-A-GPU", fmt.Sprintf("%s is not a GPU", f.Card.Slot.At(0)), "see gpuworker-host list"}}
	}
	for _, fn := range f.Card.Functions {
		switch {
		case fn.Class.IsBridge() || fn.Bus:
			reasons = append(reasons, Reason{"BRIDGE", fmt.Sprintf("%s is a bridge, with other devices behind it", fn.BDF), "this card cannot be bound as a whole; use another card"})
		case fn.Gone:
			reasons = append(reasons, Reason{"GONE", fmt.Sprintf("%s does not answer: it fell off the bus", fn.BDF), "switch the host off and on again; a warm reboot often does not help"})
		}
		for name, why := range fn.Unreadable {
			if slices.Contains([]string{"class", "vendor", "device", "driver", "driver_override", "iommu_group"}, name) {
				reasons = append(reasons, Reason{"UNREADABLE", fmt.Sprintf("%s of %s could not be read: %s", name, fn.BDF, why), "the card is not changed while this is unknown; " + f.SeeMore})
			}
		}
	}
	return reasons
}

// divided returns the reasons for cards that are divided (SR-IOV, vGPU) or work
// together with others (NVSwitch).
func (f Facts) divided() []Reason {
	var reasons []Reason
	for _, fn := range f.Card.Functions {
		switch {
		case fn.PhysFn != "":
			reasons = append(reasons, Reason{"VIRTUAL-FUNCTION", fmt.Sprintf("%s is a virtual function of %s", fn.BDF, fn.PhysFn), "attach this function to the virtual machine without this tool"})
		case fn.VFs > 0:
			reasons = append(reasons, Reason{"SRIOV", fmt.Sprintf("%s has %d virtual functions", fn.BDF, fn.VFs), "turn them off first: write 0 to its sriov_numvfs"})
		case fn.Mediated:
			reasons = append(reasons, Reason{"VGPU", fmt.Sprintf("%s is set up for vGPU", fn.BDF), "remove the host's vGPU driver first"})
		}
	}
	for i := range f.Host.Functions {
		if fn := &f.Host.Functions[i]; fn.ID.Vendor == pci.VendorNVIDIA && fn.Class.Code() == 0x0680 {
			return append(reasons, Reason{"NVSWITCH", fmt.Sprintf("%s is an NVSwitch: the cards of this host work together through it", fn.BDF), "such hosts need partitions of the Fabric Manager, which this tool does not create"})
		}
	}
	return reasons
}

// groupShared refuses a card with other devices in its IOMMU group. A virtual
// machine with the card could reach their memory, and Proxmox would take them
// from the host when the VM starts.
func (f Facts) groupShared() []Reason {
	var names []string
	for _, mate := range f.Host.Mates(f.Card) {
		names = append(names, fmt.Sprintf("%s (%s%s)", mate.BDF, mate.Class.Noun(), on(mate.Driver)))
	}
	if len(names) == 0 {
		return nil
	}
	return []Reason{{"GROUP-SHARED", fmt.Sprintf("IOMMU group %d also contains %s", f.Card.Main().Group, strings.Join(names, ", ")),
		"move one of them to another slot, or enable ACS in the firmware to separate them"}}
}

func on(driver string) string {
	if driver == "" {
		return ""
	}
	return " on " + driver
}

func (f Facts) below() []Reason {
	var reasons []Reason
	for _, b := range f.Below {
		if b.Goes {
			continue
		}
		reasons = append(reasons, Reason{"IN-USE-BELOW", fmt.Sprintf("%s has the %s", b.BDF, b.What), "unplug it, or plug it into another port"})
	}
	return reasons
}

func (f Facts) noIOMMU() []Reason {
	if len(f.Host.IOMMUs) > 0 && f.Card.Main().Group != pci.NoGroup {
		return nil
	}
	return []Reason{{"NO-IOMMU", "the IOMMU is off, and vfio-pci takes no card without it", "see gpuworker-host check"}}
}

// held returns the reasons not to unbind a driver now. An unbind waits in the
// kernel until the device is no longer in use, and cannot be killed.
func (f Facts) held() []Reason {
	var reasons []Reason
	for _, h := range f.Holders.Of(f.Card.Slot) {
		reasons = append(reasons, held(f.Card.Slot, h))
	}
	if blind := f.Holders.Blind(); blind != "" {
		reasons = append(reasons, Reason{"HOLDERS-UNKNOWN", fmt.Sprintf("it is not known who uses the card: %s", blind), f.SeeMore + ", " + atNextBoot})
	}
	if slices.ContainsFunc(f.Card.Functions, func(fn *hostpci.Function) bool { return fn.Driver == "nvidia" }) {
		reasons = append(reasons, f.nvidia()...)
	}
	return reasons
}

func held(slot pci.Slot, h hostpci.Holder) Reason {
	if h.VMID != 0 {
		return Reason{"HELD", fmt.Sprintf("VM %d holds %s (%s)", h.VMID, slot, h.By), fmt.Sprintf("stop the VM first: qm shutdown %d", h.VMID)}
	}
	return Reason{"HELD", fmt.Sprintf("process %d (%s) has %s open", h.PID, h.Name, h.By), "end the process first, " + atNextBoot}
}

func (f Facts) nvidia() []Reason {
	var reasons []Reason
	unsure := func(why, fix string) {
		reasons = append(reasons, Reason{"NVIDIA-UNPROVEN", why, fix + ", " + atNextBoot})
	}
	if !f.NVIDIA.Minor {
		unsure("the NVIDIA driver does not name the device file of the card, so it is not known who has it open", "see /proc/driver/nvidia/gpus")
	}
	if f.NVIDIA.ModeSet {
		unsure("nvidia_drm has mode setting on: the kernel itself may use the card as a screen", "load nvidia_drm with modeset=0")
	}
	for _, daemon := range f.NVIDIA.Daemons {
		unsure(daemon+" is running and may open the card at any time", "stop it")
	}
	switch f.NVIDIA.Persistence {
	case "Disabled":
	case "":
		why := "it is not known whether persistence mode is on: nvidia-smi gave no answer"
		if f.NVIDIA.Silent != "" {
			why += ": " + f.NVIDIA.Silent
		}
		unsure(why, "check with nvidia-smi -q")
	default:
		unsure("persistence mode is on: the driver itself holds the card", "turn it off: nvidia-smi -pm 0")
	}
	return reasons
}
