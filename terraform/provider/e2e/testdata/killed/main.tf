terraform {
  required_providers {
    gpuworker = {
      source = "gpuworker/gpuworker"
    }
  }
}

provider "gpuworker" {}

resource "gpuworker_pci_mapping" "second" {
  card = "pve2/0000:03:00.0"
}

resource "gpuworker_vm" "gpu" {
  for_each = {
    gpu-1 = "pve1/0000:03:00.0"
    gpu-2 = gpuworker_pci_mapping.second.card
  }
  name     = each.key
  gpu      = { card = each.value }
  template = { name = "ubuntu-22.04" }
  machine  = { memory = "4Gi", disk = { size = "20Gi" } }
}

resource "gpuworker_vm" "plain" {
  name     = "plain-1"
  host     = "pve3"
  template = { name = "ubuntu-22.04" }
  machine  = { memory = "2Gi" }
}

output "uuids" {
  value = merge({ for name, vm in gpuworker_vm.gpu : name => vm.uuid }, { plain-1 = gpuworker_vm.plain.uuid })
}
