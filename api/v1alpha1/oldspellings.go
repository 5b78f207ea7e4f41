package v1alpha1

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
