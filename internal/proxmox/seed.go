package proxmox

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gpuworker/gpuworker/internal/fault"
	"github.com/gpuworker/gpuworker/internal/hypervisor"
	"github.com/gpuworker/gpuworker/internal/inventory"
	"github.com/gpuworker/gpuworker/pve"
)

// Progress of a seed, in memo.Count. memo.Written is the fingerprint of the image that
// was uploaded.
const (
	imageUploaded = iota + 1 // under the name for the drive
	mayNotRemove             // the login may not remove volumes, so the image is overwritten
)

const setSeedWords, removeSeedWords = "set the seed", "remove the seed"

// SetSeed implements hypervisor.Seeder. The image is uploaded first, and then put into the
// drive, by separate calls. The drive has a mark that says which image was uploaded; so the
// mark is removed before another image is uploaded under the name that the drive has.
func (b *Backend) SetSeed(ctx context.Context, ref inventory.VMRef, seed hypervisor.Seed, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	if len(seed.Image) == 0 || len(seed.Image)%isoSector != 0 {
		return nil, &fault.Error{
			Kind: fault.Invalid, Doing: setSeedWords, Where: place(ref), Fix: "this is a defect of gpuworker: report it with the command",
			Why: fmt.Sprintf("an ISO image has a whole number of sectors of %d bytes, but this one has %d bytes", isoSector, len(seed.Image)),
		}
	}
	wait, err := b.setSeed(ctx, ref, seed, recall(handle))
	return wait, b.wrapSeed(err, setSeedWords, ref)
}

func (b *Backend) setSeed(ctx context.Context, ref inventory.VMRef, seed hypervisor.Seed, m memo) (*hypervisor.Wait, error) {
	m, wait, err := b.awaitImage(ctx, m)
	if wait != nil || err != nil {
		return wait, err
	}
	found, running, err := b.proveAndLook(ctx, ref)
	if err != nil {
		return nil, err
	}
	at := found.next.seedOf(ref.UUID)
	volume, mark := b.seedVolume(at, ref, seed.Clean), imageMark(seed.Image)
	there, err := b.hasSeed(ctx, ref, at, volume, mark, len(seed.Image))
	switch {
	case err != nil:
		return nil, err
	case there:
		if running && waitsForStop(found.config.Options[at.key]) {
			return nil, b.changesAtStop(ref, at.key)
		}
		if !seed.Clean {
			return nil, nil
		}
		return b.removeImage(ctx, ref, b.seedVolume(at, ref, false), seed.Image, m)
	case running && !seed.Clean:
		return nil, b.bootedWithout(ref)
	case at.key == "":
		return nil, b.noFreeDrive(ref)
	case m.Count == imageUploaded && m.Written == mark && at.volume == volume && at.mark == mark && len(at.others) == 0:
		return nil, b.wrongSize(ref, volume)
	case m.Count == imageUploaded && m.Written == mark:
		return b.writeSeed(ctx, ref, found, at.withSeed(volume, mark), m)
	case at.volume == volume && at.mark != "" && at.mark != mark:
		return b.writeSeed(ctx, ref, found, at.withSeed(volume, ""), m)
	}
	return b.uploadImage(ctx, ref, volume, seed.Image, m, memo{Count: imageUploaded, Written: mark})
}

// seedVolume is the volume for a seed. It is on the storage of the seed that the VM has:
// the storage in the document may be another one since.
func (b *Backend) seedVolume(at seedDrive, ref inventory.VMRef, clean bool) string {
	storage := b.isoStorage()
	if at.volume != "" {
		storage = storageOf(at.volume)
	}
	return pve.UploadFile{Content: "iso", Name: inventory.SeedName(ref.UUID, clean)}.VolumeID(storage)
}

// hasSeed reports whether the drive has this image, and no other drive has a seed.
func (b *Backend) hasSeed(ctx context.Context, ref inventory.VMRef, at seedDrive, volume, mark string, size int) (bool, error) {
	if at.volume != volume || at.mark != mark || len(at.others) > 0 {
		return false, nil
	}
	is, err := b.imageSize(ctx, ref, volume)
	return is == int64(size), err
}

// imageSize is the size of an image; -1 when it is missing.
func (b *Backend) imageSize(ctx context.Context, ref inventory.VMRef, volume string) (int64, error) {
	info, err := b.client.VolumeInfo(ctx, ref.Host, volume)
	if noVolume(err) {
		return -1, nil
	}
	return info.Size, err
}

// writeSeed changes the drive. The next call sees the result.
func (b *Backend) writeSeed(ctx context.Context, ref inventory.VMRef, found observedVM, set options, m memo) (*hypervisor.Wait, error) {
	wait, err := b.write(ctx, ref, found, pve.ConfigUpdate{Set: set})
	if err != nil {
		return nil, err
	}
	if wait == nil {
		wait = callAgain()
	}
	wait.Handle = m.handle()
	return wait, nil
}

// changesAtStop is the error for a running VM whose CD was not exchanged. The first seed
// is not removed, because the VM still has it.
func (b *Backend) changesAtStop(ref inventory.VMRef, key string) error {
	return &fault.Error{
		Kind: fault.Refused, Doing: setSeedWords, Where: place(ref),
		Why: fmt.Sprintf("the CD in drive %s was not exchanged while the VM runs: the change waits until the VM is stopped", key),
		Fix: fmt.Sprintf("stop and start the worker: gpuworker park %[1]s, then gpuworker unpark %[1]s; then run the same command again", ref.Name),
	}
}

