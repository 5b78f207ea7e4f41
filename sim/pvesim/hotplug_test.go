package pvesim

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatARunningVMTakes(t *testing.T) {
	const disk, card = "images:300/vm-300-disk-0.raw", "virtio=02:00:00:00:00:01,bridge=vmbr0"
	for name, tc := range map[string]struct {
		have, change map[string]string // the options before, and what is set
		deleted      string
		key          string
		want         bool
	}{
		"a new SCSI disk is plugged":                          {nil, map[string]string{"scsi1": disk}, "", "scsi1", true},
		"a new SATA disk waits":                               {nil, map[string]string{"sata1": disk}, "", "sata1", false},
		"a new CD drive waits":                                {nil, map[string]string{"ide2": "none,media=cdrom"}, "", "ide2", false},
		"a medium is changed":                                 {map[string]string{"ide2": "none,media=cdrom"}, map[string]string{"ide2": "local:iso/x.iso,media=cdrom"}, "", "ide2", true},
		"a disk's cache waits":                                {map[string]string{"scsi0": disk}, map[string]string{"scsi0": disk + ",cache=none"}, "", "scsi0", false},
		"a disk's limit applies":                              {map[string]string{"sata0": disk}, map[string]string{"sata0": disk + ",mbps_rd=10"}, "", "sata0", true},
		"variables of the firmware wait":                      {nil, map[string]string{"efidisk0": disk}, "", "efidisk0", false},
		"a SCSI disk is unplugged":                            {map[string]string{"scsi0": disk}, nil, "scsi0", "scsi0", true},
		"an IDE disk is not unplugged":                        {map[string]string{"ide0": disk}, nil, "ide0", "ide0", false},
		"without hotplug a disk waits":                        {map[string]string{"hotplug": "0"}, map[string]string{"scsi1": disk}, "", "scsi1", false},
		"without hotplug of disks a deletion waits":           {map[string]string{"hotplug": "network", "scsi0": disk}, nil, "scsi0", "scsi0", false},
		"a new card is plugged":                               {nil, map[string]string{"net1": card}, "", "net1", true},
		"without hotplug of networks a new card waits":        {map[string]string{"hotplug": "disk"}, map[string]string{"net1": card}, "", "net1", false},
		"another bridge needs no hotplug":                     {map[string]string{"hotplug": "0", "net0": card}, map[string]string{"net0": "virtio=02:00:00:00:00:01,bridge=vmbr1"}, "", "net0", true},
		"another model needs hotplug":                         {map[string]string{"hotplug": "0", "net0": card}, map[string]string{"net0": "e1000=02:00:00:00:00:01,bridge=vmbr0"}, "", "net0", false},
		"a USB port is plugged into Linux":                    {map[string]string{"ostype": "l26"}, map[string]string{"usb0": "spice"}, "", "usb0", true},
		"a USB port waits in an old Windows":                  {map[string]string{"ostype": "win7"}, map[string]string{"usb0": "spice"}, "", "usb0", false},
		"tags apply":                                          {map[string]string{"hotplug": "0"}, map[string]string{"tags": "a"}, "", "tags", true},
		"a template waits":                                    {nil, map[string]string{"template": "1"}, "", "template", false},
		"an unused disk waits":                                {nil, map[string]string{"unused0": disk}, "", "unused0", false},
		"an unused disk is removed":                           {map[string]string{"unused0": disk}, nil, "unused0", "unused0", true},
		"a tablet goes by USB":                                {map[string]string{"hotplug": "disk"}, map[string]string{"tablet": "0"}, "", "tablet", false},
		"a balloon that was off waits":                        {map[string]string{"balloon": "0"}, map[string]string{"balloon": "128"}, "", "balloon", false},
		"of the agent only the trimming of clones is applied": {map[string]string{"agent": "1"}, map[string]string{"agent": "1,fstrim_cloned_disks=1"}, "", "agent", true},
		"who switches hotplug of memory waits":                {map[string]string{"hotplug": "memory"}, map[string]string{"hotplug": "disk"}, "", "hotplug", false},
		"hostpci waits":                                       {nil, map[string]string{"hostpci0": "mapping=gpu"}, "", "hostpci0", false},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVM(300, "pve1", merge(map[string]string{}, tc.have))
			v.pending, v.deletes[tc.deleted] = merge(map[string]string{}, tc.change), true
			can := pluggable(v.conf)
			got := can.plug(v, tc.key)
			if tc.deleted != "" {
				got = can.unplug(v, tc.key)
			}
			if got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestTheOrderOfStartingOfARunningVMWaits(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, recorded(t))
		root := sim.asRoot(t, recordedRoot)
		vmWith(root, "pve1", 300, "memory", "256", "cores", "1", "scsi0", "images:1", "scsi1", "images:1")
		path := qemu("pve1", 300, "/config")
		root.do("PUT", path, "ide2", "none,media=cdrom").ok()
		vm := func() VMState { return sim.State().VMs[300] }
		if got := vm().Config["boot"]; got != "order=scsi0;ide2" {
			t.Errorf("a new CD drive comes last, got %q", got)
		}
		root.done(root.do("POST", qemu("pve1", 300, "/status/start")), "OK")
		root.do("PUT", path, "delete", "scsi0").ok()
		if got := vm(); got.Config["boot"] != "order=scsi0;ide2" || got.Pending["boot"] != "order=ide2" {
			t.Errorf("boot is %q, then %q", got.Config["boot"], got.Pending["boot"])
		}
		root.done(root.do("POST", qemu("pve1", 300, "/status/stop")), "OK")
		if got := vm(); got.Config["boot"] != "order=ide2" || len(got.Pending) != 0 {
			t.Errorf("after a stop: %v, pending %v", got.Config, got.Pending)
		}
		root.do("PUT", path, "boot", "order=scsi1,legacy=c").ok()
		if got := vm().Config["boot"]; got != "order=scsi1" {
			t.Errorf("the letters of old go, got %q", got)
		}
	})
}

