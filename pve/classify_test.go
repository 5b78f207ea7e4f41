package pve

import (
	"testing"
)

// The texts are those of a real Proxmox VE 9.2 as recorded, and of the sources
// of qemu-server, pve-manager, pve-guest-common and pve-storage. Status 0 is
// the exit status of a task.
func TestClassifyRecognizesTheTextsOfRealServers(t *testing.T) {
	tests := []struct {
		status int
		text   string
		want   Kind
		what   string
	}{
		// Logins.
		{401, "No ticket", Unauthenticated, ""},
		{401, "authentication failure", Unauthenticated, ""},
		{401, "Authentication failed!", Unauthenticated, ""},
		{401, "Permission denied - invalid csrf token", Unauthenticated, ""},
		{401, "permission denied - invalid PVE ticket", Unauthenticated, ""},

		// Privileges.
		{403, "Permission check failed (/vms/100, VM.Config.Disk)", Denied, ""},
		{403, "Permission check failed (/, Sys.Audit|Sys.Modify)", Denied, ""},
		{403, "Permission check failed", Denied, ""},
		{403, "something new", Denied, ""},
		{0, "403 Permission check failed (/mapping/pci/gpu-b, Mapping.Use)", Denied, ""},
		{0, "403 Permission check failed (/storage/images, Datastore.AllocateSpace)", Denied, ""},
		{500, "only root can set 'hostpci0' config for non-mapped devices", Denied, ""},
		{500, "only root can set 'hostpci0' config", Denied, ""},
		{500, "only root can set 'args' config", Denied, ""},
		{500, "only root can set 'hugepages' config", Denied, ""},
		{0, "only root can set 'hostpci0' config for non-mapped devices", Denied, ""},
		{400, "only root@pam can set 'romfile' option", Denied, ""},
		{0, "400 Parameter verification failed. hostpci0: only root@pam can set 'romfile' option", Denied, ""},
		{403, "Permission check failed (pool 'nope' does not exist)", NotFound, "pool"},

		// Ids.
		{500, "unable to create VM 100 - VM 100 already exists on node 'pve1'", Exists, "vm"},
		{500, "unable to create VM 240: config file already exists", Exists, "vm"},
		{0, "unable to create VM 272: config file already exists", Exists, "vm"},
		{0, "close (rename) atomic file '/etc/pve/nodes/pve2/qemu-server/9105.conf' failed: File exists", Exists, "vm"},
		{400, "VM 100 already exists", Exists, "vm"},
		{500, "create hardware mapping failed: pci ID 'm1' already defined", Exists, "mapping"},
		{500, "disk image '/srv/images/images/340/vm-340-cloudinit.qcow2' already exists", Exists, "volume"},
		{0, "snapshot name 's1' already used", Exists, "snapshot"},

		// What is not there.
		{500, "Configuration file 'nodes/pve1/qemu-server/9999.conf' does not exist", NotFound, "vm"},
		{0, "Configuration file 'nodes/pve1/qemu-server/9999.conf' does not exist", NotFound, "vm"},
		{500, "unable to find configuration file for VM 9999 on node 'pve1'", NotFound, "vm"},
		{0, "unable to find configuration file for VM 9999 on node 'pve1'", NotFound, "vm"},
		{500, "mapping 'm22' not found", NotFound, "mapping"},
		{500, "update hardware mapping failed: pci ID 'nope' does not exist", NotFound, "mapping"},
		{500, "storage 'nope' does not exist", NotFound, "storage"},
		{400, "No such storage.", NotFound, "storage"},
		{500, "volume_size_info on 'local:iso/nope.iso' failed - no format", NotFound, "volume"},
		{500, "snapshot 's1' does not exist", NotFound, "snapshot"},
		{400, "interface does not exist", NotFound, "interface"},
		{400, "no such task", NotFound, "task"},

		// Digests.
		{500, "checksum mismatch (file change by other user?)", Changed, ""},
		{500, "update hardware mapping failed: detected modified configuration - file changed by other user? Try again.", Changed, ""},
		{0, "checksum mismatch: got '5891b5b5' != expect '00000000'", TaskFailed, ""}, // of an upload

		// Locks.
		{500, "VM is locked (clone)", Locked, ""},
		{500, "VM is locked (backup)", Locked, ""},
		{500, "can't lock file '/var/lock/qemu-server/lock-133.conf' - got timeout", Locked, ""},
		{0, "can't lock file '/var/lock/pve-manager/pve-storage-local-lvm' - got timeout", Locked, ""},
		{0, "cfs-lock 'storage-ceph' error: got lock request timeout", Locked, ""},
		{0, "clone failed: cfs-lock 'storage-ceph' error: got lock request timeout", Locked, ""},

		// Devices in use.
		{0, "PCI device '0000:3b:00.0' already in use by VMID '310'", InUse, ""},
		{0, "PCI device '0000:3b:00.0' is currently reserved for use by VMID '310'", InUse, ""},
		{0, "could not find a free device for 'hostpci0'", InUse, ""},
		{0, "base volume 'images:9000/base-9000-disk-1.raw' is still in use by linked cloned", InUse, ""},

		// Hardware.
		{0, "cannot prepare PCI pass-through, IOMMU not present", Hardware, ""},
		{0, "no PCI device found for '0000:99:00.0'", Hardware, ""},
		{0, "PCI device mapping not found for 'elsewhere'", Hardware, ""},
		{0, "PCI device mapping invalid (hardware probably changed): pci device '0000:99:00.0' not found", Hardware, ""},
		{0, "PCI device mapping invalid (hardware probably changed): 'id' does not match for 'wrong' (10de:1eb8 != 10de:1eb9)", Hardware, ""},
		{0, "PCI device mapping invalid (hardware probably changed): 'iommugroup' does not match for 'wronggroup' (50 != 51)", Hardware, ""},
		{0, "no pci device info for device '0000:03:00.0'", Hardware, ""},
		{0, "Cannot open iommu_group: No such file or directory", Hardware, ""},
		{0, "can't unbind/bind PCI group to VFIO '0000:03:00.0'", Hardware, ""},
		{0, "can't reset PCI device '0000:03:00.0'", Hardware, ""},
		{0, "Cannot bind 0000:03:00.0 to vfio", Hardware, ""},
		{0, "Cannot find vfio-pci module!", Hardware, ""},

		// Configurations that cannot work, found at the start.
		{0, "q35 machine model is not enabled", Invalid, ""},
		{0, "device '0000:3b:00.0' assigned more than once", Invalid, ""},
		{0, "you can't start a vm if it's a template", Invalid, ""},

		// States.
		{500, "can't remove VM 211 - protection mode enabled", Protected, ""},
		{500, "can't remove drive 'scsi0' - protection mode enabled", Protected, ""},
		{500, "VM 301 is running - destroy failed", Running, ""},
		{500, "you can't convert a VM to template if VM is running", Running, ""},
		{0, "VM 301 already running", AlreadyRunning, ""},
		{500, "VM 301 not running", NotRunning, ""},
		{500, "VM 304 is not running", NotRunning, ""},
		{500, "No QEMU guest agent configured", AgentUnavailable, ""},
		{500, "QEMU guest agent is not running", AgentUnavailable, ""},
		{500, "VM 304 qga command 'guest-ping' failed - got timeout", AgentUnavailable, ""},
		{500, "VM 304 qga command 'guest-exec' failed - client closed connection", AgentUnavailable, ""},

		// The agent itself. The texts of old and new agents differ; the rest of the text is
		// the guest's, and may try to look like something else.
		{500, "Agent error: Command guest-exec has been disabled", AgentForbidden, ""},
		{500, "Agent error: Command guest-exec has been disabled: the command is not allowed", AgentForbidden, ""},
		{500, "Agent error: The command guest-exec has been disabled for this instance", AgentForbidden, ""},
		{500, "Agent error: The command guest-nope has not been found", AgentForbidden, ""},
		{500, "Agent error: Command guest-file-open has been disabled: the agent is in frozen state", AgentUnavailable, ""},
		{500, "Agent error: failed to open file '/nope' (mode: 'r'): No such file or directory", NotFound, "file"},
		{500, "Agent error: failed to open file '/etc' (mode: 'wb'): Is a directory", AgentFailed, ""},
		{500, "Agent error: Guest agent command failed, error was 'Failed to execute child process “/nope” (No such file or directory)'", NotFound, "program"},
		{500, "Agent error: Failed to execute child process “/usr/bin/cloud-init” (Permission denied)", AgentFailed, ""},
		{500, "Agent error: Invalid parameter 'pid'", NotFound, "process"},
		{500, "Agent error: PID ld does not exist", NotFound, "process"}, // QEMU 8.2 and 9.0 print it so
		{500, "Agent error: PID 17 does not exist", NotFound, "process"},
		{500, "Agent error: failed to write to file: No space left on device", AgentFailed, ""},
		{500, "Agent error: Permission check failed", AgentFailed, ""},
		{500, "Wide character in subroutine entry", Invalid, ""},

		// Volumes and their storages.
		{500, "volume 'local:iso/gone.iso' does not exist", NotFound, "volume"},
		{0, "volume 'local:iso/gone.iso' does not exist", NotFound, "volume"},
		{500, "volume local:iso/empty.iso does not exist", NotFound, "volume"},
		{500, "unable to activate storage 'local' - directory '/var/lib/vz' does not exist or is unreachable", Unavailable, "storage"},
		{500, "storage 'nas' is not online", Unavailable, "storage"},
		{500, "can't upload to storage type 'lvmthin'", Invalid, ""},
		{400, "Parameter verification failed.\nfilename: wrong file extension", Invalid, ""},
		{0, "import failed: cp: error writing '/var/lib/vz/template/iso/seed.iso': No space left on device", NoSpace, ""},
		{500, "can't remove drive 'ide2' - protection mode enabled", Protected, ""},

		// Resources of the node.
		{0, "kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory", NoMemory, ""},
		{0, "unable to create image: No space left on device", NoSpace, ""},
		{0, "lvcreate error:   Volume group \"pve\" has insufficient free space (12 extents): 2560 required.", NoSpace, ""},

		// Requests that make no sense.
		{400, "Parameter verification failed.", Invalid, ""},
		{400, "property is not defined in schema and the schema does not allow additional properties", Invalid, ""},
		{400, "Bad Request", Invalid, ""},
		{500, "update hardware mapping failed: missing value for required option 'map'", Invalid, ""},
		{500, "update hardware mapping failed: no such option 'nope'", Invalid, ""},
		{500, "update hardware mapping failed: unable to delete required option 'map'", Invalid, ""},
		{500, "property contains a line feed", Invalid, ""},
		{500, "no such cluster node 'other'", Invalid, ""},
		{500, "parameter 'storage' not allowed for linked clones", Invalid, ""},
		{500, "Linked clone feature is not supported for 'images:100/vm-100-disk-0.raw' (scsi0)", Invalid, ""},
		{500, "can't clone VM to node 'pve2' (VM uses local storage)", Invalid, ""},
		{500, "can't clone to non-shared storage 'local-lvm'", Invalid, ""},
		{500, "no options specified", Invalid, ""},
		{500, "unable to parse value of 'memory' - got undefined value", Invalid, ""},
		{500, "SSH public key validation error", Invalid, ""},
		{0, "shrinking disks is not supported", Invalid, ""},
		{0, "disk 'scsi9' does not exist", Invalid, ""},
		{0, "unable to parse volume ID 'none'", Invalid, ""},
		{0, "unable to create VM 300 - storage 'off' is disabled", Invalid, ""},
		{500, "storage 'images' does not support 'iso' content", Invalid, ""},
		{500, "ide2 - cloud-init drive is already attached at 'scsi1'", Invalid, ""},

		// Calls that do not exist.
		{501, "Method 'GET /nope' not implemented", Unsupported, ""},
		{501, "Unexpected content for method 'DELETE'", Unsupported, ""},
		{501, "chunked transfer encoding not supported", Unsupported, ""},
		{506, "upload 'Content-Type 'text/plain' not implemented", Unsupported, ""},

		// The way to the server or between nodes.
		{500, "hostname lookup 'other' failed - failed to get address info for: other: Name or service not known", Unavailable, ""},

		// A cluster without quorum, asked by a real client.
		{500, "cluster not ready - no quorum?", NoQuorum, ""},
		{500, "cfs-lock 'file-user_cfg' error: no quorum!", NoQuorum, ""},
		{500, "create hardware mapping failed: cfs-lock 'file-mapping_pci_cfg' error: no quorum!", NoQuorum, ""},
		{500, "update hardware mapping failed: cfs-lock 'file-mapping_pci_cfg' error: no quorum!", NoQuorum, ""},
		{500, "delete pci mapping failed: cfs-lock 'file-mapping_pci_cfg' error: no quorum!", NoQuorum, ""},
		{500, "unable to open file '/etc/pve/nodes/pve1/qemu-server/9102.conf.tmp.10202' - Permission denied", NoQuorum, ""},
		{0, "unable to open file '/etc/pve/nodes/pve1/qemu-server/9102.conf.tmp.12110' - Permission denied", NoQuorum, ""},
		{500, "create hardware mapping failed: unable to open file '/etc/pve/mapping/pci.cfg.tmp.188' - No such file or directory", Unknown, ""},
		{595, "No route to host", Unavailable, ""},
		{595, "Connection refused", Unavailable, ""},
		{596, "Connection timed out", Unavailable, ""},
		{596, "Broken pipe", Unavailable, ""},
		{599, "Too many redirections", Unavailable, ""},
		{502, "Bad Gateway", Unavailable, ""},
		{503, "Service Unavailable", Unavailable, ""},

		// What nobody has told us about.
		{500, "internal error - proxyto_callback returned nothing", Unknown, ""},
		{500, "no such file '/nope'", Unknown, ""},
		{0, "VM quit/powerdown failed - got timeout", TaskFailed, ""},
		{0, "received interrupt", TaskFailed, ""},
		{0, "unexpected status", TaskFailed, ""},
		{0, "start failed: QEMU exited with code 1", TaskFailed, ""},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			kind, what := classify(tt.status, tt.text)
			if kind != tt.want || what != tt.what {
				t.Errorf("classify(%d, %q) = %s %q, want %s %q", tt.status, tt.text, kind, what, tt.want, tt.what)
			}
			if got := Classify(tt.status, tt.text); got != tt.want {
				t.Errorf("Classify gives %s, want %s", got, tt.want)
			}
		})
	}
}

