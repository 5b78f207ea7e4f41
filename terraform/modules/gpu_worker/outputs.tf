output "vmid" {
  description = "VMID of the VM."
  value       = tonumber(gpuworker_vm.this.vm_id)
}

output "vm_name" {
  description = "Name of the VM, and host name of its guest: name as a DNS label."
  value       = gpuworker_vm.this.name
}

output "node" {
  description = "Host that runs the VM."
  value       = gpuworker_vm.this.host
}

output "ip_address" {
  description = "The static address, or with DHCP the one that the guest agent reports; null when it is not known."
  value       = var.dhcp ? (var.enable_qga ? gpuworker_vm.this.ip_address : null) : split("/", local.static["ip"])[0]
}

output "gpu_pci_bdf" {
  description = "PCI address of the card, in lower case."
  value       = provider::gpuworker::normalize_bdf(var.gpu_pci_bdf)
}

output "hostpci_assignment" {
  description = "The value of hostpci0 that the VM has: \"mapping=gpu-pve1-0000-03-00,pcie=1\"."
  value       = gpuworker_vm.this.attachment
}

output "uuid" {
  description = "UUID of the VM, for allow_destroy_uuid."
  value       = gpuworker_vm.this.uuid
}
