package capture

import (
	"path"
	"regexp"
	"strings"

	hostbind "github.com/gpuworker/gpuworker/internal/host/bind"
	hosttree "github.com/gpuworker/gpuworker/internal/host/tree"
)

// ours copies the files of gpuworker-host itself. Records and journals have a
// checksum, so they are parsed and written again without the card's serial number.
func (c *capture) ours() {
	c.each("etc/gpuworker-host/cards/*", c.record)
	c.each("var/lib/gpuworker-host/journal/*", c.journal)
	c.content("proc/sys/kernel/random/boot_id", c.scrub.text)
	mechanism := hostbind.FindMechanism(c.tree)
	for _, file := range mechanism.Shared {
		c.content(file.Name, func(data []byte) []byte {
			if hostbind.VerifySeal(data) == nil {
				return data
			}
			return damaged(data)
		})
	}
	for _, program := range []string{"update-initramfs", "mkinitramfs", "dracut", "driverctl"} {
		for _, dir := range []string{"usr/sbin", "usr/bin", "sbin", "bin"} {
			c.presence(path.Join(dir, program))
		}
	}
	for _, image := range mechanism.Images {
		c.image(strings.TrimPrefix(image, "/"))
	}
}

// record copies the record of a card that is bound at boot.
func (c *capture) record(name string) {
	c.content(name, func(data []byte) []byte {
		card, err := hostbind.ParseCard(data)
		if err != nil {
			return damaged(data)
		}
		card.Serial = ""
		return hostbind.FormatCard(card)
	})
}

// damaged replaces the content of a changed file of gpuworker-host: only the line
// with the checksum stays, which is then wrong.
func damaged(data []byte) []byte {
	return append(lines(data, func(line string) bool { return line == "#!/bin/sh\n" || sealed.MatchString(line) }), "damaged\n"...)
}

var sealed = regexp.MustCompile(`^# Written by gpuworker-host, which also removes it\. Do not edit\. sha256 [0-9a-f]{64}\n$`)

// journal copies the journal of a card.
func (c *capture) journal(name string) {
	if path.Ext(name) != ".json" {
		return
	}
	c.content(name, func(data []byte) []byte {
		j, err := hostbind.ParseJournal(data)
		if err != nil {
			return []byte("damaged\n")
		}
		plain := func(text string) string { return string(c.scrub.text([]byte(text))) }
		wrong, _, _ := strings.Cut(j.Wrong, "; it printed: ") // the output of a program may have anything in it
		j.Card.Serial, j.Doing, j.Wrong = "", plain(j.Doing), plain(wrong)
		if j.Stuck != nil {
			j.Stuck = &hostbind.Stuck{Step: plain(j.Stuck.Step), BootID: plain(j.Stuck.BootID)}
		}
		return hostbind.FormatJournal(j)
	})
}

// image records that an initramfs exists for a kernel, and which of our records are
// in it.
func (c *capture) image(name string) {
	c.to.WriteFile(name, nil)
	c.to.Mkdir(path.Join("lib/modules", release(path.Base(name))))
	listing, made := c.options.Images["/"+name]
	kept := path.Join(hosttree.CapturedImages, path.Base(name))
	switch {
	case !made: // keep that of an earlier capture
		c.content(kept, func(data []byte) []byte { return recordsIn(string(data)) })
	case listing.Err != nil:
		c.to.Deny(kept)
	default:
		c.to.WriteFile(kept, recordsIn(listing.Text))
	}
}

// release is the version of the kernel that an initramfs is for.
func release(image string) string {
	version, _ := strings.CutPrefix(image, "initrd.img-")
	version, _ = strings.CutPrefix(version, "initramfs-")
	return strings.TrimSuffix(version, ".img")
}

// recordsIn returns the names of our records from the listing of an initramfs.
func recordsIn(listing string) []byte {
	var kept []byte
	for line := range strings.Lines(listing) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if name := strings.TrimPrefix(fields[len(fields)-1], "./"); strings.HasPrefix(name, "etc/gpuworker-host/cards/") && path.Ext(name) == ".card" {
			kept = append(kept, name+"\n"...)
		}
	}
	return kept
}
