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

// ours is what `gpuworker-host bind` keeps of one card.
type ours struct {
	journal    *hostbind.Journal
	journalErr error

	record    text // the file for the boot
	card      hostbind.Card
	recordErr error // it is there and damaged
}

// oursOf reads what bind keeps of a card.
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

// fingerprint is a card as it is now.
func (f *facts) fingerprint(slot pci.Slot) hostbind.Card {
	return hostbind.Fingerprint(f.tree, hostpci.Card{Slot: slot, Functions: f.pci.Slot(slot)})
}

// atBoot is what our own files make of a function at the next boot; false when
// there is no record of its card.
func (f *facts) atBoot(function *hostpci.Function) (next outlook, recorded bool) {
	o, bind := f.oursOf(function.BDF.Slot), bindFix(function)
	switch {
	case o.record.absent():
		return outlook{}, false
	case !o.record.ok():
		return foresee(finding.Unknown, "whether gpuworker-host binds it at boot could not be read", o.record.evidence()).fixedBy(f.seeMore), true
	case o.recordErr != nil:
		return foresee(finding.Unknown, "what the boot makes of the record of gpuworker-host cannot be told: "+trim(o.recordErr.Error()), o.record.line("is damaged")).
			fixedBy("move /" + o.record.name + " away, then: " + bind), true
	}
	if differs := o.card.Differs(f.fingerprint(function.BDF.Slot)); differs != "" {
		return foresee(finding.Fail, "the record of gpuworker-host means another card, so nothing is bound at boot: "+trim(differs), o.record.line(differs)).
			fixedBy(strings.Replace(bind, hostbind.BindVerb, hostbind.UnbindVerb, 1) + ", which touches no driver, then: " + bind), true
	}
	for _, shared := range f.mechanism.Shared {
		file := read(f.tree, shared.Name)
		switch err := hostbind.VerifySeal([]byte(file.body)); {
		case file.absent():
			return foresee(finding.Fail, fmt.Sprintf("/%s is gone, without which nothing is bound at boot", shared.Name), file.evidence()).fixedBy(bind + " writes it anew"), true
		case !file.ok():
			return foresee(finding.Unknown, fmt.Sprintf("/%s, which binds it at boot, could not be read", shared.Name), file.evidence()).fixedBy(f.seeMore), true
		case err != nil:
			return foresee(finding.Unknown, fmt.Sprintf("/%s, which binds it at boot, is not as gpuworker-host wrote it", shared.Name), file.line(err.Error())).
				fixedBy("move /" + shared.Name + " away, then: " + bind), true
		}
	}
	return f.inImages(function, o.record), true
}

// inImages is the outlook of a card of which all our files are there: an initramfs
// that lacks its record has a driver of the host before us. Where none is found to
// look into, there may be one all the same, of a program that we do not know.
func (f *facts) inImages(function *hostpci.Function, record text) outlook {
	for _, image := range f.mechanism.Images {
		listing := f.listing(image)
		switch {
		case listing.Err != nil:
			return foresee(finding.Unknown, "whether the initramfs has the record of gpuworker-host could not be read", Evidence{File: image, Says: why(listing.Err)}).fixedBy(f.seeMore)
		case !hostbind.InImage(listing.Text, record.name):
			return foresee(finding.Fail, "the initramfs was made without the record of gpuworker-host, so a driver of the host is there first", Evidence{File: image, Says: "lacks " + record.name}).
				fixedBy("run " + f.boot.initramfs())
		}
	}
	if wanting, sure := f.wanting(function); len(f.mechanism.Images) == 0 && (len(wanting) > 0 || !sure) {
		return foresee(finding.Unknown, "gpuworker-host binds it at boot, unless an initramfs has a driver for it; none was found to look into", record.line("means this card")).
			fixedBy("after the reboot: gpuworker-host assert " + function.BDF.String() + " --bound")
	}
	return foresee(finding.Pass, "gpuworker-host binds it at boot", record.line("means this card"))
}

var errNotListed = errors.New("was not listed")

// listing is that of an initramfs: what the caller made, or a capture kept.
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

// checkBound judges what our own bind left of a card, as bind and assert do. Of a
// card that bind never had there is nothing to say.
func checkBound(f *facts, card hostpci.Card) []Finding {
	o, main := f.oursOf(card.Slot), card.Main()
	j := o.journal
	switch {
	case o.journalErr != nil:
		file := hostbind.JournalFile(card.Slot)
		return one(unfinished(card, finding.Unknown, "what was done to the card is not known, since its journal cannot be trusted", trim(unwrapped(o.journalErr).Error())).
			fix("gpuworker-host list shows its drivers; when they are as they should be, move /" + file + " away, then: " + bindFix(main)))
	case j == nil:
		return nil
	case j.StuckNow(f.bootID):
		return one(unfinished(card, finding.Fail, "the card is stuck in the kernel: this write did not return: "+trim(j.Stuck.Step), "stuck").after(afterStuck(j)).
			fix("move what runs on this host elsewhere, then reboot; to have the card bound from then on, say first: gpuworker-host bind " + main.BDF.String() + " --at-next-boot --yes").
			then("after the reboot the card answers"))
	case !j.Settled:
		says := "goal " + string(j.Goal) + about("at", j.Doing) + about("wrong", j.Wrong)
		return one(unfinished(card, finding.Fail, fmt.Sprintf("a run on the way to %q was cut off, or is at work still", j.Goal), says).
			fix(resume(j, main) + " goes on from there").then("gpuworker-host " + verbOf(j) + " " + main.BDF.String() + " says that there is nothing to do"))
	}
	return one(settled(j, card))
}

// settled is a card that was bound, or will be at the next boot, and what became of
// it since.
func settled(j *hostbind.Journal, card hostpci.Card) Finding {
	var others []string
	for _, function := range card.Functions {
		if function.Driver != hostbind.VFIO {
			others = append(others, function.BDF.String()+" has "+cmp.Or(trim(function.Driver), "no driver"))
		}
	}
	switch {
	case len(others) == 0:
		return unfinished(card, finding.Pass, "gpuworker-host gave it to vfio-pci, and nothing is left to do", "bound, settled")
	case j.AtBoot:
		return unfinished(card, finding.Info, "gpuworker-host gives it to vfio-pci at the next boot and not before: "+strings.Join(others, ", "), "bound at the next boot, settled")
	}
	return unfinished(card, finding.Info, "somebody moved the card since gpuworker-host gave it to vfio-pci: "+strings.Join(others, ", "), "bound, settled").
		fix(bindFix(card.Main()) + ", unless a VM is to have it anyway")
}

// unfinished is a finding with the journal for evidence.
func unfinished(card hostpci.Card, v finding.Verdict, reason, says string) Finding {
	return found(finding.HostBindUnfinished, v, reason).see(text{name: hostbind.JournalFile(card.Slot)}.line(says))
}

// afterStuck is what a reboot makes of a card that is stuck: it answers again, but
// the run that was cut off stays cut off unless it was settled for the boot.
func afterStuck(j *hostbind.Journal) finding.Verdict {
	if j.Settled {
		return finding.Pass
	}
	return finding.Fail
}

// resume is the command that goes on with a run that was cut off.
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

// lostRecord reports whether bind was to keep a card over reboots and its file is gone.
func (f *facts) lostRecord(slot pci.Slot) (Evidence, bool) {
	o := f.oursOf(slot)
	lost := o.record.absent() && o.journal != nil && o.journal.Goal == hostbind.Bound && o.journal.Settled && o.journal.Persist
	return o.record.evidence(), lost
}
