package check

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/gpuworker/gpuworker/internal/finding"
	hostbind "github.com/gpuworker/gpuworker/internal/host/bind"
	hostpci "github.com/gpuworker/gpuworker/internal/host/pci"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
	"github.com/gpuworker/gpuworker/internal/pci"
)

// ours holds the files that `gpuworker-host bind` keeps for one card.
type ours struct {
	journal    *hostbind.Journal
	journalErr error

	record    text // read by the boot script
	card      hostbind.Card
	recordErr error // the record exists but is damaged
}

// oursOf reads the files that bind keeps for a card.
func (f *facts) oursOf(slot pci.Slot) ours {
	var o ours
	o.journal, o.journalErr = hostbind.ReadJournal(f.tree, slot)
	if o.record = f.rules[slot]; o.record.name == "" {
		o.record = read(f.tree, hostbind.CardFile(slot))
	}
	if o.record.ok() {
		o.card, o.recordErr = hostbind.ParseCard([]byte(o.record.body))
	}
	return o
}

// fingerprint returns the current fingerprint of the card in a slot.
func (f *facts) fingerprint(slot pci.Slot) hostbind.Card {
	return hostbind.Fingerprint(f.tree, hostpci.Card{Slot: slot, Functions: f.pci.Slot(slot)})
}

// atBoot returns what the files of gpuworker-host do with a function at the next
// boot; recorded is false when there is no record of its card.
func (f *facts) atBoot(function *hostpci.Function) (next outlook, recorded bool) {
	o, bind := f.oursOf(function.BDF.Slot), bindFix(function)
	switch {
	case o.record.absent():
		return outlook{}, false
	case !o.record.ok():
		return foresee(finding.Unknown, "it is not known whether gpuworker-host binds it at boot", o.record.evidence()).fixedBy(f.seeMore), true
	case o.recordErr != nil:
		return foresee(finding.Unknown, "it is not known whether the boot script accepts the record of gpuworker-host: "+trim(o.recordErr.Error()), o.record.line("is damaged")).
			fixedBy("move /" + o.record.name + " away, then: " + bind), true
	}
	if differs := o.card.Differs(f.fingerprint(function.BDF.Slot)); differs != "" {
		return foresee(finding.Fail, "the record of gpuworker-host is for another card, so nothing is bound at boot: "+trim(differs), o.record.line(differs)).
			fixedBy(strings.Replace(bind, hostbind.BindVerb, hostbind.UnbindVerb, 1) + ", which touches no driver, then: " + bind), true
	}
	for _, shared := range f.mechanism.Shared {
		file := read(f.tree, shared.Name)
		switch err := hostbind.VerifySeal([]byte(file.body)); {
		case file.absent():
			return foresee(finding.Fail, fmt.Sprintf("/%s is missing, and without it nothing is bound at boot", shared.Name), file.evidence()).fixedBy(bind + " writes it again"), true
		case !file.ok():
			return foresee(finding.Unknown, fmt.Sprintf("/%s, which binds it at boot, could not be read", shared.Name), file.evidence()).fixedBy(f.seeMore), true
		case err != nil:
			return foresee(finding.Unknown, fmt.Sprintf("/%s, which binds it at boot, is not as gpuworker-host wrote it", shared.Name), file.line(err.Error())).
				fixedBy("move /" + shared.Name + " away, then: " + bind), true
		}
	}
	return f.inImages(function, o.record), true
}

// inImages is the outlook of a card when all files of gpuworker-host are present. If
// the initramfs lacks the record, a driver of the host takes the card first. If no
// initramfs is found, there may still be one of an unknown program.
func (f *facts) inImages(function *hostpci.Function, record text) outlook {
	for _, image := range f.mechanism.Images {
		listing := f.listing(image)
		switch {
		case listing.Err != nil:
			return foresee(finding.Unknown, "it is not known whether the initramfs has the record of gpuworker-host", Evidence{File: image, Says: why(listing.Err)}).fixedBy(f.seeMore)
		case !hostbind.InImage(listing.Text, record.name):
			return foresee(finding.Fail, "the initramfs was built without the record of gpuworker-host, so a driver of the host takes the card first", Evidence{File: image, Says: "lacks " + record.name}).
				fixedBy("run " + f.boot.initramfs())
		}
	}
	if wanting, sure := f.wanting(function); len(f.mechanism.Images) == 0 && (len(wanting) > 0 || !sure) {
		return foresee(finding.Unknown, "gpuworker-host binds it at boot, unless an initramfs has a driver for it; no initramfs was found to check", record.line("is for this card")).
			fixedBy("after the reboot: gpuworker-host assert " + function.BDF.String() + " --bound")
	}
	return foresee(finding.Pass, "gpuworker-host binds it at boot", record.line("is for this card"))
}

var errNotListed = errors.New("was not listed")

