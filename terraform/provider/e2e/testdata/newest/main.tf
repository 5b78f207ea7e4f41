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
  default = ""
}

resource "gpuworker_vm" "gpu" {
  name     = "gpu-1"
  gpu      = { card = "pve1/0000:03:00.0" }
  template = { name = "ubuntu-22.04" }
}

action "gpuworker_park" "gpu" {
  config {
    worker = gpuworker_vm.gpu.name
  }
}

action "gpuworker_unpark" "gpu" {
  config {
    worker = gpuworker_vm.gpu.name
  }
}

action "gpuworker_replace" "gpu" {
  config {
    worker = gpuworker_vm.gpu.name
    uuid   = var.uuid
  }
}

output "uuid" {
  value = gpuworker_vm.gpu.uuid
}

output "state" {
  value = gpuworker_vm.gpu.state
}
