package bind

import (
	"fmt"
	"slices"
	"strings"

	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Reason is why a card is not touched, in words that an operator can act on.
type Reason struct {
	ID  string `json:"id"` // stable, for machines
	Why string `json:"why"`
	Fix string `json:"fix"`
}

// Facts is what is known of a card before it is touched.
type Facts struct {
	Host    *hostpci.Host
	Card    hostpci.Card
	Holders *hostpci.Holders
	Below   []Below
	NVIDIA  NVIDIA
	// Claims are those of vfio-pci on all cards.
	Claims map[pci.Slot]Claim
	// SeeMore is what to do where something could not be seen.
	SeeMore string
}

// NVIDIA is what is known of the NVIDIA driver's use of a card.
type NVIDIA struct {
	// Minor reports whether the driver named the card's device file: only then is it
	// known who has it open.
	Minor bool
	// ModeSet: nvidia_drm has it as a display.
	ModeSet bool
	// Daemons are programs that may open it at any time.
	Daemons []string
	// Persistence is the driver's persistence mode: "Enabled", "Disabled", or ""
	// when it could not be told.
	Persistence string
	// Silent is why nvidia-smi did not say; "" when it was not asked, or answered.
	Silent string
}

// Options are what the operator allowed.
type Options struct {
	AtNextBoot    bool `json:"atNextBoot,omitempty"`
	ConsoleLossOK bool `json:"consoleLossOK,omitempty"`
	NoPersist     bool `json:"noPersist,omitempty"`
}

const atNextBoot = "or let it happen at the next boot, which is always safe: --at-next-boot"

// Refusals are the reasons not to bind the card; steps are those that would be
// done. Pure.
func Refusals(f Facts, o Options, steps []Step) []Reason {
	reasons := slices.Concat(f.notACard(), f.shared(), f.mates(), f.below(), f.console(o))
	if o.AtNextBoot {
		return reasons
	}
	taking := slices.ContainsFunc(steps, func(s Step) bool { return s.Kind == Take })
	moving := slices.ContainsFunc(steps, func(s Step) bool { return s.Kind == Give })
	if moving {
		reasons = append(reasons, f.noIOMMU()...)
	}
	if taking {
		reasons = append(reasons, f.Held()...)
	}
	return reasons
}

func (f Facts) notACard() []Reason {
	var reasons []Reason
	if !slices.ContainsFunc(f.Card.Functions, (*hostpci.Function).IsDisplay) {
		return []Reason{{"NOT-A-GPU", fmt.Sprintf("%s is no GPU", f.Card.Slot.At(0)), "see gpuworker-host list"}}
	}
	for _, fn := range f.Card.Functions {
		switch {
		case fn.Class.IsBridge() || fn.Bus:
			reasons = append(reasons, Reason{"BRIDGE", fmt.Sprintf("%s is a bridge, with other devices behind it", fn.BDF), "this card cannot be given away whole"})
		case fn.Gone:
			reasons = append(reasons, Reason{"GONE", fmt.Sprintf("%s does not answer: it fell off the bus", fn.BDF), "switch the host off and on again; a warm reboot often does not help"})
		}
		for name, why := range fn.Unreadable {
			if slices.Contains([]string{"class", "vendor", "device", "driver", "driver_override", "iommu_group"}, name) {
				reasons = append(reasons, Reason{"UNREADABLE", fmt.Sprintf("%s of %s could not be read: %s", name, fn.BDF, why), "what is not known is not touched; " + f.SeeMore})
			}
		}
	}
	return reasons
}

// shared are cards that are given away in parts, or are part of something.
func (f Facts) shared() []Reason {
	var reasons []Reason
	for _, fn := range f.Card.Functions {
		switch {
		case fn.PhysFn != "":
			reasons = append(reasons, Reason{"VIRTUAL-FUNCTION", fmt.Sprintf("%s is a virtual function of %s", fn.BDF, fn.PhysFn), "give the virtual machine this function by itself, without this tool"})
		case fn.VFs > 0:
			reasons = append(reasons, Reason{"SRIOV", fmt.Sprintf("%s has %d virtual functions", fn.BDF, fn.VFs), "turn them off first: write 0 to its sriov_numvfs"})
		case fn.Mediated:
			reasons = append(reasons, Reason{"VGPU", fmt.Sprintf("%s is set up for vGPU", fn.BDF), "take the host's vGPU driver off first"})
		}
	}
	for i := range f.Host.Functions {
		if fn := &f.Host.Functions[i]; fn.ID.Vendor == pci.VendorNVIDIA && fn.Class.Code() == 0x0680 {
			return append(reasons, Reason{"NVSWITCH", fmt.Sprintf("%s is an NVSwitch: the cards of this host work together through it", fn.BDF), "such hosts need partitions of the Fabric Manager; this tool does not make them"})
		}
	}
	return reasons
}

// mates are other devices in the IOMMU group. The virtual machine could reach
// their memory, and Proxmox would take them from the host when it starts.
func (f Facts) mates() []Reason {
	var names []string
	for _, mate := range f.Host.Mates(f.Card) {
		names = append(names, fmt.Sprintf("%s (%s%s)", mate.BDF, mate.Class.Noun(), on(mate.Driver)))
	}
	if len(names) == 0 {
		return nil
	}
	return []Reason{{"GROUP-SHARED", fmt.Sprintf("group %d of the IOMMU also holds %s", f.Card.Main().Group, strings.Join(names, ", ")),
		"put one of them into another slot, or let the firmware separate them (ACS)"}}
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
		reasons = append(reasons, Reason{"IN-USE-BELOW", fmt.Sprintf("%s has the %s", b.BDF, b.What), "unplug it, or plug it in elsewhere"})
	}
	return reasons
}

