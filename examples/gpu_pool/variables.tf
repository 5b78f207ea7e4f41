variable "node" {
  type        = string
  default     = "pve1"
  description = "Host of all VMs."
}

variable "template" {
  type        = string
  default     = "ubuntu-22.04"
  description = "VM template to clone: its name, or its VMID."
}

variable "control_planes" {
  type        = number
  default     = 1
  description = "Number of VMs for the control plane."
}

variable "workers" {
  type        = number
  default     = 2
  description = "Number of workers without a GPU."
}

variable "gpu_pci_bdfs" {
  type        = list(string)
  default     = ["0000:03:00.0", "0000:41:00.0"]
  description = "Addresses of the cards: one worker for each. \"gpuworker-host list\" shows them on the host."
}

variable "ssh_authorized_keys" {
  type        = list(string)
  default     = []
  description = "Public SSH keys of the user ubuntu."
}

variable "allow_destroy_uuids" {
  type        = map(string)
  default     = {}
  description = "To destroy GPU workers, first apply this with entries of the output gpu_worker_uuids."
}
