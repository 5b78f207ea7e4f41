variable "name" {
  type        = string
  nullable    = false
  description = "Name of the VM. It is made a DNS label, because it is the host name of the guest too: dots, spaces and underscores become hyphens."

  validation {
    condition     = can(regex("[A-Za-z0-9]", var.name)) && length(var.name) <= 63
    error_message = "name must have a letter or a digit, and at most 63 characters, such as \"gpu-1\". It becomes the name of the VM and its host name."
  }
}

variable "node" {
  type        = string
  nullable    = false
  description = "Host of the Proxmox VE cluster that runs the VM."

  validation {
    condition     = can(regex("^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$", var.node))
    error_message = "node must be the name of a host of the cluster as Proxmox VE shows it, such as \"pve1\": no domain, no IP address and no URL."
  }
}

variable "template" {
  type        = string
  nullable    = false
  description = "VM template to clone: its name, or its VMID."

  validation {
    condition     = can(regex("^([1-9][0-9]{2,8}|[A-Za-z0-9.-]*[A-Za-z][A-Za-z0-9.-]*)$", var.template))
    error_message = "template must be the name of a VM template, such as \"ubuntu-22.04\", or its VMID, such as \"9000\"."
  }
}

variable "cores" {
  type        = number
  nullable    = false
  default     = 2
  description = "Number of virtual CPU cores."

  validation {
    condition     = var.cores >= 1 && var.cores <= 512 && floor(var.cores) == var.cores
    error_message = "cores must be a whole number from 1 to 512."
  }
}

variable "memory_mb" {
  type        = number
  nullable    = false
  default     = 4096
  description = "Memory in MiB. The host reserves all of it, because the card may access it."

  validation {
    condition     = var.memory_mb >= 512 && floor(var.memory_mb) == var.memory_mb
    error_message = "memory_mb must be a whole number of MiB, at least 512; 16 GiB are 16384."
  }
}

variable "disk_gb" {
  type        = number
  nullable    = false
  default     = 40
  description = "Size of the first disk in GiB, at least that of the template. A disk can grow but not shrink."

  validation {
    condition     = var.disk_gb >= 1 && floor(var.disk_gb) == var.disk_gb
    error_message = "disk_gb must be a whole number of GiB, at least 1. A disk cannot be smaller than the one of the template."
  }
}

variable "disk_pool" {
  type        = string
  nullable    = false
  default     = "local-lvm"
  description = "Storage for all disks of the VM."

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]$", var.disk_pool))
    error_message = "disk_pool must be the name of a storage as Proxmox VE shows it, such as \"local-lvm\"."
  }
}

variable "network_bridge" {
  type        = string
  nullable    = false
  default     = "vmbr0"
  description = "Bridge of the host that the VM is connected to."

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$", var.network_bridge))
    error_message = "network_bridge must be the name of a bridge of the host, such as \"vmbr0\": at most 15 letters, digits, dots, hyphens and underscores."
  }
}

variable "ssh_authorized_keys" {
  type        = list(string)
  nullable    = false
  default     = []
  description = "Public SSH keys of the user: lines of .pub files. Empty lines and repeated keys are left out."

  validation {
    condition = alltrue([
      for key in var.ssh_authorized_keys : try(trimspace(key) == "" || can(regex("^(ssh|ecdsa|sk-ssh|sk-ecdsa)-[^ \\n]+ +[A-Za-z0-9+/=]{40,}( [^\\n]*)?$", trimspace(key))), false)
    ])
    error_message = "Each entry of ssh_authorized_keys must be the content of one .pub file, \"ssh-ed25519 AAAA... name\", without options before it: no private key, and no name of a file. Write file(pathexpand(\"~/.ssh/id_ed25519.pub\")) to read a file."
  }
}

variable "cloud_init_user" {
  type        = string
  nullable    = false
  default     = "ubuntu"
  description = "User that cloud-init creates, with the SSH keys."

  validation {
    condition     = can(regex("^[a-z_][a-z0-9_-]{0,31}$", var.cloud_init_user))
    error_message = "cloud_init_user must be a Linux user name: at most 32 lower-case letters, digits, hyphens and underscores, and not a digit or hyphen first."
  }
}

variable "enable_qga" {
  type        = bool
  nullable    = false
  default     = true
  description = "Wait for the QEMU guest agent of the VM, and read the address of the VM from it. Set it to false when the template has no agent."
}

