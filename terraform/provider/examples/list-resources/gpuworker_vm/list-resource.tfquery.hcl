# terraform query -generate-config-out=workers.tf
list "gpuworker_vm" "workers" {
  provider = gpuworker

  config {
    plain = true # also workers without a GPU
  }
}
