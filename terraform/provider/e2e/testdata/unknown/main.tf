terraform {
  required_providers {
    gpuworker = {
      source = "gpuworker/gpuworker"
    }
  }
}

provider "gpuworker" {}

variable "cards" {
  type    = map(string)
  default = { gpu-1 = "pve1/0000:03:00.0", gpu-2 = "pve2/0000:03:00.0" }
}


resource "terraform_data" "card" {
  for_each = var.cards
  input    = each.value
}

# The names are known when this is planned, the cards only after apply.
resource "gpuworker_vm" "gpu" {
  for_each = terraform_data.card
  name     = each.key
  host     = split("/", each.value.output)[0]
  gpu      = { bdf = split("/", each.value.output)[1] }
  template = { name = "ubuntu-22.04" }
}
