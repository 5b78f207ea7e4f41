locals {
  # The name of the VM is the host name of the guest, so it must be a DNS label.
  name = provider::gpuworker::dns_label(var.name)

  template_is_vmid = can(regex("^[0-9]+$", var.template))

  # ip and gw of static_ip_config; empty with DHCP.
  static = var.dhcp ? {} : {
    for field in compact(split(",", replace(var.static_ip_config == null ? "" : var.static_ip_config, " ", ""))) : split("=", field)[0] => split("=", field)[1]
  }
}

resource "gpuworker_vm" "this" {
  name = local.name
  host = var.node
  gpu  = { bdf = provider::gpuworker::normalize_bdf(var.gpu_pci_bdf) }

  template = {
    name  = local.template_is_vmid ? null : var.template
    id    = local.template_is_vmid ? var.template : null
    os    = var.template_os
    clone = "Full" # a linked clone is always on the storage of the template, not on disk_pool
  }

  machine = {
    cores  = var.cores
    memory = "${var.memory_mb}Mi"
    disk   = { size = "${var.disk_gb}Gi", storage = var.disk_pool }
  }

  networks = [{
    name      = var.network_bridge
    addresses = var.dhcp ? null : [local.static["ip"]]
    gateway   = var.dhcp ? null : local.static["gw"]
  }]

  access = {
    user     = var.cloud_init_user
    ssh_keys = distinct(compact([for key in var.ssh_authorized_keys : trimspace(key)]))
  }

  driver    = var.driver
  bootstrap = var.bootstrap

  proxmox = { x_vga = var.x_vga }

  allow_restart      = var.allow_restart
  allow_destroy_uuid = var.allow_destroy_uuid

  wait_for_address = var.enable_qga ? "${var.wait_for_ip_timeout}s" : "0s" # without an agent, nothing reports an address

  lifecycle {
    precondition {
      condition     = var.dhcp || contains(keys(local.static), "ip")
      error_message = "static_ip_config is missing, and dhcp is false. Write static_ip_config = \"ip=192.0.2.50/24,gw=192.0.2.1\", or set dhcp = true."
    }
  }
}

# A warning at each plan and apply: who looks for the VM must know its name.
check "name_is_a_dns_label" {
  assert {
    condition     = local.name == var.name
    error_message = "The VM is named ${local.name}, because ${var.name} is no DNS label: a VM and its guest have one name, of lower-case letters, digits and hyphens, with at most 63 characters. The output vm_name is this name. To have no warning, write it so in name."
  }
}

check "host_bind_helper_has_no_effect" {
  assert {
    condition     = var.host_bind_helper
    error_message = "host_bind_helper = false has no effect: files/bind_gpu.sh is a file of this module in any case, and Terraform never runs it. Remove the argument to have no warning."
  }
}

check "static_ip_config_is_used" {
  assert {
    condition     = !var.dhcp || try(trimspace(var.static_ip_config), "") == ""
    error_message = "static_ip_config is ignored, because dhcp is true. Set dhcp = false to use it."
  }
}
