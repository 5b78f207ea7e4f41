package v1alpha1

import (
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gpuworker/gpuworker/internal/fieldpath"
	"github.com/gpuworker/gpuworker/internal/phrase"
)

// Limits of a VM.
const (
	mostCores = 512
	mebibyte  = int64(1) << 20

	leastMemory = 512 * mebibyte
	mostMemory  = 64 << 20 * mebibyte // 64 TiB: no host has more
	mostDisk    = 1 << 30 * mebibyte  // 1 PiB
)

func (o *object) machine(path string, spec WorkerPoolSpec) {
	m := spec.Machine
	if m.Cores < 0 || m.Cores > mostCores {
		o.errorf(fieldpath.Under(path, "cores"), "%d is not a number of cores; write 1 to %d", m.Cores, mostCores)
	}
	o.memory(fieldpath.Under(path, "memory"), m.Memory)
	o.disk(fieldpath.Under(path, "disk"), m.Disk)
	oneOf(o, fieldpath.Under(path, "firmware"), m.Firmware, UEFI, BIOS, FirmwareTemplate)
	if m.Firmware == BIOS && len(spec.GPUs) > 0 {
		o.warnf(fieldpath.Under(path, "firmware"), "a BIOS places no BARs above 4 GiB, which a large card needs; UEFI is the safe choice with gpus")
	}
}

func (o *object) memory(path string, q resource.Quantity) {
	bytes := q.Value()
	switch {
	case bytes == 0:
	case bytes < leastMemory && bytes >= mebibyte:
		o.errorf(path, "%s is too little; a worker needs at least %s", q.String(), Least("memory"))
	case bytes < leastMemory:
		o.errorf(path, "%s is %d bytes, but a worker needs at least 512Mi; write a unit, for example \"16Gi\"", q.String(), bytes)
	case bytes > mostMemory:
		o.errorf(path, "%s is more than any host has; is the unit right?", q.String())
	default:
		o.wholeMiB(path, q)
	}
}

func (o *object) disk(path string, d Disk) {
	size, bytes := fieldpath.Under(path, "size"), d.Size.Value()
	switch {
	case bytes == 0:
	case bytes < mebibyte:
		o.errorf(size, "%s is %d bytes, which is too small for a disk; write a unit, for example \"80Gi\"", d.Size.String(), bytes)
	case bytes > mostDisk:
		o.errorf(size, "%s is more than any storage has; is the unit right?", d.Size.String())
	default:
		o.wholeMiB(size, d.Size)
	}
	o.storageName(fieldpath.Under(path, "storage"), d.Storage)
}

// storageName checks the name of a storage, if there is one.
func (o *object) storageName(path, name string) {
	if name != "" && !storageForm.MatchString(name) {
		o.errorf(path, "%s is not the name of a Proxmox storage; it begins with a letter, ends with a letter or digit, and may have letters, digits, - _ . inside", phrase.Quote(name))
	}
}

// storageForm is Proxmox's format pve-storage-id.
var storageForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]$`)

// wholeMiB requires a size that the hypervisor can set exactly, so that declared and
// observed sizes never differ by rounding.
func (o *object) wholeMiB(path string, q resource.Quantity) {
	if bytes := q.Value(); bytes%mebibyte != 0 {
		o.errorf(path, "%s is %d bytes, which is not a whole number of MiB; write %q", q.String(), bytes, wholeSize(q))
	}
}

// wholeSize is the size that was probably meant: 16Gi for 16G, or else the nearest whole
// number of MiB.
func wholeSize(q resource.Quantity) string {
	if text := q.String(); strings.ContainsAny(text[len(text)-1:], "MGTP") {
		return text + "i"
	}
	return resource.NewQuantity((q.Value()+mebibyte/2)/mebibyte*mebibyte, resource.BinarySI).String()
}