func TestTheLogOfAChangeSaysWhatWasMade(t *testing.T) {
	play(t, func(t *testing.T) {
		sim := newSim(t, recorded(t))
		root := sim.asRoot(t, recordedRoot)
		vmWith(root, "pve1", 300, "memory", "256", "cores", "1")
		change := func(fields ...string) []string {
			return root.done(root.do("POST", qemu("pve1", 300, "/config"), fields...), "OK")
		}
		for _, tc := range []struct {
			fields, want []string
		}{
			{[]string{"scsi0", "images:1"}, []string{"update VM 300: -scsi0 images:1",
				"Formatting '/srv/images/images/300/vm-300-disk-0.raw', fmt=raw size=1073741824 preallocation=off",
				"scsi0: successfully created disk 'images:300/vm-300-disk-0.raw,size=1G'", "TASK OK"}},
			{[]string{"ide2", "images:cloudinit"}, []string{"update VM 300: -ide2 images:cloudinit",
				"Formatting '/srv/images/images/300/vm-300-cloudinit.qcow2', fmt=qcow2 cluster_size=65536 extended_l2=off preallocation=metadata " +
					"compression_type=zlib size=4194304 lazy_refcounts=off refcount_bits=16",
				"ide2: successfully created disk 'images:300/vm-300-cloudinit.qcow2,media=cdrom'", "generating cloud-init ISO", "TASK OK"}},
			{[]string{"delete", "tags"}, []string{"update VM 300: -delete tags", "cannot delete 'tags' - not set in current configuration!", "TASK OK"}},
		} {
			if diff := cmp.Diff(tc.want, change(tc.fields...)); diff != "" {
				t.Errorf("%v (-want +got):\n%s", tc.fields, diff)
			}
		}
		if log := root.done(root.do("POST", qemu("pve1", 300, "/status/start")), "OK"); log[0] != "generating cloud-init ISO" {
			t.Errorf("the log of the start: %q", log)
		}
		root.do("PUT", qemu("pve1", 300, "/config"), "ciuser", "worker").ok()
		seed := func() any { return root.do("GET", qemu("pve1", 300, "/cloudinit")).data }
		if diff := cmp.Diff([]any{map[string]any{"key": "ciuser", "pending": "worker"}}, seed()); diff != "" {
			t.Errorf("an option that the drive does not have yet (-want +got):\n%s", diff)
		}
		root.do("PUT", qemu("pve1", 300, "/cloudinit")).ok()
		if diff := cmp.Diff([]any{map[string]any{"key": "ciuser", "value": "worker"}}, seed()); diff != "" {
			t.Errorf("after the drive was made anew (-want +got):\n%s", diff)
		}
		vmWith(root, "pve1", 301, "memory", "256", "cores", "3")
		root.done(root.do("POST", qemu("pve1", 301, "/status/start")), "MAX 2 vcpus allowed per VM on this node")
	})
}
