# terraform apply -invoke=action.gpuworker_replace.gpu_1
action "gpuworker_replace" "gpu_1" {
  config {
    worker = "gpu-1"
    uuid   = "bac99bed-bc93-4665-a952-fe986d457273" # the VM to destroy, from terraform state show
  }
}
