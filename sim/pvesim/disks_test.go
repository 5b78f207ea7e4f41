package pvesim

import (
	"fmt"
	"slices"
	"testing"
)

// recordedRoot is the password of root@pam in the world of the recordings.
const recordedRoot = "rec-root-pass"

func TestADiskGoesToAnotherVM(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, recorded(t))
		root := sim.asRoot(t, recordedRoot)
		vmWith(root, "pve1", 300, "memory", "256", "cores", "1", "scsi0", "images:1", "scsi1", "images:1,format=qcow2", "ide2", "none,media=cdrom")
		vmWith(root, "pve1", 301, "memory", "256", "cores", "1", "sata0", "nas:1")
		templateOf(root, 302)
		move := func(fields ...string) *reply { return root.do("POST", qemu("pve1", 300, "/move_disk"), fields...) }
		for name, tc := range map[string]struct {
			fields []string
			code   int
			want   string
		}{
			"to itself":            {[]string{"disk", "scsi0", "target-vmid", "300"}, 400, "Parameter verification failed."},
			"to a VM that is not":  {[]string{"disk", "scsi0", "target-vmid", "9999"}, 500, "could not find target VM 9999"},
			"one that is not":      {[]string{"disk", "scsi7", "target-vmid", "301"}, 500, "Disk 'scsi7' for VM '300' does not exist"},
			"to a place in use":    {[]string{"disk", "scsi0", "target-vmid", "301", "target-disk", "sata0"}, 500, "Target disk key 'sata0' is already in use for VM '301'"},
			"a CD":                 {[]string{"disk", "ide2", "target-vmid", "301"}, 500, "CD drive contents can't be moved to another VM"},
			"to a template":        {[]string{"disk", "scsi0", "target-vmid", "302"}, 500, "Can't move disks from or to template VMs"},
			"after another change": {[]string{"disk", "scsi0", "target-vmid", "301", "digest", "x"}, 500, "VM 300: detected modified configuration - file changed by other user? Try again."},
		} {
			if got := move(tc.fields...); got.code != tc.code || got.reason != tc.want {
				t.Errorf("%s: got %d %q, want %d %q", name, got.code, got.reason, tc.code, tc.want)
			}
		}
		log := root.done(move("disk", "scsi0", "target-vmid", "301"), "OK")
		if want := "removing disk 'scsi0' from boot order config"; !slices.Contains(log, want) {
			t.Errorf("the log does not say %q: %q", want, log)
		}
		root.done(move("disk", "scsi1", "target-vmid", "301", "target-disk", "unused0"), "OK")
		from, to := sim.State().VMs[300].Config, sim.State().VMs[301].Config
		if from["scsi0"]+from["scsi1"] != "" || to["scsi0"] != "images:301/vm-301-disk-0.raw,size=1G" || to["unused0"] != "images:301/vm-301-disk-1.qcow2" {
			t.Errorf("from %v\nto %v", from, to)
		}
		root.done(root.do("POST", qemu("pve1", 301, "/status/start")), "OK")
		root.do("POST", qemu("pve1", 301, "/move_disk"), "disk", "scsi0", "target-vmid", "300").
			refused(500, "Cannot move disk to another VM while the source VM is running - detach first")
	})
}

// templateOf creates a template and adds a second disk, a base image like the first.
func templateOf(root *client, id int) {
	root.t.Helper()
	vmWith(root, "pve1", id, "memory", "256", "cores", "1", "scsi0", "images:1")
	root.done(root.do("POST", qemu("pve1", id, "/template")), "OK")
	root.do("PUT", qemu("pve1", id, "/config"), "scsi1", "images:1").ok()
	if got, want := root.do("GET", qemu("pve1", id, "/config")).object()["scsi1"], fmt.Sprintf("images:%d/base-%d-disk-1.raw,size=1G", id, id); got != want {
		root.t.Errorf("the disk of a template is %v, want %s", got, want)
	}
}

