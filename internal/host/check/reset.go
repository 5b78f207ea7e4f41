package check

import (
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
)

// checkGone is condition 21: the card does not answer.
func checkGone(_ *facts, card hostpci.Card) []Finding {
	for _, f := range card.Functions {
		file := "/sys/bus/pci/devices/" + f.BDF.String() + "/config"
		if f.Gone {
			return one(found(finding.HostCardGone, finding.Fail, f.BDF.String()+" reads as 0xff only: it fell off the bus").after(finding.Unknown).see(Evidence{File: file, Says: "ff ff ff ff"}).
				fix("stop the VMs of this host, then switch the host off and on; a warm reboot is rarely enough").then("the file begins with the vendor ID"))
		}
		if odd, unreadable := f.Unreadable["config"]; unreadable {
			return one(found(finding.HostCardGone, finding.Unknown, "it is not known whether "+f.BDF.String()+" answers").see(Evidence{File: file, Says: trim(odd)}))
		}
	}
	return one(found(finding.HostCardGone, finding.Pass, "the card answers"))
}

// checkReset is condition 19: the card cannot be reset.
func checkReset(f *facts, card hostpci.Card) []Finding {
	main := card.Main()
	dir := "/sys/bus/pci/devices/" + main.BDF.String()
	// The kernel names the kind of reset between these words: "FLR", "bus reset",
	// "resume" (pci_dev_wait in drivers/pci/pci.c).
	for _, function := range card.Functions {
		if line, failed := f.logged(function.BDF.String(), "not ready", "; giving up"); failed {
			return one(found(finding.HostResetMissing, finding.Fail, "a reset of the card has failed since the last boot").after(finding.Unknown).see(line).
				fix("switch the host off and on").then("the kernel's log has no such line"))
		}
	}
	switch {
	case main.CanReset:
		return one(found(finding.HostResetMissing, finding.Pass, strings.TrimSpace("the kernel can reset the card "+trim(methods(main)))))
	case slices.Contains([]string{"error", "unknown"}, main.Power.State) || main.Gone:
		return nil // it does not answer, which is a finding of its own
	case len(card.Functions) > 1 && strings.Count(main.Path, "/") > 1:
		return one(found(finding.HostResetMissing, finding.Pass, "the card is reset as a whole through the port above it, once VFIO has all its functions").
			see(Evidence{File: dir + "/reset", Says: "does not exist"}, Evidence{File: dir, Says: trim(main.Path)}))
	}
	return one(found(finding.HostResetMissing, finding.Fail, "the kernel has no method to reset the card").see(Evidence{File: dir + "/reset", Says: "does not exist"}).
		fix("put the card into a slot with a port of its own").then(dir + "/reset exists"))
}

func methods(f *hostpci.Function) string {
	if len(f.ResetMethods) == 0 {
		return ""
	}
	return "(" + strings.Join(f.ResetMethods, ", ") + ")"
}

// checkPower is condition 20: the card does not wake up.
func checkPower(f *facts, card hostpci.Card) []Finding {
	for _, function := range card.Functions {
		state := function.Power.State
		file := Evidence{File: "/sys/bus/pci/devices/" + function.BDF.String() + "/power_state", Says: trim(state)}
		line, logged := f.logged(function.BDF.String(), "Unable to change power state from D3cold")
		switch odd, unreadable := function.Unreadable["power_state"]; {
		case state == "error" || state == "unknown" || strings.HasPrefix(state, "D3") && (function.Gone || logged):
			stuck := found(finding.HostPowerStuck, finding.Fail, function.BDF.String()+" is in a sleep state and does not wake up").after(finding.Unknown).see(file).
				fix("switch the host off and on; then write options vfio-pci disable_idle_d3=1 to a file in /etc/modprobe.d and run " + f.boot.initramfs()).then("power_state is D0, or D3hot while the card is not in use")
			if logged {
				stuck = stuck.see(line)
			}
			return one(stuck)
		case unreadable:
			file.Says = trim(odd)
			return one(found(finding.HostPowerStuck, finding.Unknown, "the power state of "+function.BDF.String()+" could not be read").see(file))
		}
	}
	main := card.Main()
	if main.Power.State == "" {
		return one(found(finding.HostPowerStuck, finding.Unknown, "this kernel does not show the power state of the card"))
	}
	return one(found(finding.HostPowerStuck, finding.Pass, "power state "+trim(main.Power.State)))
}
