output "name" {
  value = provider::gpuworker::dns_label("dev-gpu-0000-03-00.0") # dev-gpu-0000-03-00-0
}
