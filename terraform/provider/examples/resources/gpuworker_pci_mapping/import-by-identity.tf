import {
  to = gpuworker_pci_mapping.t4
  identity = {
    card = "pve1/0000:03:00.0"
  }
}