func TestADiskIsImportedFromAnother(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, recorded(t))
		root := sim.asRoot(t, recordedRoot)
		vmWith(root, "pve1", 300, "memory", "256", "cores", "1", "scsi0", "images:2")
		path := qemu("pve1", 300, "/config")
		root.do("PUT", path, "scsi1", "images:0,import-from=images:300/vm-300-disk-0.raw").ok()
		root.do("PUT", path, "scsi2", "nas:0,import-from=images:300/vm-300-disk-0.raw,format=qcow2").ok()
		root.do("PUT", path, "scsi3", "images:0,import-from=images:300/vm-300-disk-9.raw").refused(500, "volume_size_info on 'images:300/vm-300-disk-9.raw' failed - no format")
		got := sim.State().VMs[300].Config
		if got["scsi1"] != "images:300/vm-300-disk-1.raw,size=2G" || got["scsi2"] != "nas:300/vm-300-disk-0.qcow2,size=2G" || got["scsi3"] != "" {
			t.Errorf("imported: %v", got)
		}
	})
}

func TestNamesOfVolumesSayWhatTheyAre(t *testing.T) {
	files, thin := &storage{Storage: Storage{Type: "dir"}}, &storage{Storage: Storage{Type: "lvmthin"}}
	for name, tc := range map[string]struct {
		st   *storage
		name string
		want volumeKind
		err  string
	}{
		"a disk":                    {files, "100/vm-100-disk-0.raw", volumeKind{"images", 100, "raw"}, ""},
		"a disk with a base":        {files, "9000/base-9000-disk-0.raw/100/vm-100-disk-0.qcow2", volumeKind{"images", 100, "qcow2"}, ""},
		"a disk of no known format": {files, "100/vm-100-disk-0.qed", volumeKind{}, "unable to parse volume filename 'vm-100-disk-0.qed'"},
		"an image to install from":  {files, "iso/debian-13.iso", volumeKind{content: "iso"}, ""},
		"an archive":                {files, "backup/vzdump-qemu-1.vma.zst", volumeKind{content: "backup"}, ""},
		"a snippet":                 {files, "snippets/user.yaml", volumeKind{content: "snippets"}, ""},
		"a template of a container": {files, "vztmpl/debian.tar.zst", volumeKind{content: "vztmpl"}, ""},
		"an image to import":        {files, "import/cloud.qcow2", volumeKind{content: "import"}, ""},
		"nothing known":             {files, "bogus", volumeKind{}, "unable to parse directory volume name 'bogus'"},
		"a logical volume":          {thin, "vm-100-disk-0", volumeKind{"images", 100, "raw"}, ""},
		"a strange logical volume":  {thin, "root", volumeKind{}, "unable to parse lvm volume name 'root'"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseVolumeName(tc.st, tc.name)
			if text := errorText(err); got != tc.want || text != tc.err {
				t.Errorf("got %+v, %q; want %+v, %q", got, text, tc.want, tc.err)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestAMappingIsComparedWithTheHardware(t *testing.T) {
	host := &host{Host: Host{PCI: []PCIFunction{
		{Address: "0000:af:00.0", ID: "10de:2204", Subsystem: "10de:1454", Group: 30},
		{Address: "0000:af:00.1", ID: "10de:1aef", Subsystem: "10de:1454", Group: 30},
		{Address: "0000:d8:00.0", ID: "1002:740f", Group: -1},
	}}}
	right := map[string]string{"path": "0000:af:00", "id": "10de:2204", "iommugroup": "30", "subsystem-id": "10de:1454"}
	for name, tc := range map[string]struct {
		change map[string]string
		mdev   string
		want   string
	}{
		"as it is":                 {nil, "", ""},
		"not there":                {map[string]string{"path": "0000:99:00.0"}, "", "pci device '0000:99:00.0' not found"},
		"another device":           {map[string]string{"id": "10de:1eb8"}, "", "'id' does not match for 'm' (10de:2204 != 10de:1eb8)"},
		"another group":            {map[string]string{"iommugroup": "31"}, "", "'iommugroup' does not match for 'm' (30 != 31)"},
		"no group":                 {map[string]string{"iommugroup": ""}, "", "missing expected property 'iommugroup' for device '0000:af:00.0'"},
		"no subsystem":             {map[string]string{"subsystem-id": ""}, "", "missing expected property 'subsystem-id' for device '0000:af:00.0'"},
		"a group where there's no": {map[string]string{"path": "0000:d8:00.0", "id": "1002:740f", "subsystem-id": ""}, "", "unexpected property 'iommugroup' configured for device '0000:d8:00.0'"},
		"mediated devices of none": {nil, "1", "'mdev' does not match for 'm' (0 != 1)"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := host.assertMapping(&mapping{id: "m", mdev: tc.mdev}, merge(right, tc.change)); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestASnapshotComesBackAndIsCloned(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, recorded(t))
		root := sim.asRoot(t, recordedRoot)
		vmWith(root, "pve1", 300, "memory", "256", "cores", "1", "scsi0", "images:1,format=qcow2", "description", "then")
		post := func(rest string, fields ...string) *reply { return root.do("POST", qemu("pve1", 300, rest), fields...) }
		root.done(post("/snapshot", "snapname", "s1"), "OK")
		root.do("PUT", qemu("pve1", 300, "/config"), "memory", "512", "scsi1", "images:1", "description", "now").ok()
		root.done(root.do("PUT", qemu("pve1", 300, "/resize"), "disk", "scsi0", "size", "+1G"), "OK")

		root.done(post("/clone", "newid", "301", "snapname", "s1"), "OK")
		if got := sim.State().VMs[301].Config; got["memory"] != "256" || got["scsi0"] != "images:301/vm-301-disk-0.qcow2,size=1G" || got["scsi1"] != "" {
			t.Errorf("the clone of the snapshot: %v", got)
		}
		post("/clone", "newid", "302", "snapname", "s1", "full", "0").refused(500, "Linked clone feature is not supported for a snapshot of 'images:300/vm-300-disk-0.qcow2' (scsi0)")
		post("/clone", "newid", "302", "snapname", "s2").refused(500, "snapshot 's2' does not exist")

		root.done(post("/snapshot/s1/rollback"), "OK")
		if got := sim.State().VMs[300].Config; got["memory"] != "256" || got["unused0"] != "images:300/vm-300-disk-1.raw" || got["scsi0"] != "images:300/vm-300-disk-0.qcow2,size=1G" || got["description"] != "now" {
			t.Errorf("after the rollback: %v", got)
		}
		root.do("PUT", qemu("pve1", 300, "/config"), "scsi4", "images:300/vm-300-disk-1.raw").ok()
		if got := sim.State().VMs[300].Config; got["unused0"] != "" || got["scsi4"] == "" {
			t.Errorf("a disk that is used again is no unused one: %v", got)
		}
		root.do("PUT", qemu("pve1", 300, "/config"), "delete", "scsi4").ok()
		root.done(post("/status/start"), "OK")
		log := root.done(post("/snapshot", "snapname", "s3"), "OK")
		for _, want := range []string{"skipping guest filesystem freeze - disabled in VM options", "internal qemu snapshot"} {
			if !slices.Contains(log, want) {
				t.Errorf("the log of a running VM's snapshot does not say %q: %q", want, log)
			}
		}
		templateOf(root, 303)
		root.done(root.do("POST", qemu("pve1", 303, "/snapshot"), "snapname", "s1"), "you can't take a snapshot if it's a template")
	})
}

func TestMediatedDevicesCannotBeMade(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, recorded(t))
		root := sim.asRoot(t, recordedRoot)
		vmWith(root, "pve1", 300, "memory", "256", "cores", "1", "hostpci0", "0000:3b:00.0,mdev=nvidia-1")
		log := root.done(root.do("POST", qemu("pve1", 300, "/status/start")), "could not create mediated device")
		if want := "pci device '0000:3b:00.0' does not support mediated devices "; !slices.Contains(log, want) {
			t.Errorf("the log does not say %q: %q", want, log)
		}
	})
}
