# VMs, made and changed for real: the login is in the environment.

variables {
  name     = "worker-1"
  node     = "pve1"
  template = "ubuntu-22.04"
}

run "it_is_made_with_the_defaults" {
  assert {
    condition     = output.vm_name == "worker-1"
    error_message = "output.vm_name is ${output.vm_name}."
  }

  assert {
    condition     = output.node == "pve1"
    error_message = "output.node is ${output.node}."
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
    condition     = output.vmid == tonumber(gpuworker_vm.this.vm_id)
    error_message = "output.vmid is ${output.vmid}."
  }

  assert {
    condition     = gpuworker_vm.this.machine.cores == 2
    error_message = "gpuworker_vm.this.machine.cores is ${gpuworker_vm.this.machine.cores}."
  }

  assert {
    condition     = gpuworker_vm.this.machine.memory == "2048Mi"
    error_message = "gpuworker_vm.this.machine.memory is ${gpuworker_vm.this.machine.memory}."
  }

  assert {
    condition     = gpuworker_vm.this.machine.disk.size == "20Gi"
    error_message = "gpuworker_vm.this.machine.disk.size is ${gpuworker_vm.this.machine.disk.size}."
  }

  assert {
    condition     = gpuworker_vm.this.machine.disk.storage == "local-lvm"
    error_message = "gpuworker_vm.this.machine.disk.storage is ${gpuworker_vm.this.machine.disk.storage}."
  }

  assert {
    condition     = gpuworker_vm.this.wait_for_address == "300s"
    error_message = "gpuworker_vm.this.wait_for_address is ${gpuworker_vm.this.wait_for_address}."
  }
}

run "it_is_changed_in_place" {
  variables {
    wait_for_ip_timeout = 0
    cores               = 4
    memory_mb           = 4096
    disk_gb             = 30
    was                 = run.it_is_made_with_the_defaults.vmid # OpenTofu 1.12 does not know run in an assert
  }

  assert {
    condition     = gpuworker_vm.this.wait_for_address == "0s"
    error_message = "gpuworker_vm.this.wait_for_address is ${gpuworker_vm.this.wait_for_address}."
  }

  assert {
    condition     = output.vmid == var.was
    error_message = "output.vmid is ${output.vmid}."
  }

  assert {
    condition     = length(gpuworker_vm.this.drift) == 0
    error_message = "length(gpuworker_vm.this.drift) is ${length(gpuworker_vm.this.drift)}."
  }
}
