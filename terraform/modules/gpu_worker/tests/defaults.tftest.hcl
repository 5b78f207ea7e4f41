# GPU workers, made and changed for real: the login is in the environment. The host pve1 has
# free cards at 0000:03:00.0, a Tesla T4, and at 0000:4a:00.0.

variables {
  name        = "gpu-1"
  node        = "pve1"
  template    = "ubuntu-22.04"
  gpu_pci_bdf = "0000:03:00.0"
}

run "it_is_made_with_the_defaults" {
  assert {
    condition     = output.vm_name == "gpu-1"
    error_message = "output.vm_name is ${output.vm_name}."
  }

  assert {
    condition     = output.node == "pve1"
    error_message = "output.node is ${output.node}."
  }

  assert {
    condition     = output.gpu_pci_bdf == "0000:03:00.0"
    error_message = "output.gpu_pci_bdf is ${output.gpu_pci_bdf}."
  }

  assert {
    condition     = output.hostpci_assignment == "mapping=gpu-pve1-0000-03-00,pcie=1"
    error_message = "output.hostpci_assignment is ${output.hostpci_assignment}."
  }

  assert {
    condition     = can(cidrhost("${output.ip_address}/32", 0))
    error_message = "ip_address is not the address that the guest agent reports."
  }

  assert {
    condition     = gpuworker_vm.this.state == "Running"
    error_message = "gpuworker_vm.this.state is ${gpuworker_vm.this.state}."
  }

  assert {
    condition     = gpuworker_vm.this.model == "Tesla T4"
    error_message = "gpuworker_vm.this.model is ${gpuworker_vm.this.model}."
  }

  assert {
    condition     = output.vmid == tonumber(gpuworker_vm.this.vm_id)
    error_message = "output.vmid is ${output.vmid}."
  }

  assert {
    condition     = gpuworker_vm.this.machine.cores == 2
    error_message = "gpuworker_vm.this.machine.cores is ${gpuworker_vm.this.machine.cores}."
  }

  assert {
    condition     = gpuworker_vm.this.machine.memory == "4096Mi"
    error_message = "gpuworker_vm.this.machine.memory is ${gpuworker_vm.this.machine.memory}."
  }

  assert {
    condition     = gpuworker_vm.this.machine.disk.size == "40Gi"
    error_message = "gpuworker_vm.this.machine.disk.size is ${gpuworker_vm.this.machine.disk.size}."
  }

  assert {
    condition     = gpuworker_vm.this.machine.disk.storage == "local-lvm"
    error_message = "gpuworker_vm.this.machine.disk.storage is ${gpuworker_vm.this.machine.disk.storage}."
  }

  assert {
    condition     = gpuworker_vm.this.wait_for_address == "120s"
    error_message = "gpuworker_vm.this.wait_for_address is ${gpuworker_vm.this.wait_for_address}."
  }
}

run "it_gets_a_primary_display" {
  variables {
    wait_for_ip_timeout = 60
    x_vga               = true
    allow_restart       = true
    was                 = run.it_is_made_with_the_defaults.uuid # OpenTofu 1.12 does not know run in an assert
  }

  assert {
    condition     = output.hostpci_assignment == "mapping=gpu-pve1-0000-03-00,pcie=1,x-vga=1"
    error_message = "output.hostpci_assignment is ${output.hostpci_assignment}."
  }

  assert {
    condition     = gpuworker_vm.this.wait_for_address == "60s"
    error_message = "gpuworker_vm.this.wait_for_address is ${gpuworker_vm.this.wait_for_address}."
  }

  assert {
    condition     = output.uuid == var.was
    error_message = "output.uuid is ${output.uuid}."
  }
}

# Without this run, terraform test cannot destroy the worker.
run "it_may_be_destroyed" {
  variables {
    x_vga              = true
    allow_destroy_uuid = run.it_gets_a_primary_display.uuid # OpenTofu 1.12 knows only the run before this one
  }
}
