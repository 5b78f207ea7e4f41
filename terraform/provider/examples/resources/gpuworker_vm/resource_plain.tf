# Plain workers: without a card, and replaced when they cannot be changed in place.
resource "gpuworker_vm" "plain" {
  count = 2

  name             = "worker-${count.index + 1}"
  worker_lifecycle = "Ephemeral"
  template         = { name = "ubuntu-22.04" }
  machine          = { cores = 2, memory = "4Gi" }
  networks         = [{ name = "vmbr1", vlan = 20 }]
}