variable "dhcp" {
  type        = bool
  nullable    = false
  default     = true
  description = "Get the address by DHCP. Otherwise static_ip_config is needed."
}

variable "static_ip_config" {
  type        = string
  default     = ""
  description = "Address and gateway, \"ip=192.0.2.50/24,gw=192.0.2.1\". Needed when dhcp = false, ignored otherwise."

  validation {
    condition     = can(regex("^(|ip=[^,=]+,gw=[^,=]+|gw=[^,=]+,ip=[^,=]+)$", var.static_ip_config == null ? "" : replace(var.static_ip_config, " ", "")))
    error_message = "static_ip_config must be an address with prefix length and a gateway, \"ip=192.0.2.50/24,gw=192.0.2.1\". For DHCP leave it out and set dhcp = true."
  }

  validation {
    condition     = !can(regex("ip=", var.static_ip_config)) || can(cidrhost(regex("ip=([^, ]*)", var.static_ip_config)[0], 0))
    error_message = "The ip of static_ip_config must be an address with prefix length, such as \"ip=192.0.2.50/24\"."
  }
}

variable "wait_for_ip_timeout" {
  type        = number
  nullable    = false
  default     = 120
  description = "How many seconds a VM that was started is given to report its address through the guest agent. If it does not, the apply warns, and the VM stays as it is. 0 does not wait. With enable_qga = false nothing is waited for."

  validation {
    condition     = var.wait_for_ip_timeout >= 0 && floor(var.wait_for_ip_timeout) == var.wait_for_ip_timeout
    error_message = "wait_for_ip_timeout must be a whole number of seconds, such as 120, or 0 to not wait."
  }
}

variable "disk_slot" {
  type        = number
  nullable    = false
  default     = 0
  description = "Accepted, but only 0: the disk is the first one of the template."

  validation {
    condition     = var.disk_slot == 0
    error_message = "disk_slot can only be 0: the disk of the VM is the first disk of the template. Remove this argument."
  }
}

variable "network_id" {
  type        = number
  nullable    = false
  default     = 0
  description = "Accepted, but only 0: the VM has one network interface, the first one of the template."

  validation {
    condition     = var.network_id == 0
    error_message = "network_id can only be 0: the VM has one network interface, net0. Remove this argument."
  }
}

variable "gpu_pci_bdf" {
  type        = string
  nullable    = false
  description = "PCI address of the card on node, with domain: \"0000:03:00.0\". Upper and lower case are the same. The VM gets all functions of the card."

  validation {
    condition     = can(regex("^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\\.[0-7]$", lower(var.gpu_pci_bdf)))
    error_message = "gpu_pci_bdf must be a full PCI address, domain:bus:device.function, such as \"0000:03:00.0\". On the host, \"gpuworker-host list\" or \"lspci -D -d 10de:\" shows the addresses."
  }
}

variable "x_vga" {
  type        = bool
  nullable    = false
  default     = false
  description = "Make the card the primary display of the VM. Set it only if the guest needs it."
}

variable "host_bind_helper" {
  type        = bool
  nullable    = false
  default     = true
  description = "Accepted, without effect: the script files/bind_gpu.sh is always a part of this module, and Terraform never runs it. With false, each plan warns of that."
}

variable "allow_restart" {
  type        = bool
  nullable    = false
  default     = false
  description = "Allow that the running VM is shut down and started for a change that needs it, such as cores. Without it, the plan refuses such a change."
}

variable "allow_destroy_uuid" {
  type        = string
  default     = null
  description = "Allow to destroy the VM: its UUID, which is the output uuid. Apply it first, then destroy. It is not valid for a later VM of the same name."

  validation {
    condition     = var.allow_destroy_uuid == null || can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.allow_destroy_uuid))
    error_message = "allow_destroy_uuid must be the UUID of the VM as the output uuid shows it, in lower case: one VM, never a pattern."
  }
}

variable "template_os" {
  type        = string
  default     = null
  description = "Operating system in the template, such as \"ubuntu-24.04\". Needed for driver strategy Packages."
}

variable "driver" {
  type        = any
  default     = null
  description = "NVIDIA driver of the VM, { strategy = \"Packages\" } for example: the attribute driver of gpuworker_vm. Without it, the module installs and checks no driver."
}

variable "bootstrap" {
  type        = any
  default     = null
  description = "How the guest is made a worker at its first boot: the attribute bootstrap of gpuworker_vm. With driver strategies Preinstalled, Packages and Ansible its default is {}."
}
