terraform {
  required_providers {
    gpuworker = {
      source = "gpuworker/gpuworker"
    }
  }
}

provider "gpuworker" {}

variable "name" {
  type    = string
  default = "gpu-1"
}

variable "on_boot" {
  type    = bool
  default = true
}

variable "uuid" {
  type    = string
  default = null
}

resource "gpuworker_vm" "gpu" {
  name               = var.name
  gpu                = { card = "pve1/0000:03:00.0" }
  template           = { name = "ubuntu-22.04" }
  proxmox            = { on_boot = var.on_boot }
  allow_destroy_uuid = var.uuid
}

output "uuid" {
  value = gpuworker_vm.gpu.uuid
}
