# One worker for each card: a certain card, and any free card of a model.
resource "gpuworker_pool" "gpu" {
  name = "gpu"
  gpus = [
    { card = "pve1/0000:03:00.0" },
    { model = "Tesla T4", count = 1 },
  ]
  template = { name = "ubuntu-22.04" }
  machine  = { cores = 8, memory = "32Gi", disk = { size = "80Gi" } }
}

output "addresses" {
  value = { for name, worker in gpuworker_pool.gpu.workers : name => worker.ip_address }
}
