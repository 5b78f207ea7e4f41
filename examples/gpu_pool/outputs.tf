# For an Ansible inventory: terraform output -json

output "control_plane_ips" {
  value = module.control_plane[*].ip_address
}

output "worker_ips" {
  value = module.worker[*].ip_address
}

output "gpu_worker_ips" {
  value = [for worker in module.gpu_worker : worker.ip_address]
}

output "gpu_workers" {
  description = "Name of each GPU worker and its card, by the address of the card."
  value       = { for bdf, worker in module.gpu_worker : bdf => "${worker.vm_name}: ${worker.hostpci_assignment}" }
}

output "gpu_worker_uuids" {
  value = { for bdf, worker in module.gpu_worker : bdf => worker.uuid }
}