func (f Facts) noIOMMU() []Reason {
	if len(f.Host.IOMMUs) > 0 && f.Card.Main().Group != pci.NoGroup {
		return nil
	}
	return []Reason{{"NO-IOMMU", "the IOMMU is off, and vfio-pci takes no card without it", "see gpuworker-host check"}}
}

// Held are the reasons why a driver may not lose the card now. An unbind waits in
// the kernel for whoever uses the device, and cannot be killed.
func (f Facts) Held() []Reason {
	var reasons []Reason
	for _, h := range f.Holders.Of(f.Card.Slot) {
		reasons = append(reasons, held(f.Card.Slot, h))
	}
	if blind := f.Holders.Blind(); blind != "" {
		reasons = append(reasons, Reason{"HOLDERS-UNKNOWN", fmt.Sprintf("it could not be seen who uses the card: %s", blind), f.SeeMore + ", " + atNextBoot})
	}
	if slices.ContainsFunc(f.Card.Functions, func(fn *hostpci.Function) bool { return fn.Driver == "nvidia" }) {
		reasons = append(reasons, f.nvidia()...)
	}
	return reasons
}

func held(slot pci.Slot, h hostpci.Holder) Reason {
	if h.VMID != 0 {
		return Reason{"HELD", fmt.Sprintf("VM %d holds %s (%s)", h.VMID, slot, h.By), fmt.Sprintf("stop it first: qm shutdown %d", h.VMID)}
	}
	return Reason{"HELD", fmt.Sprintf("process %d (%s) has %s open", h.PID, h.Name, h.By), "end it first, " + atNextBoot}
}

func (f Facts) nvidia() []Reason {
	var reasons []Reason
	unsure := func(why, fix string) {
		reasons = append(reasons, Reason{"NVIDIA-UNPROVEN", why, fix + ", " + atNextBoot})
	}
	if !f.NVIDIA.Minor {
		unsure("the NVIDIA driver does not tell which device file the card has, so nobody knows who has it open", "see /proc/driver/nvidia/gpus")
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
		why := "whether persistence mode is on could not be told: nvidia-smi did not say"
		if f.NVIDIA.Silent != "" {
			why += ": " + f.NVIDIA.Silent
		}
		unsure(why, "look with nvidia-smi -q")
	default:
		unsure("persistence mode is on: the driver itself holds the card", "turn it off: nvidia-smi -pm 0")
	}
	return reasons
}
