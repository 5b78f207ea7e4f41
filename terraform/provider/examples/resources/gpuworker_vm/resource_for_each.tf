# One worker for each card of a host. The name is made of the address of the card.
resource "gpuworker_vm" "gpu" {
  for_each = toset(["03:00.0"])

  name     = provider::gpuworker::dns_label("gpu-${provider::gpuworker::normalize_bdf(each.key)}")
  host     = "pve1"
  gpu      = { bdf = provider::gpuworker::normalize_bdf(each.key) }
  template = { name = "ubuntu-22.04" }
}
