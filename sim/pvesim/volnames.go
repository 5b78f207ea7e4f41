package pvesim

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// volumeKind is the information in the name of a volume.
type volumeKind struct {
	content string // images, iso, vztmpl, backup, snippets, import
	vmid    int    // of a disk
	format  string // of a disk
}

var (
	diskNameForm  = regexp.MustCompile(`^(?:\d+/\S+/)?(\d+)/([^/\s]+)$`)
	imageNameForm = regexp.MustCompile(`^[^/\s]+\.(raw|qcow2|vmdk|subvol)$`)
	fileNameForms = []struct {
		content string
		form    *regexp.Regexp
	}{
		{"iso", regexp.MustCompile(`^iso/[^/]+\.(?i:iso|img)$`)},
		{"vztmpl", regexp.MustCompile(`^vztmpl/[^/]+\.(?i:tar\.(?:gz|xz|zst|bz2)|tar)$`)},
		{"backup", regexp.MustCompile(`^backup/[^/]+\.(?:tgz|(?:tar|vma)(?:\.(?:gz|lzo|zst|bz2))?)$`)},
		{"snippets", regexp.MustCompile(`^snippets/[^/]+$`)},
		{"import", regexp.MustCompile(`^import/[^/]+\.(?i:ova|ovf|qcow2|raw|vmdk)$`)},
	}
)

// parseVolumeName reads the name of a volume on a storage with files; other storages have
// only disks.
func parseVolumeName(st *storage, name string) (volumeKind, error) {
	if !st.files() {
		vmid := regexp.MustCompile(`^(?:vm|base)-(\d+)-`).FindStringSubmatch(name)
		if vmid == nil {
			return volumeKind{}, die("unable to parse lvm volume name '%s'", name)
		}
		id, _ := strconv.Atoi(vmid[1])
		return volumeKind{content: "images", vmid: id, format: "raw"}, nil
	}
	if m := diskNameForm.FindStringSubmatch(name); m != nil {
		id, _ := strconv.Atoi(m[1])
		image := imageNameForm.FindStringSubmatch(m[2])
		if image == nil {
			return volumeKind{}, die("unable to parse volume filename '%s'", m[2])
		}
		return volumeKind{content: "images", vmid: id, format: image[1]}, nil
	}
	for _, kind := range fileNameForms {
		if kind.form.MatchString(name) {
			return volumeKind{content: kind.content}, nil
		}
	}
	return volumeKind{}, die("unable to parse directory volume name '%s'", name)
}

// volumeKindOf reads a volume's id. The storage must exist, the volume need not.
func (s *Sim) volumeKindOf(d drive) (volumeKind, error) {
	name, rest, ok := d.volume()
	if !ok {
		return volumeKind{}, die("unable to parse volume ID '%s'", d.file)
	}
	st := s.storages[name]
	if st == nil {
		return volumeKind{}, die("storage '%s' does not exist", name)
	}
	return parseVolumeName(st, rest)
}

// volumePerm requires the privileges for using an existing volume: on the storage for
// ISO images, on the other VM for its disks.
func (s *Sim) volumePerm(caller identity, vmid int, d drive) error {
	name, _, ok := d.volume()
	if !ok {
		if !caller.isRoot() {
			return die("Only root can pass arbitrary filesystem paths.")
		}
		return nil
	}
	kind, err := s.volumeKindOf(d)
	path := "/storage/" + name
	switch {
	case err != nil || s.may(caller, path, "Datastore.Allocate"):
		return err
	case kind.content == "iso" || kind.content == "vztmpl" || kind.content == "import":
		return s.needAny(caller, path, "Datastore.AllocateSpace", "Datastore.Audit")
	case kind.vmid != 0 && kind.vmid == vmid:
		return nil
	case kind.vmid != 0:
		if err := s.need(caller, path, "Datastore.Audit"); err != nil {
			return err
		}
		return s.need(caller, vmPath(kind.vmid), "VM.Config.Disk")
	}
	return die("missing privileges to access %s", d.file)
}

// checkDrive returns the error for a well-formed drive that is not valid.
func (s *Sim) checkDrive(key string, sets map[string]string) error {
	d := parseDrive(sets[key])
	if d.contradicts(key) {
		return badParam(key, "unable to parse drive options")
	}
	if err := d.checkImport(key); err != nil {
		return err
	}
	if strings.HasPrefix(d.file, "/") && !strings.HasPrefix(d.file, "/dev/") {
		return badParam(key, "unable to associate path '%s' to any storage", d.file)
	}
	_, justMade := d.newCloudInit()
	if _, _, allocates := d.allocation(); allocates || justMade {
		return nil
	}
	if _, _, ok := d.volume(); !ok {
		return nil
	}
	kind, err := s.volumeKindOf(d)
	if err == nil && kind.content == "iso" && !d.isCDROM() {
		return badParam(key, "explicit 'media=cdrom' is required for iso images")
	}
	return err
}

// checkImport checks that a disk copied from another volume has no size.
func (d drive) checkImport(key string) error {
	if d.props["import-from"] == "" {
		return nil
	}
	if _, size, ok := d.allocation(); !ok || size != 0 {
		return badParam(key, "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>")
	}
	for _, name := range map[string][]string{"efidisk0": {"efitype", "pre-enrolled-keys"}, "tpmstate0": {"version"}}[key] {
		if d.props[name] == "" {
			return badParam(key, "need to specify '%s' when using 'import-from'", name)
		}
	}
	return nil
}

// importPerm requires the privileges on the source of a copied disk.
func (s *Sim) importPerm(caller identity, vmid int, key string, d drive) error {
	source := drive{file: d.props["import-from"]}
	if source.file == "" {
		return nil
	}
	if _, _, ok := source.volume(); !ok {
		return s.volumePerm(caller, vmid, source)
	}
	kind, err := s.volumeKindOf(source)
	switch {
	case err != nil:
		return err
	case kind.content != "images" && kind.content != "import":
		return badParam(key, "%s has wrong type '%s' - needs to be 'images' or 'import'", source.file, kind.content)
	case kind.vmid != 0:
		return s.need(caller, fmt.Sprint("/vms/", kind.vmid), "VM.Clone")
	}
	return s.volumePerm(caller, vmid, source)
}
