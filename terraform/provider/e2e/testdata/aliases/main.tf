terraform {
  required_providers {
    gpuworker = {
      source = "gpuworker/gpuworker"
    }
  }
}

variable "clusters" {
  type = object({ north = map(string), south = map(string) })
}

provider "gpuworker" {
  alias       = "north"
  name        = "north"
  endpoint    = var.clusters.north.endpoint
  fingerprint = var.clusters.north.fingerprint
}

provider "gpuworker" {
  alias       = "south"
  name        = "south"
  endpoint    = var.clusters.south.endpoint
  fingerprint = var.clusters.south.fingerprint
}

resource "gpuworker_vm" "north" {
  provider = gpuworker.north
  name     = var.clusters.north.name
  gpu      = { card = "pve1/0000:03:00.0" }
  template = { name = "ubuntu-22.04" }
}

resource "gpuworker_vm" "south" {
  provider = gpuworker.south
  name     = var.clusters.south.name
  gpu      = { card = "pve1/0000:03:00.0" }
  template = { name = "ubuntu-22.04" }
}

output "uuids" {
  value = [gpuworker_vm.north.uuid, gpuworker_vm.south.uuid]
}
