# A small k3s cluster, as callers of the modules for the provider Telmate/proxmox have it.

terraform {
  required_providers {
    proxmox = {
      source  = "Telmate/proxmox"
      version = "2.9.14"
    }
  }
}

variable "worker_count" {
  type    = number
  default = 2
}

locals {
  node     = "pve1"
  template = "ubuntu-22.04"
  ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f dev@example.org\n"]
  gpu_bdfs = ["0000:03:00.0", "0000:4A:00.0"]
}

module "control_plane" {
  source = "../modules/vm_ubuntu22"
  count  = 1

  name                = "dev-cp-${count.index}"
  node                = local.node
  template            = local.template
  cores               = 2
  memory_mb           = 4096
  disk_pool           = "local-lvm"
  ssh_authorized_keys = local.ssh_keys
  dhcp                = false
  static_ip_config    = "ip=192.168.10.${50 + count.index}/24,gw=192.168.10.1"
}

module "worker" {
  source = "../modules/vm_ubuntu22"
  count  = var.worker_count

  name                = "dev-worker-${count.index}"
  node                = local.node
  template            = local.template
  memory_mb           = 4096
  disk_gb             = 40
  ssh_authorized_keys = local.ssh_keys
  wait_for_ip_timeout = 300
}

module "gpu_worker" {
  source   = "../modules/gpu_worker"
  for_each = toset(local.gpu_bdfs)

  name                = "dev-gpu-${replace(each.value, ":", "-")}"
  node                = local.node
  template            = local.template
  cores               = 4
  memory_mb           = 16384
  disk_gb             = 80
  ssh_authorized_keys = local.ssh_keys
  gpu_pci_bdf         = each.value
  x_vga               = false
  host_bind_helper    = true
}

output "control_plane_ips" {
  value = [for vm in module.control_plane : vm.ip_address]
}

output "worker_ips" {
  value = [for vm in module.worker : vm.ip_address]
}

output "gpu_worker_ips" {
  value = { for bdf, vm in module.gpu_worker : bdf => vm.ip_address }
}

output "gpu_workers" {
  value = { for bdf, vm in module.gpu_worker : bdf => "${vm.vm_name} ${vm.node} ${vm.gpu_pci_bdf} ${vm.hostpci_assignment}" if vm.vmid > 0 }
}
