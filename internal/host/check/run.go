package check

import (
	"slices"
	"strconv"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/finding"
	hostbind "github.com/gpuworker/gpuworker/internal/host/bind"
	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// Options are the inputs of a check besides the tree.
type Options struct {
	Tool  string // version of the program, for the report
	Taken string // time of the check, for the report; see Report
	// Cards are the addresses to check. Without any, all NVIDIA GPUs are checked.
	Cards []pci.BDF
	// KernelLog is the log of the running kernel, nil when it could not be read.
	// It is only evidence; the verdict comes from sysfs.
	KernelLog []byte
	// Images are the listings of the initramfs images, by their paths; nil takes
	// those of a capture.
	Images map[string]hostbind.Listing
}

// layers are the layers of a host check, from the bottom.
var layers = []finding.Layer{
	finding.LayerHost, finding.LayerFirmware, finding.LayerKernel, finding.LayerModules, finding.LayerGroup, finding.LayerOwner,
	finding.LayerWindow, finding.LayerReset, finding.LayerMemory, finding.LayerIdentity, finding.LayerVM,
}

// hostChecks check the host as a whole, in the order of the layers.
var hostChecks = []func(*facts) []Finding{
	checkDevices,
	checkFirmware,
	checkKernelIOMMU, checkBootConfig, checkRemapping, checkMode, checkKernelReports, checkLockdown,
	checkVFIO, checkVirqfd,
	checkACS,
	checkRecords,
}

// cardChecks check one card, in the order of the layers.
var cardChecks = []func(*facts, hostpci.Card) []Finding{
	checkRMRR,
	checkHasGroup, checkForeign, checkBridges, checkNVSwitch,
	checkDriver, checkSiblings, checkBound, checkDivided, checkClaims, checkConsole,
	checkFramebuffer, checkBARs, checkGuestWindow, checkAddressWidth, checkROM,
	checkGone, checkReset, checkPower,
	checkMemory, checkMemlock, checkStartTime, checkNUMA,
	checkIdentity,
	checkQ35, checkHidden,
}

// Run checks the host of the tree.
func Run(tree hosttree.Reader, o Options) *Report {
	f := readFacts(tree, o)
	r := &Report{Version: FormatVersion, Tool: o.Tool, Taken: o.Taken, Host: f.name, System: f.describe(), Cards: []Card{}}
	var all []Finding
	for _, check := range hostChecks {
		all = append(all, check(f)...)
	}
	r.Findings, r.NotEvaluated = untilBlocked(all)
	r.Now, r.AfterReboot = sum(r.Findings, len(r.NotEvaluated) > 0)
	for _, bdf := range f.chosen(o.Cards) {
		r.Cards = append(r.Cards, f.judge(bdf, r))
	}
	r.clean()
	return r
}

// clean makes all texts of the report safe for a terminal: they contain names and
// contents of files of the host, which may have control characters.
func (r *Report) clean() {
	clean(r.Findings)
	for i := range r.Cards {
		c := &r.Cards[i]
		c.Name, c.Driver = plain(c.Name), plain(c.Driver)
		clean(c.Findings)
	}
}

func clean(findings []Finding) {
	for i := range findings {
		f := &findings[i]
		f.Reason, f.Fix, f.Then = plain(f.Reason), plain(f.Fix), plain(f.Then)
		for j, e := range f.Evidence {
			f.Evidence[j] = Evidence{File: plain(e.File), Says: plain(e.Says)}
		}
	}
}

// describe returns the system that the host runs.
func (f *facts) describe() System {
	return System{
		Name: trim(f.system["PRETTY_NAME"]), Kernel: trim(f.release), Proxmox: f.proxmox, BootLoader: f.boot.loader,
		Root: f.iomem.ok() && !f.zeroed && f.holders.Unseen == 0, Uptime: uptime(read(f.tree, "proc/uptime").body),
	}
}

// uptime reads /proc/uptime (proc(5)): seconds since the start, with a fraction. It
// is 0 when unknown.
func uptime(body string) int64 {
	seconds, _, _ := strings.Cut(body, ".")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// chosen returns the addresses of the cards to check: the given ones, or the GPU
// functions of all NVIDIA cards.
func (f *facts) chosen(asked []pci.BDF) []pci.BDF {
	if len(asked) > 0 {
		return asked
	}
	var found []pci.BDF
	for _, card := range f.pci.Cards() {
		if main := card.Main(); main.ID.Vendor == pci.VendorNVIDIA {
			found = append(found, main.BDF)
		}
	}
	return found
}

// judge checks the card that has a function at the address.
func (f *facts) judge(bdf pci.BDF, r *Report) Card {
	functions := f.pci.Slot(bdf.Slot)
	if len(functions) == 0 {
		return f.missing(bdf)
	}
	card := hostpci.Card{Slot: bdf.Slot, Functions: functions}
	main := card.Main()
	c := Card{BDF: main.BDF, ID: main.ID, Name: main.ShortName(), Driver: main.Driver, Group: main.Group, Findings: []Finding{}}
	foundation := slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return !isFoundation(f.Layer) })
	if slices.ContainsFunc(foundation, fails) {
		c.NotEvaluated = layers[slices.Index(layers, finding.LayerGroup):]
	} else {
		var all []Finding
		for _, check := range cardChecks {
			all = append(all, check(f, card)...)
		}
		for i := range all {
			all[i].Where.Card = main.BDF
		}
		c.Findings, c.NotEvaluated = untilBlocked(all)
	}
	c.Now, c.AfterReboot = sum(append(foundation, c.Findings...), len(c.NotEvaluated) > 0)
	return c
}

