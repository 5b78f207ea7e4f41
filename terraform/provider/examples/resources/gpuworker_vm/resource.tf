# A GPU worker: one VM with one card.
resource "gpuworker_vm" "gpu" {
  name     = "gpu-1"
  gpu      = { card = "pve1/0000:03:00.0" }
  template = { name = "ubuntu-22.04" }
  machine = {
    cores  = 4
    memory = "16Gi"
    disk   = { size = "40Gi", storage = "local-lvm" }
  }
  access = {
    user     = "ubuntu"
    ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDXbI5q5mkR8Bka4qYznrnIQQgIE30jUPoOGlR8ctI3Y you@example.org"]
  }
}

output "gpu_worker" {
  value = gpuworker_vm.gpu.ip_address
}
