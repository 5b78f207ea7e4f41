# terraform apply -invoke=action.gpuworker_unpark.gpu_1
action "gpuworker_unpark" "gpu_1" {
  config {
    worker = "gpu-1"
  }
}
