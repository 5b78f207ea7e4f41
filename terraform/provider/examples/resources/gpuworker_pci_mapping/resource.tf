# A mapping that is made ahead, and a worker that uses it.
resource "gpuworker_pci_mapping" "t4" {
  card = "pve1/0000:03:00.0"
}

resource "gpuworker_vm" "gpu" {
  name     = "gpu-1"
  gpu      = { card = gpuworker_pci_mapping.t4.card }
  template = { name = "ubuntu-22.04" }
}
