# A GPU worker with all options, written as callers of older modules do: a name with the
# BDF in it, the BDF in upper case, and the VMID of the template.

variables {
  name                = "dev-gpu-0000-4A-00.0"
  node                = "pve1"
  template            = "9000"
  cores               = 4
  memory_mb           = 8192
  disk_gb             = 60
  disk_pool           = "local-lvm"
  network_bridge      = "vmbr1"
  ssh_authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me\n", "", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"]
  cloud_init_user     = "admin"
  enable_qga          = false
  dhcp                = false
  wait_for_ip_timeout = 60
  disk_slot           = 0
  network_id          = 0
  static_ip_config    = "ip=192.0.2.50/24,gw=192.0.2.1"
  gpu_pci_bdf         = "0000:4A:00.0"
  host_bind_helper    = false
}

run "it_is_made" {
  assert {
    condition     = output.vm_name == "dev-gpu-0000-4a-00-0"
    error_message = "output.vm_name is ${output.vm_name}."
  }

  assert {
    condition     = output.gpu_pci_bdf == "0000:4a:00.0"
    error_message = "output.gpu_pci_bdf is ${output.gpu_pci_bdf}."
  }

  assert {
    condition     = output.hostpci_assignment == "mapping=gpu-pve1-0000-4a-00,pcie=1"
    error_message = "output.hostpci_assignment is ${output.hostpci_assignment}."
  }

  assert {
    condition     = output.ip_address == "192.0.2.50"
    error_message = "output.ip_address is ${output.ip_address}."
  }

  assert {
    condition     = gpuworker_vm.this.machine.cores == 4
    error_message = "gpuworker_vm.this.machine.cores is ${gpuworker_vm.this.machine.cores}."
  }

  assert {
    condition     = gpuworker_vm.this.machine.memory == "8192Mi"
    error_message = "gpuworker_vm.this.machine.memory is ${gpuworker_vm.this.machine.memory}."
  }

  assert {
    condition     = gpuworker_vm.this.machine.disk.size == "60Gi"
    error_message = "gpuworker_vm.this.machine.disk.size is ${gpuworker_vm.this.machine.disk.size}."
  }

  assert {
    condition     = gpuworker_vm.this.machine.disk.storage == "local-lvm"
    error_message = "gpuworker_vm.this.machine.disk.storage is ${gpuworker_vm.this.machine.disk.storage}."
  }

  assert {
    condition     = gpuworker_vm.this.access.user == "admin"
    error_message = "gpuworker_vm.this.access.user is ${gpuworker_vm.this.access.user}."
  }

  assert {
    condition     = length(gpuworker_vm.this.access.ssh_keys) == 1
    error_message = "length(gpuworker_vm.this.access.ssh_keys) is ${length(gpuworker_vm.this.access.ssh_keys)}."
  }

  assert {
    condition     = gpuworker_vm.this.networks[0].name == "vmbr1"
    error_message = "gpuworker_vm.this.networks[0].name is ${gpuworker_vm.this.networks[0].name}."
  }

  assert {
    condition     = gpuworker_vm.this.networks[0].gateway == "192.0.2.1"
    error_message = "gpuworker_vm.this.networks[0].gateway is ${gpuworker_vm.this.networks[0].gateway}."
  }

  assert {
    condition     = gpuworker_vm.this.wait_for_address == "0s"
    error_message = "gpuworker_vm.this.wait_for_address is ${gpuworker_vm.this.wait_for_address}."
  }

  expect_failures = [check.name_is_a_dns_label, check.host_bind_helper_has_no_effect]
}

# Without this run, terraform test cannot destroy the worker.
run "it_may_be_destroyed" {
  variables {
    allow_destroy_uuid = run.it_is_made.uuid
  }

  expect_failures = [check.name_is_a_dns_label, check.host_bind_helper_has_no_effect]
}