// RemoveSeeds implements hypervisor.Seeder.
func (b *Backend) RemoveSeeds(ctx context.Context, ref inventory.VMRef, blank []byte, handle hypervisor.Handle) (*hypervisor.Wait, error) {
	wait, err := b.removeSeeds(ctx, ref, blank, recall(handle))
	return wait, b.wrapSeed(err, removeSeedWords, ref)
}

func (b *Backend) removeSeeds(ctx context.Context, ref inventory.VMRef, blank []byte, m memo) (*hypervisor.Wait, error) {
	m, wait, err := b.awaitImage(ctx, m)
	if wait != nil || err != nil {
		return wait, err
	}
	found, running, err := b.proveAndLook(ctx, ref)
	switch {
	case pve.KindOf(err) == pve.NotFound: // the images have the UUID of the VM in their names
		if err := b.errorIfMoved(ctx, ref, removeSeedWords); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case running:
		return nil, &fault.Error{
			Kind: fault.Refused, Doing: removeSeedWords, Where: place(ref), Why: "the VM is running, and at its next start it would miss the image",
			Fix: "gpuworker park " + ref.Name + " stops the worker",
		}
	}
	at := found.next.seedOf(ref.UUID)
	for _, clean := range []bool{false, true} {
		if wait, err := b.removeImage(ctx, ref, b.seedVolume(at, ref, clean), blank, m); wait != nil || err != nil {
			return wait, err
		}
	}
	return nil, nil
}

// proveAndLook proves that a VM is ours and reports whether it runs.
func (b *Backend) proveAndLook(ctx context.Context, ref inventory.VMRef) (found observedVM, running bool, err error) {
	if found, err = b.prove(ctx, ref); err == nil {
		running, err = b.running(ctx, ref)
	}
	return found, running, err
}

func (b *Backend) bootedWithout(ref inventory.VMRef) error {
	return &fault.Error{
		Kind: fault.Refused, Doing: setSeedWords, Where: place(ref),
		Why: "the VM is running without this seed: cloud-init in the guest would take the new one for another machine, with new SSH host keys",
		Fix: "gpuworker plan shows what the worker needs",
	}
}

func (b *Backend) wrongSize(ref inventory.VMRef, volume string) error {
	return &fault.Error{
		Kind: fault.Failed, Doing: setSeedWords, Where: place(ref), Why: volume + " was uploaded, and it is missing on the storage or has another size than the image",
		Fix: fmt.Sprintf("look at the storage on %s: pvesm list %s --content iso; then run the same command again", ref.Host, storageOf(volume)),
	}
}

func (b *Backend) noFreeDrive(ref inventory.VMRef) error {
	return &fault.Error{
		Kind: fault.Refused, Doing: setSeedWords, Where: place(ref), Why: "the VM has no free CD drive: ide0, ide2 and sata0 to sata5 are in use",
		Fix: fmt.Sprintf("remove a drive of the template or of the VM that is not needed: qm config %s   (on %s) lists them", ref.ID, ref.Host),
	}
}

// wrapSeed is wrap with next steps for errors about ISO storages and images.
func (b *Backend) wrapSeed(err error, doing string, ref inventory.VMRef) error {
	if err == nil {
		return nil
	}
	wrapped := b.wrap(err, doing, place(ref))
	var f *fault.Error
	if fix := b.seedFix(err, ref); fix != "" && errors.As(wrapped, &f) {
		f.Fix = fix
	}
	return wrapped
}

const otherISOStorage = ", or name another storage in spec.proxmox.isoStorage of the Hypervisor"

func (b *Backend) seedFix(err error, ref inventory.VMRef) string {
	kind, storage := pve.KindOf(err), b.isoStorage()
	switch text := err.Error(); {
	case strings.Contains(text, "scp: stat local"): // the server loses uploads that it passes on to another host
		return fmt.Sprintf("run the same command again; if the image is lost each time on its way to %[1]s, write the address of %[1]s in spec.proxmox.endpoint of the Hypervisor", ref.Host)
	case kind == pve.NoSpace:
		return fmt.Sprintf("free space on storage %s of %s%s; then run the same command again", storage, ref.Host, otherISOStorage)
	case strings.Contains(text, "does not support 'iso' content"), strings.Contains(text, "can't upload to storage type"):
		return fmt.Sprintf("allow ISO images on storage %s (web interface: Datacenter, Storage, %[1]s, Content)%s", storage, otherISOStorage)
	case kind == pve.NotFound && whatOf(err) == "storage", strings.Contains(text, "is not available on node"), strings.Contains(text, "is disabled"):
		return fmt.Sprintf("make storage %s available on %s (web interface: Datacenter, Storage)%s", storage, ref.Host, otherISOStorage)
	case kind == pve.Unavailable && whatOf(err) == "storage":
		return fmt.Sprintf("look on %s why storage %s is not active: pvesm status; then run the same command again", ref.Host, storage)
	}
	return ""
}
