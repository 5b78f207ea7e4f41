# One GPU worker. The login comes from the environment: GPUWORKER_ENDPOINT and
# GPUWORKER_TOKEN, or the variables of another provider, such as PM_API_URL.

terraform {
  required_version = ">= 1.8"

  required_providers {
    gpuworker = {
      source = "gpuworker/gpuworker"
    }
  }
}

module "gpu_worker" {
  source = "../../terraform/modules/gpu_worker"

  name     = "gpu-1"
  node     = "pve1"
  template = "ubuntu-22.04"

  cores     = 4
  memory_mb = 16384
  disk_gb   = 80

  gpu_pci_bdf = "0000:03:00.0"

  ssh_authorized_keys = var.ssh_authorized_keys
  allow_destroy_uuid  = var.allow_destroy_uuid
}

variable "ssh_authorized_keys" {
  type        = list(string)
  default     = []
  description = "Public SSH keys of the user ubuntu."
}

variable "allow_destroy_uuid" {
  type        = string
  default     = null
  description = "To destroy the worker, first apply this with the output uuid."
}

output "vm_name" {
  value = module.gpu_worker.vm_name
}

output "ip_address" {
  value = module.gpu_worker.ip_address
}

output "hostpci_assignment" {
  value = module.gpu_worker.hostpci_assignment
}

output "uuid" {
  value = module.gpu_worker.uuid
}
