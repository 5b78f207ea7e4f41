terraform {
  required_providers {
    gpuworker = {
      source = "gpuworker/gpuworker"
    }
  }
}

# An ephemeral variable is in no state and in no plan (Terraform 1.10).
variable "token" {
  type      = string
  ephemeral = true
}

provider "gpuworker" {
  token = var.token
}

resource "gpuworker_vm" "gpu" {
  name     = "gpu-1"
  gpu      = { card = "pve1/0000:03:00.0" }
  template = { name = "ubuntu-22.04" }
}
