terraform import gpuworker_pci_mapping.t4 pve1/0000:03:00.0
