# A VM with all options, written as callers of older modules do: a name that is no DNS label,
# and the VMID of the template.

variables {
  name                = "dev-worker.2"
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
  static_ip_config    = "gw=192.0.2.1, ip=192.0.2.50/24"
}

run "it_is_made" {
  assert {
    condition     = output.vm_name == "dev-worker-2"
    error_message = "output.vm_name is ${output.vm_name}."
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

  expect_failures = [check.name_is_a_dns_label]
}
