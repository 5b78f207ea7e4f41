import {
  to = gpuworker_pci_mapping.t4
  id = "pve1/0000:03:00.0"
}
