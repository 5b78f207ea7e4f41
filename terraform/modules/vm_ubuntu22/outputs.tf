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