// isFoundation reports whether a layer is one of the host that all cards depend on.
func isFoundation(layer finding.Layer) bool {
	return slices.Index(layers, layer) < slices.Index(layers, finding.LayerOwner)
}

// missing is the result for an address without a device.
func (f *facts) missing(bdf pci.BDF) Card {
	c := Card{BDF: bdf, Group: pci.NoGroup}
	gone := found(finding.HostCardGone, finding.Fail, "the host has no device at this address").
		see(Evidence{File: "/sys/bus/pci/devices/" + bdf.String(), Says: "does not exist"}).
		fix("gpuworker-host list shows the cards of this host; if the card is missing there, switch the host off and on").
		then("gpuworker-host list shows it")
	if f.pciErr != nil {
		gone = found(finding.HostDeviceUnreadable, finding.Unknown, "the devices of this host could not be listed")
	}
	gone.Where.Card = bdf
	c.Findings, c.NotEvaluated = []Finding{gone}, slices.DeleteFunc(slices.Clone(layers[1:]), func(l finding.Layer) bool { return l == gone.Layer })
	c.Now, c.AfterReboot = sum(c.Findings, true)
	return c
}

func fails(f Finding) bool { return f.Verdict == finding.Fail }

// untilBlocked keeps the findings up to the first layer that fails, by layer. The
// layers above it are skipped.
func untilBlocked(all []Finding) (kept []Finding, skipped []finding.Layer) {
	kept = []Finding{}
	blocked := false
	for _, layer := range layers {
		of := slices.DeleteFunc(slices.Clone(all), func(f Finding) bool { return f.Layer != layer })
		switch {
		case blocked && len(of) > 0:
			skipped = append(skipped, layer)
		case !blocked:
			kept = append(kept, of...)
			blocked = slices.ContainsFunc(of, fails)
		}
	}
	return kept, skipped
}

// found makes a finding that is the same now and after a reboot.
func found(id finding.ID, verdict finding.Verdict, reason string) Finding {
	return Finding{Finding: finding.New(id, verdict, fault.Place{}).WithReason(reason), AfterReboot: verdict}
}

func (f Finding) after(v finding.Verdict) Finding {
	f.AfterReboot = v
	return f
}

func (f Finding) see(evidence ...Evidence) Finding {
	f.Evidence = append(slices.Clone(f.Evidence), evidence...)
	return f
}

func (f Finding) fix(text string) Finding {
	f.Fix = text
	return f
}

func (f Finding) then(text string) Finding {
	f.Then = text
	return f
}

// one is a list of one finding.
func one(f Finding) []Finding { return []Finding{f} }