func TestAFailedStartTakesItsKindFromTheLogWhenItsTextIsGeneric(t *testing.T) {
	tests := []struct {
		name string
		exit string
		log  []string
		want Kind
	}{
		{
			"QEMU got no memory", "start failed: QEMU exited with code 1",
			[]string{"kvm: -device vfio-pci,host=0000:03:00.0: vfio 0000:03:00.0: VFIO_MAP_DMA failed: Cannot allocate memory", "TASK ERROR: start failed: QEMU exited with code 1"},
			NoMemory,
		},
		{
			"another program has the group open", "start failed: QEMU exited with code 1",
			[]string{"kvm: -device vfio-pci,host=0000:03:00.0: vfio 0000:03:00.0: failed to open /dev/vfio/14: Device or resource busy"},
			InUse,
		},
		{
			"nothing is bound to vfio-pci, as QEMU 10 says it", "start failed: QEMU exited with code 1",
			[]string{
				"kvm: -device vfio-pci,host=0000:3b:00.0,id=hostpci0,bus=ich9-pcie-port-1,addr=0x0: vfio 0000:3b:00.0: Could not open '/dev/vfio/21': No such file or directory",
				"TASK ERROR: start failed: QEMU exited with code 1",
			},
			Hardware,
		},
		{
			"another program has the group open, as QEMU 10 says it", "start failed: QEMU exited with code 1",
			[]string{"kvm: -device vfio-pci,host=0000:3b:00.0: vfio 0000:3b:00.0: Could not open '/dev/vfio/21': Device or resource busy"},
			InUse,
		},
		{
			"the group has a foreign endpoint", "start failed: QEMU exited with code 1",
			[]string{"kvm: -device vfio-pci,host=0000:03:00.0: vfio 0000:03:00.0: group 14 is not viable"},
			Hardware,
		},
		{
			"the log says nothing known", "start failed: QEMU exited with code 1",
			[]string{"kvm: -cpu host: strange", "TASK ERROR: start failed: QEMU exited with code 1"},
			TaskFailed,
		},
		{
			"a text that speaks for itself is not overruled by the log", "VM quit/powerdown failed - got timeout",
			[]string{"QEMU Guest Agent is not running - VM 304 qga command 'guest-ping' failed - got timeout"},
			TaskFailed,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, _ := classifyTask(tt.exit, tt.log); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
