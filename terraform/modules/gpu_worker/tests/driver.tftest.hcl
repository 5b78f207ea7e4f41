# A GPU worker whose driver gpuworker-guest installs. Only planned: an apply needs
# gpuworker-guest beside the provider, or guest_dir.

variables {
  name        = "gpu-1"
  node        = "pve1"
  template    = "ubuntu-22.04"
  template_os = "ubuntu-22.04"
  gpu_pci_bdf = "0000:03:00.0"
  driver      = { strategy = "Packages", branch = "580" }
  bootstrap   = { cloud_init = { packages = ["nfs-common"], proxy = { http = "http://proxy.example.org:3128" } } }
}

run "the_driver_is_planned" {
  command = plan

  assert {
    condition     = gpuworker_vm.this.driver.strategy == "Packages" && gpuworker_vm.this.driver.branch == "580"
    error_message = "gpuworker_vm.this.driver is ${jsonencode(gpuworker_vm.this.driver)}."
  }

  assert {
    condition     = gpuworker_vm.this.bootstrap.cloud_init.packages[0] == "nfs-common"
    error_message = "gpuworker_vm.this.bootstrap is ${jsonencode(gpuworker_vm.this.bootstrap)}."
  }

  assert {
    condition     = gpuworker_vm.this.template.os == "ubuntu-22.04"
    error_message = "gpuworker_vm.this.template is ${jsonencode(gpuworker_vm.this.template)}."
  }
}

run "a_driver_alone_is_enough" {
  command = plan

  variables {
    template_os = null
    driver      = { strategy = "Preinstalled", version = "580.95.05" }
    bootstrap   = null
  }

  assert {
    condition     = gpuworker_vm.this.driver.version == "580.95.05" && gpuworker_vm.this.bootstrap == null
    error_message = "gpuworker_vm.this.driver is ${jsonencode(gpuworker_vm.this.driver)}."
  }
}
