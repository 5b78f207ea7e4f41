package capture

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpuworker/gpuworker/sim/pvesim"
)

// simulated returns the type of pvesim that replaces an unsupported type of storage: it
// depends on whether the storage keeps files and is shared.
func simulated(s apiStorage) string {
	files := slices.Contains([]string{"btrfs", "cephfs", "cifs", "dir", "esxi", "nfs", "pbs"}, s.Type)
	switch {
	case s.Type == "dir":
		return "dir" // may be marked as shared
	case s.shared():
		return "nfs"
	case files:
		return "dir"
	}
	return "lvmthin"
}

func (b *builder) storages() {
	slices.SortFunc(b.in.Storages, func(x, y apiStorage) int { return natural(x.Storage, y.Storage) })
	for _, in := range b.in.Storages {
		s := pvesim.Storage{Name: b.names.of(storageKind, in.Storage), Type: simulated(in), Content: contents(in.Content),
			Shared: in.Shared.set(), Disabled: in.Disable.set()}
		if s.Type != in.Type {
			b.assumed(fmt.Sprintf("storage %s behaves like %s", s.Name, s.Type), "pvesim does not support "+matched(in.Type, `^[a-z]{1,20}$`), "")
			s.Shared = s.Type == "nfs"
		}
		if s.Type == "dir" {
			s.Path = either(in.Path == "/var/lib/vz" || b.names.keep, in.Path, "/srv/"+s.Name)
		}
		for _, node := range split(in.Nodes) {
			if b.in.Hosts[node] != nil {
				s.Nodes = append(s.Nodes, b.names.of(hostKind, node))
			}
		}
		slices.SortFunc(s.Nodes, natural)
		s.CapacityGiB = b.capacity(s.Name, in)
		b.world.Storages = append(b.world.Storages, s)
	}
	b.hiddenStorages()
	slices.SortFunc(b.world.Storages, func(x, y pvesim.Storage) int { return natural(x.Name, y.Name) })
}

var knownContents = []string{"images", "rootdir", "iso", "vztmpl", "backup", "snippets", "import"}

// contents returns the content types sorted, because the API returns them unordered.
func contents(text string) []string {
	out := []string{}
	given := split(text)
	for _, content := range knownContents {
		if slices.Contains(given, content) {
			out = append(out, content)
		}
	}
	return out
}

// capacity is the size on the smallest host, because a world has one size for all hosts.
func (b *builder) capacity(name string, in apiStorage) float64 {
	sizes := map[float64]bool{}
	for _, host := range b.in.Hosts {
		for _, there := range host.Storages {
			if size := gib(there.Total); there.Storage == in.Storage && size > 0 {
				sizes[size] = true
			}
		}
	}
	all := slices.Sorted(maps.Keys(sizes))
	switch len(all) {
	case 0:
		return 0
	case 1:
	default:
		b.assumed(fmt.Sprintf("storage %s has %g GiB on each host", name, all[0]),
			fmt.Sprintf("a world has one size for all hosts, and the sizes are up to %g GiB", all[len(all)-1]), "")
	}
	return all[0]
}

// hiddenStorages adds the storages that VMs use but that the login may not see.
func (b *builder) hiddenStorages() {
	seen := map[string]bool{}
	for _, s := range b.world.Storages {
		seen[s.Name] = true
	}
	files := map[string]bool{}
	for _, id := range b.vmIDs() {
		for _, option := range b.in.VMs[id].Options {
			for _, value := range []*scalar{option.Value, option.Pending} {
				if value == nil || !driveForm(option.Key) {
					continue
				}
				if storage, volume, ok := strings.Cut(firstProperty(string(*value)), ":"); ok && storage != "" && !strings.HasPrefix(storage, "/") {
					name := b.names.of(storageKind, storage)
					files[name] = files[name] || strings.Contains(volume, "/")
				}
			}
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(files), natural) {
		if seen[name] {
			continue
		}
		kind := either(files[name], "dir", "lvmthin")
		b.assumed(fmt.Sprintf("storage %s is of type %s and has disks of VMs", name, kind),
			"VMs use it, but the login may not see it", giveAuditor)
		b.world.Storages = append(b.world.Storages, pvesim.Storage{Name: name, Type: kind, Content: []string{"images"},
			Path: either(files[name], "/srv/"+name, "")})
	}
}

func driveForm(key string) bool {
	base := optionIndex.ReplaceAllString(key, "")
	return base != key && slices.Contains([]string{"ide", "scsi", "sata", "virtio", "efidisk", "tpmstate"}, base)
}

// volumes builds the files of storages. They get pseudonyms after the files of VMs.
func (b *builder) volumes() {
	for i := range b.world.Storages {
		s := &b.world.Storages[i]
		for _, host := range slices.SortedFunc(maps.Keys(b.in.Hosts), natural) {
			for storage, volumes := range b.in.Hosts[host].Volumes {
				if b.names.of(storageKind, storage) == s.Name {
					s.Volumes = append(s.Volumes, b.files(volumes, either(s.Shared || s.Type == "nfs", "", b.names.of(hostKind, host)))...)
				}
			}
		}
		slices.SortFunc(s.Volumes, func(x, y pvesim.Volume) int { return cmp.Or(natural(x.Name, y.Name), natural(x.Host, y.Host)) })
	}
}

func (b *builder) files(in []apiVolume, host string) []pvesim.Volume {
	slices.SortFunc(in, func(x, y apiVolume) int { return natural(x.VolID, y.VolID) })
	var out []pvesim.Volume
	for _, volume := range in {
		_, name, _ := strings.Cut(volume.VolID, ":")
		kind, file, ok := strings.Cut(name, "/")
		if ok && slices.Contains(fileContents, kind) {
			out = append(out, pvesim.Volume{Name: b.names.file(kind, file), Host: host, Size: int64(volume.Size.number())})
		}
	}
	return out
}
