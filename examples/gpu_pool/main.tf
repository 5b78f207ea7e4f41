# Plain workers by number, GPU workers by the addresses of their cards: on this host a
# Tesla T4 and a GeForce RTX 3090. The login comes from the environment.

terraform {
  required_version = ">= 1.8"

  required_providers {
    gpuworker = {
      source = "gpuworker/gpuworker"
    }
  }
}

module "control_plane" {
  source = "../../terraform/modules/vm_ubuntu22"
  count  = var.control_planes

  name                = "dev-cp-${count.index}"
  node                = var.node
  template            = var.template
  cores               = 2
  memory_mb           = 4096
  disk_gb             = 40
  ssh_authorized_keys = var.ssh_authorized_keys
}

module "worker" {
  source = "../../terraform/modules/vm_ubuntu22"
  count  = var.workers

  name                = "dev-worker-${count.index}"
  node                = var.node
  template            = var.template
  cores               = 2
  memory_mb           = 4096
  disk_gb             = 40
  ssh_authorized_keys = var.ssh_authorized_keys
}

module "gpu_worker" {
  source   = "../../terraform/modules/gpu_worker"
  for_each = toset(var.gpu_pci_bdfs)

  # "dev-gpu-0000-03-00-0": a name is a DNS label, without dots.
  name                = "dev-gpu-${replace(lower(each.key), "/[:.]/", "-")}"
  node                = var.node
  template            = var.template
  cores               = 4
  memory_mb           = 16384
  disk_gb             = 80
  gpu_pci_bdf         = each.key
  ssh_authorized_keys = var.ssh_authorized_keys
  allow_destroy_uuid  = lookup(var.allow_destroy_uuids, each.key, null)
}
