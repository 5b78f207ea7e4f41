package proxmox

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// seedDrive is the CD drive that has the seed of a VM, or that is to get it.
type seedDrive struct {
	key    string // "ide2"
	volume string // of our image, "local:iso/gpuworker-….iso"; "" for none of ours
	clean  bool
	// mark is the serial number of the drive. We write the fingerprint of the image into
	// it: the API shows neither the content nor a checksum of an ISO image, and the sizes
	// of two seeds are often equal.
	mark string
	// others are further drives from which cloud-init could read.
	others []string
}

// seedOf finds the seed of the VM with this UUID. Without one, the drive is the one of
// Proxmox's cloud-init, or a free one.
func (o options) seedOf(uuid string) seedDrive {
	var drive seedDrive
	var generated []string
	for _, key := range o.keys() {
		if isDrive(key) && property(o[key], "media", "") == "cdrom" {
			volume := property(o[key], "file", "file")
			owner, clean, ours := inventory.ParseSeedName(path.Base(volume))
			switch {
			case ours && owner == uuid && drive.volume == "":
				drive.key, drive.volume, drive.clean, drive.mark = key, volume, clean, property(o[key], "serial", "")
			case ours, isCloudInit(o[key]):
				generated = append(generated, key)
			}
		}
	}
	switch {
	case drive.key == "" && len(generated) > 0:
		drive.key, generated = generated[0], generated[1:]
	case drive.key == "":
		drive.key = o.freeDrive()
	}
	drive.others = generated
	return drive
}

// seedState converts the seed of the VM with this UUID.
func (o options) seedState(uuid string) inventory.SeedState {
	switch drive := o.seedOf(uuid); {
	case drive.volume == "":
		return inventory.NoSeed
	case drive.clean:
		return inventory.CleanSeed
	}
	return inventory.FirstSeed
}

// freeDrive is the name of a CD drive without a medium, which also a running VM can get
// one in, or of an unused one; "" when there is none. The machine type q35 has only ide0
// and ide2 of the IDE drives, so the others are not used.
func (o options) freeDrive() string {
	unused := ""
	for _, key := range []string{"ide2", "ide0", "sata0", "sata1", "sata2", "sata3", "sata4", "sata5"} {
		value, used := o[key]
		switch {
		case used && property(value, "media", "") == "cdrom" && property(value, "file", "file") == "none":
			return key
		case !used && unused == "":
			unused = key
		}
	}
	return unused
}

// withSeed returns the options that put an image into the drive. mark may be empty. The
// other drives are emptied and not removed: protected VMs keep their drives.
func (d seedDrive) withSeed(volume, mark string) options {
	value := volume + ",media=cdrom"
	if mark != "" {
		value += ",serial=" + mark
	}
	set := options{d.key: value}
	for _, key := range d.others {
		set[key] = "none,media=cdrom"
	}
	return set
}

// imageMark is the mark of an image. A serial number has at most 20 characters.
func imageMark(image []byte) string {
	sum := sha256.Sum256(image)
	return hex.EncodeToString(sum[:8])
}

// isoSector is the size of a sector of an ISO image, in bytes.
const isoSector = 2048

// overwritten returns an image that replaces the content of another one. Its size is no
// whole number of sectors, so that it is recognised by its size alone: no seed has such a
// size. Bytes after the end of an ISO image are ignored.
func overwritten(image []byte) []byte {
	return append(slices.Clone(image), make([]byte, isoSector/4)...)
}

func isOverwritten(size int64) bool { return size%isoSector == isoSector/4 }

// keys are the names of all options, sorted.
func (o options) keys() []string {
	keys := make([]string, 0, len(o))
	for key := range o {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// isDrive reports whether an option is a drive that can be a CD.
func isDrive(key string) bool {
	bus := strings.TrimRight(key, "0123456789")
	_, err := strconv.Atoi(key[len(bus):])
	return err == nil && slices.Contains([]string{"ide", "sata", "scsi", "virtio"}, bus)
}

func isCloudInit(value string) bool {
	return strings.Contains(property(value, "file", "file"), "cloudinit")
}

// waitsForStop reports whether a drive of a running VM has a change that is carried out
// only when the VM is stopped.
func waitsForStop(option pve.PendingOption) bool { return option.HasPending || option.Delete }
