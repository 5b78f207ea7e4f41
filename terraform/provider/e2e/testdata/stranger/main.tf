terraform {
  required_providers {
    gpuworker = {
      source = "gpuworker/gpuworker"
    }
  }
}

provider "gpuworker" {}

variable "uuid" {
  type    = string
  default = null
}

resource "gpuworker_vm" "gpu" {
  name               = "gpu-1"
  gpu                = { card = "pve1/0000:03:00.0" }
  template           = { name = "ubuntu-22.04" }
  allow_destroy_uuid = var.uuid
}

resource "gpuworker_vm" "plain" {
  for_each = toset(["plain-1", "plain-2"])
  name     = each.key
  host     = "pve1"
  template = { name = "ubuntu-22.04" }
  machine  = { memory = "2Gi" }
}

resource "gpuworker_pool" "workers" {
  name     = "w"
  replicas = 1
  hosts    = ["pve1"]
  template = { name = "ubuntu-22.04" }
  machine  = { memory = "2Gi" }
}

output "uuid" {
  value = gpuworker_vm.gpu.uuid
}
