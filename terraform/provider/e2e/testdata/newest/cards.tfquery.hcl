list "gpuworker_vm" "workers" {
  provider = gpuworker
}

list "gpuworker_vm" "foreign" {
  provider = gpuworker

  config {
    foreign = true
  }
}
