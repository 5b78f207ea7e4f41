package proxmox

import (
	"github.com/gpuworker/gpuworker/internal/inventory"
)

// advice are the commands that a person runs on a Proxmox VE host.
var advice = inventory.Advice{
	inventory.TakeCardOut:     "remove it from that VM: qm set {vm} --delete {key}",
	inventory.RemoveImage:     "on {host}: pvesm free {key}",
	inventory.TakeRestOut:     "check it on {host} and remove the other card settings: qm config {vm}; qm set {vm} --delete KEY",
	inventory.EmptyTemplate:   "qm set {vm} --delete {key}",
	inventory.MakeTemplate:    "if it should be a template: qm template {vm}",
	inventory.AddDisk:         "qm config {vm} shows its disks; import one and make the template again",
	inventory.AddCloudInit:    "qm set {vm} --ide2 {storage}:cloudinit",
	inventory.AddContent:      "choose another storage, or add the content type: pvesm set {storage} --content {content}",
	inventory.AddISOContent:   "add the content type: pvesm set {storage} --content {content}; or name another storage in spec.proxmox.isoStorage of the Hypervisor",
	inventory.NameISOStorage:  "allow storage {storage} on this host (web interface: Datacenter, Storage), or name another one in spec.proxmox.isoStorage of the Hypervisor",
	inventory.ActivateStorage: "pvesm status",
	inventory.LookAtVM:        "check it on {host}: qm config {vm}; gpuworker gpus lists the cards",
	inventory.RemoveClone:     "as root on {host}, check it with `qm config {vm}`; if it is only an incomplete clone: qm unlock {vm} && qm destroy {vm}",
	inventory.RemoveDuplicate: "decide which one to keep, and destroy the other on {host}: qm config {vm}; qm destroy {vm}",
	inventory.GiveNameBack:    "if it is the worker, restore its name, on {host}: qm set {vm} --name {name}",
	inventory.MoveBack:        "move it back while it is stopped, on {host}: qm migrate {vm} {to}",
	inventory.GiveUUID:        "on {host}: qm set {vm} --smbios1 uuid=$(uuidgen)",
	inventory.MoreIDs:         "widen spec.proxmox.vmids of the Hypervisor",
	inventory.MakePool:        "correct spec.proxmox.resourcePool of the Hypervisor, or make the pool: gpuworker role -f FILE prints the commands",
	inventory.SeeVMs:          "give the login VM.Audit on /vms; gpuworker check shows the missing privileges",
	inventory.SeeHosts:        "give the login Sys.Audit on /; gpuworker check shows the missing privileges",
	inventory.FindTemplate:    "correct spec.template, or make the template; the login needs VM.Audit to see it",
	inventory.FindVM:          "check the identifier; the login needs VM.Audit to see the VM",
	inventory.SwitchIOMMUOn:   "turn VT-d or AMD-Vi on in the host's firmware (and intel_iommu=on before kernel 6.8), then reboot the host",
	inventory.RepairClaim:     inventory.RecordFix("the description of PCI resource mapping {key}"),
	inventory.Upgrade:         "upgrade to Proxmox VE 8.4 or 9",
}
