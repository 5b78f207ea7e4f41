# terraform apply -invoke=action.gpuworker_park.gpu_1
action "gpuworker_park" "gpu_1" {
  config {
    worker = "gpu-1"
  }
}
