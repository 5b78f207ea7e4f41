# The places of all T4s, and the VMs that have them.
data "gpuworker_gpus" "t4" {
  model = "Tesla T4"
}

output "t4" {
  value = { for gpu in data.gpuworker_gpus.t4.gpus : gpu.card => try(gpu.held_by.name, gpu.state) }
}
