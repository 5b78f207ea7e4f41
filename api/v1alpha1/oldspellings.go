package v1alpha1

// Reasons why a key of cloud-init has no field.
const (
	noRebootByCloudInit  = "leave it out: cloud-init marks its modules as done before it runs them, so after a reboot in the middle the rest never runs, and the worker never joins. gpuworker-guest needs no reboot"
	noUpgradeByCloudInit = "leave it out: a new kernel needs a reboot, and the modules of the driver must be those of the running kernel. Upgrade the template instead"
)

// oldSpelling is a field, or a value of a field, of earlier versions, and what to write
// now.
type oldSpelling struct {
	path  string // without the numbers of list entries
	value string // "" for the field itself
	now   string
}

// oldSpellings are all old spellings.
var oldSpellings = []oldSpelling{
	{"spec.network", "", "write networks: a list, with name (instead of bridge), vlan, addresses, gateway and macs in each entry; dns is a field of spec"},
	{"spec.nic", "", "write networks: [{name: vmbr0}]"},
	{"spec.bridge", "", "write networks: [{name: vmbr0}]"},
	{"spec.vlan", "", "write networks: [{vlan: 20}]"},
	{"spec.networks[].bridge", "", "write name: the network's name on the hypervisor, which is the bridge on Proxmox VE"},
	{"spec.networks[].dns", "", "write dns in spec: a VM has one resolver for all its networks"},
	{"spec.template.vmid", "", `write id, and the number as text: id: "9000"`},
	{"spec.machine.cpu", "", "write spec.proxmox.cpu"},
	{"spec.machine.type", "", "write spec.proxmox.machineType"},
	{"spec.machine.firmware", "OVMF", "write UEFI"},
	{"spec.machine.firmware", "SeaBIOS", "write BIOS"},
	{"spec.passthrough", "", "write pcie, romBar and xVGA under spec.proxmox"},
	{"spec.onBoot", "", "write spec.proxmox.onBoot"},
	{"spec.protection", "", "write spec.proxmox.protection"},
	{"spec.cloudInit", "", "write spec.bootstrap.cloudInit"},
	{"spec.bootstrap.cloudInit.write_files", "", "write writeFiles"},
	{"spec.bootstrap.cloudInit.writeFiles[].encoding", "", "write the text itself into content; gpuworker encodes it"},
	{"spec.bootstrap.cloudInit.runcmd", "", "write runCommands: a list of command lines"},
	{"spec.bootstrap.cloudInit.bootcmd", "", "write runCommands: commands that run once, at the first boot; for each boot write a systemd unit with writeFiles"},
	{"spec.bootstrap.cloudInit.ca_certs", "", "write caCertificates: a list of certificates in PEM"},
	{"spec.bootstrap.cloudInit.ntp", "", "write ntpServers: a list of names or addresses"},
	{"spec.bootstrap.cloudInit.apt", "", "write aptMirror and proxy"},
	{"spec.bootstrap.cloudInit.mirrors", "", "write aptMirror, or for RHEL and Rocky Linux a file under /etc/yum.repos.d with writeFiles"},
	{"spec.bootstrap.cloudInit.users", "", "write spec.access; for more users write runCommands with useradd"},
	{"spec.bootstrap.cloudInit.hostname", "", "leave it out: the name of the worker is its host name"},
	{"spec.bootstrap.cloudInit.power_state", "", noRebootByCloudInit},
	{"spec.bootstrap.cloudInit.powerState", "", noRebootByCloudInit},
	{"spec.bootstrap.cloudInit.package_reboot_if_required", "", noRebootByCloudInit},
	{"spec.bootstrap.cloudInit.packageRebootIfRequired", "", noRebootByCloudInit},
	{"spec.bootstrap.cloudInit.package_upgrade", "", noUpgradeByCloudInit},
	{"spec.bootstrap.cloudInit.packageUpgrade", "", noUpgradeByCloudInit},
	{"spec.vsphere", "", "vSphere is not supported yet; leave it out"},
}

// OldSpelling says what to write instead of a field, or a value of it, of earlier
// versions. path has no numbers of list entries: "spec.networks[].bridge".
func OldSpelling(path, value string) (now string, ok bool) {
	for _, old := range oldSpellings {
		if old.path == path && old.value == value {
			return old.now, true
		}
	}
	return "", false
}
