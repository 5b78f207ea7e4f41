package inventory

import (
	"fmt"
	"regexp"
)

// SeedState says which seed of ours is attached to a VM: an ISO image with the data for
// cloud-init.
type SeedState string

// The states of a seed.
const (
	NoSeed    SeedState = ""      // none of ours: cloud-init reads from another drive, or from nothing
	FirstSeed SeedState = "first" // the one for the first boot, which may have secrets
	CleanSeed SeedState = "clean" // the one that replaces it after the bootstrap: identity and network only
)

// SeedImage is the image of a seed on a storage.
type SeedImage struct {
	Host   string `json:"host"` // a host that can see the storage
	Volume string `json:"volume"`
	UUID   string `json:"uuid"` // of its VM
	Clean  bool   `json:"clean"`
	Size   int64  `json:"size"` // bytes
}

// SeedName is the file name of the seed of the VM with this SMBIOS UUID. The clean one has
// another name, so that it can be uploaded while the VM still has the first.
func SeedName(uuid string, clean bool) string {
	if clean {
		return fmt.Sprintf("gpuworker-%s-clean.iso", uuid)
	}
	return fmt.Sprintf("gpuworker-%s.iso", uuid)
}

var seedName = regexp.MustCompile(`^gpuworker-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(-clean)?\.iso$`)

// ParseSeedName reads a name that SeedName wrote.
func ParseSeedName(name string) (uuid string, clean, ok bool) {
	parts := seedName.FindStringSubmatch(name)
	if parts == nil {
		return "", false, false
	}
	return parts[1], parts[2] != "", true
}
