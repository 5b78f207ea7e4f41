package bind

import (
	"fmt"
	"path"
	"slices"
	"strings"

	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// VFIOUse says when vfio-pci has a card.
type VFIOUse struct {
	Now  bool // it has the card, or a run is about to bind it
	Next bool // it will have the card after the next boot
}

// readVFIOUse reads for all cards whether they are for vfio-pci, whatever causes
// it: a journal of ours, an override, driverctl, or a list of models. Unknown
// counts as yes.
func readVFIOUse(tree, files hosttree.Reader, h *hostpci.Host) map[pci.Slot]VFIOUse {
	uses := map[pci.Slot]VFIOUse{}
	listed := vfioModels(tree)
	for _, card := range h.Cards() {
		j, err := ReadJournal(files, card.Slot)
		uses[card.Slot] = vfioUse(tree, card, j, err, listed)
	}
	return uses
}

func vfioUse(tree hosttree.Reader, card hostpci.Card, j *Journal, unreadable error, listed map[pci.ID]bool) VFIOUse {
	var c VFIOUse
	for _, f := range card.Functions {
		if !f.IsDisplay() {
			continue
		}
		c.Now = c.Now || forVMs(f.Driver) || forVMs(f.Override) || f.Unreadable["driver_override"] != ""
		c.Next = c.Next || listed[f.ID] || driverctl(tree, f.BDF)
	}
	switch {
	case unreadable != nil:
		return VFIOUse{true, true}
	case j == nil:
		c.Next = c.Next || c.Now // another program bound it, and may do so at boot too
	case j.Goal == Bound:
		c.Now = c.Now || !j.Settled && !j.AtBoot || j.Stuck != nil
		c.Next = c.Next || j.Persist || !j.Settled
	default: // an unbind was interrupted: what the next boot does is not known
		c.Now, c.Next = c.Now || j.Stuck != nil, true
	}
	return c
}

// forVMs reports whether a driver reserves a device for virtual machines; false for
// no driver.
func forVMs(driver string) bool { return driver != "" && hostpci.ForVMs(driver) }

// driverctl reports whether a rule of driverctl(8) gives a function to such a driver.
func driverctl(tree hosttree.Reader, bdf pci.BDF) bool {
	for _, name := range []string{bdf.String(), "pci-" + bdf.String()} {
		if data, err := tree.ReadFile(path.Join("etc/driverctl.d", name)); err == nil && forVMs(strings.TrimSpace(string(data))) {
			return true
		}
	}
	return false
}

// vfioModels returns the models that vfio-pci is configured to take, now or at the
// next boot: by options of its module (modprobe.d(5)) or of the kernel, in the
// files of all boot loaders.
func vfioModels(tree hosttree.Reader) map[pci.ID]bool {
	models := map[pci.ID]bool{}
	files := []string{"proc/cmdline", "etc/kernel/cmdline", "etc/default/grub"}
	for _, dir := range []string{"etc/default/grub.d", "etc/modprobe.d", "run/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d"} {
		names, _ := tree.ReadDir(dir)
		for _, name := range names {
			files = append(files, path.Join(dir, name))
		}
	}
	for _, file := range files {
		data, _ := tree.ReadFile(file)
		for line := range strings.Lines(string(data)) {
			listModels(models, line)
		}
	}
	return models
}

// listModels adds the models of a line "options vfio-pci ids=10de:1b80,10de:10f0" or
// "quiet vfio-pci.ids=10de:1b80". A subsystem and class may follow the model and
// restrict it; they are ignored here.
func listModels(models map[pci.ID]bool, line string) {
	fields := strings.FieldsFunc(strings.ReplaceAll(line, "vfio_pci", VFIO), func(r rune) bool { return strings.ContainsRune(" \t\r\n\"'", r) })
	if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
		return
	}
	mark := VFIO + ".ids="
	if len(fields) > 2 && fields[0] == "options" && fields[1] == VFIO {
		mark = "ids="
	}
	for _, field := range fields {
		_, list, found := strings.Cut(field, mark)
		if !found {
			continue
		}
		for _, entry := range strings.Split(list, ",") {
			if parts := strings.Split(entry, ":"); len(parts) > 1 {
				if id, err := pci.ParseID(parts[0] + ":" + parts[1]); err == nil {
					models[id] = true
				}
			}
		}
	}
}

// drivesScreen reports whether a card can drive a screen: it has a driver, or it is
// the card of the firmware's screen, which needs no driver for text. 3D controllers
// and virtual functions have no outputs.
func drivesScreen(card hostpci.Card) bool {
	return slices.ContainsFunc(card.Functions, func(f *hostpci.Function) bool {
		return f.IsDisplay() && f.Class.Code() != 0x0302 && f.PhysFn == "" && !f.Gone && (f.Driver != "" || f.BootVGA)
	})
}

// console refuses to take the last screen of the host, now or at the next boot. A
// card that vfio-pci has, or will have, does not count as a screen.
func (f Facts) console(o Options) []Reason {
	// A host without a screen of the firmware has no console to lose.
	if o.ConsoleLossOK || !drivesScreen(f.Card) || !slices.ContainsFunc(f.Host.Functions, func(fn hostpci.Function) bool { return fn.BootVGA }) {
		return nil
	}
	var now, next bool // another screen remains
	var given []string
	for _, card := range f.Host.Cards() {
		if card.Slot == f.Card.Slot || !drivesScreen(card) {
			continue
		}
		c := f.VFIO[card.Slot]
		now, next = now || !c.Now, next || !c.Next
		if c.Now || c.Next {
			given = append(given, fmt.Sprintf("%s is bound to vfio-pci", card.Slot.At(0)))
		}
	}
	own := f.VFIO[f.Card.Slot]
	switch {
	case !o.AtNextBoot && !own.Now && !now:
		return []Reason{onlyConsole(f.Card.Slot, "", given)}
	case !o.NoPersist && !own.Next && !next:
		return []Reason{onlyConsole(f.Card.Slot, "from the next boot on, ", given)}
	}
	return nil
}

func onlyConsole(slot pci.Slot, when string, given []string) Reason {
	why := fmt.Sprintf("%s%s drives the only remaining screen of this host", when, slot.At(0))
	if len(given) > 0 {
		why += ": " + strings.Join(given, ", ")
	}
	return Reason{"ONLY-CONSOLE", why, "make sure that you reach the host over the network or a serial line, then add --console-loss-ok"}
}
