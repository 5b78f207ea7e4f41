# VMs with a card that are no workers yet
list "gpuworker_vm" "foreign" {
  provider = gpuworker

  config {
    foreign = true
  }
}