// listing returns the listing of an initramfs, from the caller or from a capture.
func (f *facts) listing(image string) hostbind.Listing {
	if listing, made := f.images[image]; made {
		return listing
	}
	kept := read(f.tree, path.Join(hosttree.CapturedImages, path.Base(image)))
	if kept.absent() {
		return hostbind.Listing{Err: errNotListed}
	}
	return hostbind.Listing{Text: kept.body, Err: kept.err}
}

// checkBound checks the state that `gpuworker-host bind` left. It has no finding for
// a card that was never bound.
func checkBound(f *facts, card hostpci.Card) []Finding {
	o, main := f.oursOf(card.Slot), card.Main()
	j := o.journal
	switch {
	case o.journalErr != nil:
		file := hostbind.JournalFile(card.Slot)
		return one(unfinished(card, finding.Unknown, "earlier changes to the card are not known, because its journal is not valid", trim(unwrapped(o.journalErr).Error())).
			fix("gpuworker-host list shows its drivers; when they are as they should be, move /" + file + " away, then: " + bindFix(main)))
	case j == nil:
		return nil
	case j.StuckNow(f.bootID):
		return one(unfinished(card, finding.Fail, "the card is stuck in the kernel: this write did not return: "+trim(j.Stuck.Step), "stuck").after(afterStuck(j)).
			fix("move the VMs of this host to another host, then reboot; to have the card bound after the reboot, first run: gpuworker-host bind " + main.BDF.String() + " --at-next-boot --yes").
			then("after the reboot the card answers"))
	case !j.Settled:
		says := "goal " + string(j.Goal) + about("at", j.Doing) + about("wrong", j.Wrong)
		return one(unfinished(card, finding.Fail, fmt.Sprintf("gpuworker-host %s was interrupted, or is still in progress", j.Goal.Verb()), says).
			fix(resume(j, main) + " continues it").then("gpuworker-host " + verbOf(j) + " " + main.BDF.String() + " says that there is nothing to do"))
	}
	return one(settled(j, card))
}

// settled is the finding for a card whose last run was completed.
func settled(j *hostbind.Journal, card hostpci.Card) Finding {
	var others []string
	for _, function := range card.Functions {
		if function.Driver != hostbind.VFIO {
			others = append(others, function.BDF.String()+" has "+cmp.Or(trim(function.Driver), "no driver"))
		}
	}
	switch {
	case len(others) == 0:
		return unfinished(card, finding.Pass, "gpuworker-host bound it to vfio-pci, and nothing is left to do", "bound, settled")
	case j.AtBoot:
		return unfinished(card, finding.Info, "gpuworker-host binds it to vfio-pci at the next boot and not before: "+strings.Join(others, ", "), "bound at the next boot, settled")
	}
	return unfinished(card, finding.Info, "another program changed its drivers after gpuworker-host bound it to vfio-pci: "+strings.Join(others, ", "), "bound, settled").
		fix(bindFix(card.Main()) + ", unless Proxmox binds it for a VM anyway")
}

// unfinished returns a finding with the journal as evidence.
func unfinished(card hostpci.Card, v finding.Verdict, reason, says string) Finding {
	return found(finding.HostBindUnfinished, v, reason).see(text{name: hostbind.JournalFile(card.Slot)}.line(says))
}

// afterStuck is the verdict for a stuck card after a reboot: the card answers again,
// but an unsettled run is still unfinished.
func afterStuck(j *hostbind.Journal) finding.Verdict {
	if j.Settled {
		return finding.Pass
	}
	return finding.Fail
}

// resume is the command that continues an interrupted run.
func resume(j *hostbind.Journal, main *hostpci.Function) string {
	words := []string{"gpuworker-host", verbOf(j), main.BDF.String()}
	if j.Goal == hostbind.Bound && j.AtBoot {
		words = append(words, "--at-next-boot")
	}
	if j.Goal == hostbind.Bound && !j.Persist {
		words = append(words, "--no-persist")
	}
	return strings.Join(append(words, "--yes"), " ")
}

func verbOf(j *hostbind.Journal) string {
	if j.Goal == hostbind.Bound {
		return hostbind.BindVerb
	}
	return hostbind.UnbindVerb
}

func about(what, text string) string {
	if text == "" {
		return ""
	}
	return ", " + what + ": " + trim(text)
}

func unwrapped(err error) error {
	var odd *hostbind.JournalError
	if errors.As(err, &odd) {
		return odd.Err
	}
	return err
}

// lostRecord reports whether a card should be bound at each boot but its record is
// missing.
func (f *facts) lostRecord(slot pci.Slot) (Evidence, bool) {
	o := f.oursOf(slot)
	lost := o.record.absent() && o.journal != nil && o.journal.Goal == hostbind.Bound && o.journal.Settled && o.journal.Persist
	return o.record.evidence(), lost
}
